"""Members that own nothing of a partition: what they say is left, and when all have said it."""

from dataclasses import replace

import pytest
from hints_world import N1, N2, N3, N10, RING, TABLE, damage, key_of, record_of

from dynamo.config import TableConfig
from dynamo.coordination.identity import Identity
from dynamo.messages import Send
from dynamo.messages_exchange import ASK_LEFT, LEFT_IS, PLACES_AT_ONCE_MAX, AskLeft, LeftIs
from dynamo.meters import Meters
from dynamo.repair.bystanders import Bystanders
from dynamo.repair.hints import Hint, Hints
from dynamo.repair.settled import FOREVER
from dynamo.repair.trees import Trees
from dynamo.ring.joint import Rings
from dynamo.siblings.record import Window
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import Actor, NodeId, PartitionId

CHANGED = replace(RING, partitions=512, owners=RING.owners[:512], epoch=3)
"""Every partition is n1's and n2's; n3 and n10 are bystanders."""
P = PartitionId(3)
NAME = (P, 2)
ALL_UP = {N1, N2, N3, N10}


class World:
    """One member, its store in memory."""

    def __init__(self, me: NodeId, rings: Rings | None = None, sloppy: bool = True) -> None:
        rings = rings or Rings(CHANGED)
        self.store = MemoryEngine()
        table = TableConfig("cart", TABLE, 2, 1, 2, sloppy=sloppy)
        self.trees = Trees(self.store, rings.ring, me, (table,))
        window = Window(64, 10_000)
        tables = {TABLE: table}
        self.hints = Hints(me, rings, self.store, tables, window, 1 << 20, Meters(), lambda _: None)
        self.identity = Identity(me, "b", 2, 0, 512)
        self.one = Bystanders(self.identity, rings, self.trees, self.hints, tables)

    def says(self, epoch: int = 3, name: tuple[int, int] = NAME, *writers: str) -> LeftIs:
        """What it answers to n1."""
        asked = AskLeft(ASK_LEFT, 9, epoch, ((*name, tuple(map(Actor, writers))),))
        (send,) = self.one.asked(N1, asked)
        assert isinstance(send.message, LeftIs)
        return send.message


def test_who_keeps_nothing_says_so_and_how_far_its_dots_went() -> None:
    world = World(N3)
    issued = world.identity.next_dot(P).counter
    assert world.says(3, NAME, "n3/a", "n1/a").places == (
        (*NAME, {"n3/a": FOREVER, "n3/b": issued}),
    )


def test_what_is_left_is_no_word() -> None:
    world = World(N3)
    world.store.put(key_of(b"a"), record_of("x", 1), None)
    assert world.says().places == ()
    assert world.says(3, (P + 1, 2)).places, "another partition"
    damage(world.store, key_of(b"a"))
    assert world.says().places == (), "who knows what it was"
    world.store.delete(key_of(b"a"), None)
    assert world.says().places
    assert world.hints.take(Hint(N1, key_of(b"a"), record_of("x", 1)), b"", None)
    assert world.says().places == ()
    assert world.says(3, (P + 1, 2)).places


@pytest.mark.parametrize(
    ("me", "epoch", "name"),
    [(N2, 2, NAME), (N3, 2, NAME), (N3, 4, NAME), (N3, 3, (512, 2)), (N3, 3, (P, 3))],
    ids=["an owner", "an older ring", "a newer ring", "no such partition", "no such N"],
)
def test_who_cannot_tell_says_nothing(me: NodeId, epoch: int, name: tuple[int, int]) -> None:
    assert World(me).says(epoch, name).places == ()


def test_while_owners_change_nobody_says_anything() -> None:
    assert World(N3, Rings(CHANGED, replace(CHANGED, owners=((N3, N2, N1, N10),) * 512))).says(
        3
    ) == LeftIs(LEFT_IS, 9, ())


def test_it_is_cleared_when_all_have_said_so_since_the_last_question() -> None:
    owner = World(N1).one
    asked = owner.ask({NAME: [Actor("n3/a")]}, ALL_UP, 7)
    question = AskLeft(ASK_LEFT, 7, 3, ((*NAME, (Actor("n3/a"),)),))
    assert asked == [Send(N10, question), Send(N2, question), Send(N3, question)]
    owner.told(N3, LeftIs(LEFT_IS, 7, ((*NAME, {Actor("n3/a"): 5}),)))
    assert owner.cleared() == {}
    owner.told(N10, LeftIs(LEFT_IS, 7, ((*NAME, {Actor("n10/a"): 6}),)))
    assert owner.cleared() == {}, "the other owner may keep a hint"
    owner.told(N2, LeftIs(LEFT_IS, 7, ((*NAME, {}),)))
    assert owner.cleared() == {NAME: {"n3/a": 5, "n10/a": 6}}
    owner.ask({NAME: []}, ALL_UP, 8)
    assert owner.cleared() == {}


def test_who_is_away_is_not_asked_and_clears_nothing() -> None:
    owner = World(N1).one
    assert [send.to for send in owner.ask({NAME: []}, {N3}, 7)] == [N3]
    owner.told(N3, LeftIs(LEFT_IS, 7, ((*NAME, {}),)))
    assert owner.cleared() == {}


def test_many_partitions_are_asked_about_in_several_messages() -> None:
    owner = World(N1).one
    names = {(PartitionId(p), 2): list[Actor]() for p in range(PLACES_AT_ONCE_MAX + 1)}
    asked = owner.ask(names, {N3}, 7)
    assert [len(send.message.places) for send in asked] == [PLACES_AT_ONCE_MAX, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(("sloppy", "others"), [(False, []), (True, [N2, N10, N3])])
def test_on_the_first_ring_only_a_sloppy_table_is_kept_by_others(
    sloppy: bool, others: list[NodeId]
) -> None:
    first = Rings(replace(CHANGED, epoch=1))
    assert World(N1, first, sloppy).one.of(NAME) == others


def test_all_dots_of_who_is_no_member_any_more_are_known() -> None:
    writers = [Actor("n9/a"), Actor("n1/a"), Actor("n10/old")]
    assert World(N1).one.gone(writers) == {"n9/a": FOREVER}


def test_an_owner_may_keep_hints_and_says_nothing_of_its_own_dots() -> None:
    """It became an owner after it had kept them; its records are compared."""
    world = World(N2)
    world.store.put(key_of(b"a"), record_of("x", 1), None)
    assert world.says().places == ((*NAME, {}),)
    assert world.hints.take(Hint(N1, key_of(b"a"), record_of("x", 1)), b"", None)
    assert world.says().places == ()


def test_who_keeps_a_hint_itself_takes_nothing_for_cleared() -> None:
    world = World(N1)
    world.one.ask({NAME: []}, ALL_UP, 7)
    for node in (N2, N3, N10):
        world.one.told(node, LeftIs(LEFT_IS, 7, ((*NAME, {}),)))
    assert world.one.cleared() == {NAME: {}}
    assert world.hints.take(Hint(N2, key_of(b"a"), record_of("x", 1)), b"", None)
    assert world.one.cleared() == {}
