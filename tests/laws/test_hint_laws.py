"""Hints are a join per owner and item: whatever the order in which records come, go and are sent
twice, an owner that was handed everything knows exactly the join of all that was kept for it."""

from hints_world import N1, N2, HintsWorld, key_of, record_of
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.repair.hints import Hint
from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import NOTHING, Record, Window, merge
from dynamo.types import ItemKey, NodeId

WINDOW = Window(64, 10_000)
Place = tuple[NodeId, ItemKey]

places = st.tuples(st.sampled_from([N1, N2]), st.sampled_from([key_of(b"a"), key_of(b"b")]))
records = st.tuples(st.sampled_from(["a1", "b1", "c1"]), st.integers(1, 4)).map(
    lambda dot: record_of(*dot)
)
kept = st.tuples(st.just("keep"), places, records)
sent = st.tuples(st.just("send"), places, st.just(b""))
told = st.tuples(st.just("acknowledge"), places, st.just(b""))
steps = st.lists(st.one_of(kept, sent, told), max_size=30)


def joined(one: Record, data: bytes) -> Record:
    return merge(one, decode_record(data), "siblings", WINDOW)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_what_was_handed_over_and_what_is_kept_is_the_join_of_all(
    steps: list[tuple[str, Place, bytes]],
) -> None:
    world = HintsWorld()
    all_of: dict[Place, Record] = {}
    at_owner: dict[Place, Record] = {}
    under_way: dict[Place, Hint] = {}
    for step, place, record in steps:
        owner, key = place
        if step == "keep":
            assert world.keep(owner, key, record) is None
            all_of[place] = joined(all_of.get(place, NOTHING), record)
        elif step == "send":
            for hint in world.hints.page(owner, ItemKey(b"")):
                under_way[owner, hint.key] = hint
        elif (hint := under_way.pop(place, None)) is not None:  # type: ignore[assignment]
            at_owner[place] = joined(at_owner.get(place, NOTHING), hint.record)
            world.hints.delivered(hint)
        world.hints.validate()
    for place, everything in all_of.items():
        left = world.hints.held(place[1], (place[0],))
        found = at_owner.get(place, NOTHING)
        found = found if left is None else joined(found, left)
        assert found == everything


@given(st.lists(records, min_size=1, max_size=6), st.randoms())
def test_the_order_of_what_is_kept_does_not_matter(records: list[bytes], rng: object) -> None:
    shuffled = list(records)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    both = []
    for order in (records, shuffled):
        world = HintsWorld()
        for record in order:
            world.keep(N1, key_of(b"a"), record)
        data = world.hints.held(key_of(b"a"), (N1,))
        assert data is not None
        both.append(decode_record(data))
    assert both[0] == both[1]


@given(records)
def test_keeping_twice_is_keeping_once(record: bytes) -> None:
    once, twice = HintsWorld(), HintsWorld()
    for world in (once, twice, twice):
        world.keep(N1, key_of(b"a"), record)
    assert once.hints.held(key_of(b"a"), (N1,)) == twice.hints.held(key_of(b"a"), (N1,))
    assert once.hints.kept() == twice.hints.kept()
