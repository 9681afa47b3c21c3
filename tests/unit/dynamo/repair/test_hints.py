"""What is kept for absent owners: merged, durable, bounded, and gone only when it is delivered."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hints_world import N1, N2, N3, N10, RING, HintsWorld, key_of, record_of

from dynamo.keys import item_key, partition_bounds
from dynamo.messages import (
    DIGEST_ONLY,
    REPLICA_GET,
    REPLICA_RECORD,
    REPLICA_REFUSED,
    REPLICA_SAME,
    Ack,
    Disconnect,
    ReplicaDigest,
    ReplicaGet,
    ReplicaRecord,
    ReplicaRefused,
    ReplicaSame,
    Send,
)
from dynamo.ports import CORRUPT, DISK_FULL, MEMORY_FULL, NO_HINT
from dynamo.repair.boot import FORGOT
from dynamo.repair.hints import (
    HINTS_FULL,
    READDRESSING,
    Everything,
    Hint,
    Kept,
    hint_key,
    is_hint_key,
    parse_hint_key,
)
from dynamo.ring.joint import Rings
from dynamo.siblings.codec import DIGEST_BYTES, decode_record
from dynamo.types import ItemKey, NodeId, PartitionId, TableId


def test_a_hint_is_acknowledged_when_it_is_durable() -> None:
    world = HintsWorld()
    assert world.keep(N1, key_of(b"a"), record_of("n2", 1)) is None
    assert world.tokens() == [Ack(N3, 4, None, True, 1000.0)]
    assert world.meters.hints_kept == 1


def test_later_records_of_an_item_are_merged_into_its_one_hint() -> None:
    world, key = HintsWorld(), key_of(b"a")
    for record in (record_of("a1", 1), record_of("b1", 1), record_of("a1", 1)):
        world.keep(N1, key, record)
    (hint,) = world.hints.page(N1, ItemKey(b""))
    assert {value.actor for value in decode_record(hint.record).values} == {"a1", "b1"}
    assert world.hints.kept()[N1].hints == 1


def test_a_record_built_on_the_hint_takes_its_place_unread() -> None:
    world, key = HintsWorld(), key_of(b"a")
    first, second = record_of("a1", 1), record_of("b1", 1)
    world.keep(N1, key, first)
    world.keep(N1, key, second, base=first[:DIGEST_BYTES])
    assert world.hints.page(N1, ItemKey(b"")) == [Hint(N1, key, second)]


def test_an_older_record_brings_no_value_back() -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("a1", 2))
    world.keep(N1, key, record_of("a1", 1))
    held = world.hints.held(key, (N1,))
    assert held is not None
    assert [value.counter for value in decode_record(held).values] == [2]


def test_owners_whose_names_begin_alike_are_kept_apart() -> None:
    world = HintsWorld()
    world.keep(N1, key_of(b"a"), record_of("a1", 1))
    world.keep(N10, key_of(b"b"), record_of("a1", 1))
    assert [hint.key for hint in world.hints.page(N1, ItemKey(b""))] == [key_of(b"a")]
    assert [hint.key for hint in world.hints.page(N10, ItemKey(b""))] == [key_of(b"b")]


def test_pages_go_through_all_hints_of_an_owner_in_order_of_their_keys() -> None:
    world = HintsWorld()
    keys = sorted(key_of(b"%d" % n, partition) for n in range(50) for partition in (0, 0xFFFF))
    for key in reversed(keys):
        world.keep(N1, key, record_of("a1", 1))
    seen: list[ItemKey] = []
    while page := world.hints.page(N1, seen[-1] if seen else ItemKey(b"")):
        seen += [hint.key for hint in page]
    assert seen == keys


def test_a_delivered_hint_goes_unless_more_was_merged_into_it() -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("a1", 1))
    (sent,) = world.hints.page(N1, ItemKey(b""))
    world.keep(N1, key, record_of("a1", 2))
    assert not world.hints.delivered(sent)
    (newer,) = world.hints.page(N1, ItemKey(b""))
    assert world.hints.delivered(newer)
    assert not world.hints.delivered(newer), "it is gone already"
    assert world.hints.kept() == {}
    assert world.hints.bytes_held() == 0
    assert world.meters.hints_delivered == 1
    world.hints.validate()


def test_counts_are_found_again_after_a_start() -> None:
    world = HintsWorld()
    for number in range(70):
        world.keep(N1 if number % 2 else N2, key_of(b"%d" % number), record_of("a1", 1))
    again = world.opened()
    assert again.kept() == world.hints.kept()
    assert again.kept()[N1].hints == 35


def test_at_the_bound_hints_are_refused_and_counted() -> None:
    world = HintsWorld(bytes_max=1000)
    answers = [world.keep(N1, key_of(b"%d" % n), record_of("a1", 1)) for n in range(30)]
    refused = [answer for answer in answers if isinstance(answer, ReplicaRefused)]
    assert answers[0] is None
    assert refused
    assert {answer.cause for answer in refused} == {HINTS_FULL}
    assert world.meters.hints_refused == len(refused)
    assert world.hints.bytes_held() <= 1000
    assert world.keep(N1, key_of(b"0"), record_of("a1", 1)) is None, "it grows by nothing"
    (first, *_) = world.hints.page(N1, ItemKey(b""))
    world.hints.delivered(first)
    assert world.keep(N2, key_of(b"x"), record_of("a1", 1)) is None, "there is room again"


@pytest.mark.parametrize("cause", [MEMORY_FULL, DISK_FULL])
def test_a_full_store_refuses_and_a_full_disk_takes_deletes(cause: str) -> None:
    world = HintsWorld()
    world.refusal = cause
    answer = world.keep(N1, key_of(b"a"), record_of("a1", 1))
    assert isinstance(answer, ReplicaRefused)
    assert answer.cause == cause
    deleted = world.keep(N1, key_of(b"a"), record_of("a1", 1, None))
    assert (deleted is None) == (cause == DISK_FULL)


@pytest.mark.parametrize(
    ("owner", "key"), [(N3, key_of(b"a")), (N1, item_key(PartitionId(0), TableId(9), b"a", b""))]
)
def test_nothing_is_kept_for_strangers_or_of_unknown_tables(owner: NodeId, key: ItemKey) -> None:
    assert isinstance(HintsWorld().keep(owner, key, record_of("a1", 1)), ReplicaRefused)


@pytest.mark.parametrize("damage", [lambda record: record[:-1], lambda record: b"x" * 30])
def test_who_sends_damaged_bytes_is_cut_off(damage: Callable[[bytes], bytes]) -> None:
    assert isinstance(HintsWorld().keep(N1, key_of(b"a"), damage(record_of("a1", 1))), Disconnect)


def test_what_is_kept_for_several_owners_is_told_together() -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("a1", 1))
    world.keep(N2, key, record_of("b1", 1))
    answer = world.ask(key)
    assert isinstance(answer, ReplicaRecord)
    assert answer.record is not None
    assert len(decode_record(answer.record).values) == 2


def test_a_known_digest_is_answered_in_short_and_nothing_kept_is_no_answer() -> None:
    world, key = HintsWorld(), key_of(b"a")
    assert world.ask(key) == ReplicaRefused(REPLICA_REFUSED, 7, NO_HINT)
    record = record_of("a1", 1)
    world.keep(N1, key, record)
    assert isinstance(world.ask(key, record[:DIGEST_BYTES]), ReplicaSame)
    assert isinstance(world.ask(key, DIGEST_ONLY), ReplicaDigest)
    assert isinstance(world.ask(key_of(b"other")), ReplicaRefused)


def test_no_scan_of_a_partition_meets_a_hint() -> None:
    world = HintsWorld()
    world.keep(N1, key_of(b"a", 0xFFFF), record_of("a1", 1))
    for partition in (0, 0xFFFF):
        assert world.store.scan(*partition_bounds(PartitionId(partition)), 10) == []


def test_a_hints_key_names_its_owner_and_its_item() -> None:
    place = hint_key(N10, key_of(b"a"))
    assert parse_hint_key(place) == (N10, key_of(b"a"))
    assert is_hint_key(place)
    assert not is_hint_key(key_of(b"a", 0xFFFF))


def test_what_is_kept_is_counted_in_keys_and_records() -> None:
    world, key = HintsWorld(), key_of(b"a")
    record = record_of("a1", 1)
    world.keep(N1, key, record)
    assert world.hints.kept() == {N1: Kept(1, len(hint_key(N1, key)) + len(record))}


AS_REPLICA = Send(N10, ReplicaRecord(REPLICA_RECORD, 6, b"as a replica"))
"""What a node says for itself, where that is all."""


def closing(
    world: HintsWorld, key: ItemKey, known: bytes = b"another!", as_replica: Send = AS_REPLICA
) -> object:
    """What is said to who wants to close gaps, or to deny a write."""
    return world.hints.get_all(N10, ReplicaGet(REPLICA_GET, 6, key, known), as_replica).message


def test_who_wants_to_close_gaps_is_shown_what_is_left_of_a_former_ring() -> None:
    world, key, stray = HintsWorld(), key_of(b"a"), record_of("x", 1)
    assert closing(world, key) == ReplicaRefused(REPLICA_REFUSED, 6, NO_HINT)
    world.store.put(key, stray, None)
    assert closing(world, key) == ReplicaRecord(REPLICA_RECORD, 6, stray)
    reader = ReplicaGet(REPLICA_GET, 8, key, None)
    assert world.hints.get(N10, reader) == Send(N10, ReplicaRefused(REPLICA_REFUSED, 8, NO_HINT))


def test_an_owner_shows_what_it_keeps_for_another() -> None:
    world, key, hint = HintsWorld(), key_of(b"a"), record_of("x", 1)
    world.keep(N1, key, hint)
    ring = replace(RING, owners=((N1, N3, N2, N10),) * RING.partitions)
    world.rings = Rings(ring)
    world.hints = world.opened()
    assert closing(world, key) == ReplicaRecord(REPLICA_RECORD, 6, hint)
    assert closing(world, key, hint[:DIGEST_BYTES]) == ReplicaSame(REPLICA_SAME, 6)
    assert closing(world, key_of(b"b")) == AS_REPLICA.message
    world.store.put(key, own := record_of("y", 1), None)
    joined = world.hints.everything(key)
    assert joined.record is not None
    assert {value.actor for value in decode_record(joined.record).values} == {"x", "y"}
    assert closing(world, key) == ReplicaRecord(REPLICA_RECORD, 6, joined.record)
    assert own != joined.record


def test_an_owner_that_does_not_count_says_so_whatever_it_keeps_for_another() -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("x", 1))
    world.rings = Rings(replace(RING, owners=((N1, N3, N2, N10),) * RING.partitions))
    world.hints = world.opened()
    rebuilding = Send(N10, ReplicaRefused(REPLICA_REFUSED, 6, "rebuilding"))
    assert closing(world, key, as_replica=rebuilding) == rebuilding.message


@pytest.mark.parametrize("damaged", [hint_key(N1, key_of(b"a")), key_of(b"a")])
def test_who_cannot_read_what_it_keeps_does_not_say_that_it_keeps_nothing(damaged: bytes) -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("x", 1))
    world.store.put(key, record_of("y", 1), None)
    world.damage(damaged)
    assert world.hints.everything(key) == Everything(None, CORRUPT)
    assert closing(world, key) == ReplicaRefused(REPLICA_REFUSED, 6, CORRUPT)


def test_a_damaged_hint_is_shown_to_no_reader_and_a_later_one_takes_its_place() -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("x", 1))
    world.damage(hint_key(N1, key))
    assert world.ask(key) == ReplicaRefused(REPLICA_REFUSED, 7, CORRUPT)
    later = record_of("y", 1)
    world.keep(N1, key, later)
    assert world.hints.page(N1, ItemKey(b"")) == [Hint(N1, key, later)]
    assert world.hints.count() == 1
    assert (world.meters.hints_lost, world.meters.corrupt_records) == (1, 1)


@pytest.mark.parametrize("noticed_before_the_start", [False, True])
def test_what_is_damaged_ends_when_all_else_is_delivered(noticed_before_the_start: bool) -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("x", 1))
    world.keep(N2, key, record_of("x", 1))
    world.damage(hint_key(N1, key))
    if noticed_before_the_start:
        world.hints = world.opened()
    world.hints.lose_damaged(N1)
    world.validate()
    assert set(world.hints.kept()) == {N2}
    assert not world.store.damaged_keys
    assert world.hints.everything(key) == Everything(record_of("x", 1))


def test_who_has_not_looked_through_its_hints_since_a_change_cannot_say() -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("x", 1))
    world.rings = Rings(RING, moved=True)
    world.hints = world.opened()
    assert closing(world, key_of(b"b")) == ReplicaRefused(REPLICA_REFUSED, 6, READDRESSING)
    assert world.hints.everything(key_of(b"b")) == Everything(None, READDRESSING)
    while world.hints.misaddressed():
        world.hints.readdress(lambda key, record: None)
    assert closing(world, key_of(b"b")) == ReplicaRefused(REPLICA_REFUSED, 6, NO_HINT)


def test_what_it_composes_itself_is_refused_for_the_same_reasons() -> None:
    world = HintsWorld(bytes_max=1000)
    key = key_of(b"a")
    room = 1000 - len(hint_key(N1, key))
    assert world.hints.refuses(N1, key, room) == ""
    assert world.hints.refuses(N1, key, room + 1) == HINTS_FULL
    world.keep(N1, key, record_of("x", 1))
    assert world.hints.refuses(N1, key, room) == "", "it takes the place of what is kept"
    assert world.hints.refuses(N2, key, room) == HINTS_FULL
    world.rings = Rings(RING, moved=True)
    assert world.opened().refuses(N1, key, 1) == READDRESSING


def test_who_issued_dots_hears_of_each_hint_that_goes() -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.keep(N1, key, record_of("x", 1))
    world.hints.delivered(Hint(N1, key, record_of("x", 2)))
    assert not world.dropped, "it holds something else"
    world.hints.delivered(Hint(N1, key, record_of("x", 1)))
    world.keep(N2, key, record_of("x", 1))
    world.damage(hint_key(N2, key))
    world.hints.lose_damaged(N2)
    assert world.dropped == [3, 3]


def test_a_later_start_hears_that_its_own_dots_may_be_unknown() -> None:
    world, key = HintsWorld(), key_of(b"a")
    world.hints.keep_own(N1, key, record_of("x", 1), b"", 9)
    assert world.store.get_meta(FORGOT)
    assert world.tokens()[-1] == 9
    assert world.hints.held(key, (N1, N2)) == record_of("x", 1)
    world.validate()
