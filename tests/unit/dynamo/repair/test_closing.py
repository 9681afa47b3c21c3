"""Gaps are closed when no member holds anything in one: others are asked first, then the owners."""

from hints_world import N1, N2, N3, N10, key_of, record_of

from dynamo.config import TableConfig
from dynamo.coordination.decisions import CLOSING, TAG_MASK, Ids
from dynamo.messages import Broadcast, ReplicaGet
from dynamo.ports import NO_HINT
from dynamo.repair.closing import OPEN_MAX, Closing
from dynamo.repair.hints import READDRESSING, Everything
from dynamo.ring.joint import Rings
from dynamo.ring.ring import Member, Ring
from dynamo.siblings.codec import DIGEST_BYTES
from dynamo.types import ItemKey, NodeId, TableId

N11 = NodeId("n11")
ORDER = (N1, N2, N10, N3, N11)
MEMBERS = tuple(Member(node, node, "", 1.0) for node in ORDER)
RING = Ring(1, 64, MEMBERS, (ORDER,) * 64, 3)
"""Every partition is n1's, n2's and n10's."""
KEY, RECORD = key_of(b"a"), record_of("n1/x", 1)
CART = TableId(1)


class World:
    """What n1 closes, and whom it asks before."""

    def __init__(self, rings: Rings | None = None, sloppy: bool = True, n: int = 3) -> None:
        self.up = {N2, N3, N10, N11}
        self.whole: list[ItemKey] = []
        self.keeps: bytes | None = RECORD
        tables = {CART: TableConfig("cart", CART, n, 1, n, sloppy=sloppy)}
        self.closing = Closing(
            *(N1, rings or Rings(RING), tables, CLOSING, Ids(CLOSING, 0).next, self.up),
            lambda key: Everything(self.keeps),
            lambda key, record: self.whole.append(key),
        )

    def begin(self, key: ItemKey = KEY) -> list[Broadcast]:
        said = self.closing.begin(key, RECORD)
        self.closing.validate()
        return said

    def nothing(self, node: NodeId, asked: Broadcast) -> list[Broadcast]:
        """A fallback keeps nothing."""
        return self.closing.refused(node, id_of(asked), NO_HINT, 0.0)

    def same(self, node: NodeId, asked: Broadcast) -> list[Broadcast]:
        return self.closing.same(node, id_of(asked), 0.0)

    def owners_asked(self) -> Broadcast:
        """Nobody keeps anything: the second question."""
        (asked,) = self.begin()
        for owner in (N2, N10):
            assert not self.same(owner, asked)
        assert not self.nothing(N3, asked)
        (again,) = self.nothing(N11, asked)
        self.closing.validate()
        return again


def id_of(asked: Broadcast) -> int:
    assert isinstance(asked.message, ReplicaGet)
    return asked.message.id


def test_all_are_asked_first_and_the_owners_once_more_after_them() -> None:
    world = World()
    (asked,) = world.begin()
    assert asked.to == (N10, N11, N2, N3)
    assert isinstance(asked.message, ReplicaGet)
    assert asked.message.known == RECORD[:DIGEST_BYTES]
    assert id_of(asked) & TAG_MASK == CLOSING
    for owner in (N2, N10):
        assert not world.same(owner, asked)
    assert not world.nothing(N11, asked)
    (again,) = world.nothing(N3, asked)
    assert again.to == (N10, N2)
    assert not world.same(N2, again)
    assert not world.whole
    assert not world.same(N10, again)
    assert world.whole == [KEY]


def test_a_hint_of_the_very_record_is_no_reason_against_it() -> None:
    world = World()
    (asked,) = world.begin()
    for node in (N2, N3, N10):
        world.same(node, asked)
    assert world.nothing(N11, asked), "the owners are asked"


def test_a_single_owner_asks_the_others_and_nobody_once_more() -> None:
    world = World(n=1)
    (asked,) = world.begin()
    for node in (N2, N3, N10, N11):
        assert not world.nothing(node, asked)
    assert world.whole == [KEY]


def test_an_owner_that_keeps_more_for_another_closes_nothing() -> None:
    world, more = World(), record_of("n1/y", 1)
    world.keeps = more
    assert not world.begin()
    assert not world.whole
    world.keeps = RECORD
    again = world.owners_asked()
    world.keeps = more
    for owner in (N2, N10):
        world.same(owner, again)
    assert not world.whole


def test_a_record_is_asked_about_once_at_a_time() -> None:
    world = World()
    assert world.begin()
    assert not world.begin()


def test_whoever_keeps_something_else_leaves_the_gaps_open() -> None:
    world = World()
    (asked,) = world.begin()
    world.nothing(N11, asked)
    assert not world.closing.answered(N3, id_of(asked), b"another", 0.0)
    assert not world.nothing(N3, asked), "it is given up"


def test_an_owner_that_holds_another_record_by_now_leaves_them_open() -> None:
    world = World()
    again = world.owners_asked()
    world.same(N2, again)
    world.closing.answered(N10, id_of(again), b"another", 0.0)
    assert not world.whole


def test_whoever_looks_through_its_hints_leaves_them_open() -> None:
    world = World()
    (asked,) = world.begin()
    world.closing.refused(N3, id_of(asked), READDRESSING, 0.0)
    assert not world.nothing(N11, asked)


def test_an_owner_that_refuses_leaves_them_open() -> None:
    world = World()
    again = world.owners_asked()
    world.same(N2, again)
    world.closing.refused(N10, id_of(again), NO_HINT, 0.0)
    assert not world.whole


def test_a_lost_link_leaves_them_open() -> None:
    for lost in (N3, N2):
        world = World()
        (asked,) = world.begin()
        world.closing.lost(lost, "link lost", 0.0)
        assert not world.nothing(N11, asked)
        assert not world.nothing(N3, asked)
        assert not world.whole


def test_nobody_is_asked_while_somebody_is_away() -> None:
    for away in (N2, N3):
        world = World()
        world.up.remove(away)
        assert not world.begin()
        assert not world.whole


def test_a_strict_table_on_its_first_ring_asks_nobody() -> None:
    world = World(sloppy=False)
    assert not world.begin()
    assert world.whole == [KEY]


def test_a_strict_table_asks_once_owners_have_changed() -> None:
    assert World(Rings(RING, moved=True), sloppy=False).begin()


def test_nothing_is_closed_during_a_change() -> None:
    world = World(Rings(RING, RING))
    assert not world.begin()
    assert not world.whole


def test_no_more_are_asked_about_than_the_bound() -> None:
    world = World()
    keys = [key_of(b"%d" % number) for number in range(OPEN_MAX + 5)]
    assert sum(bool(world.begin(key)) for key in keys) == OPEN_MAX
