"""A node that lost its disk copies from enough co-owners before it counts."""

from itertools import count
from typing import Any

import pytest

from dynamo.config import TableConfig
from dynamo.messages import REPLICA_PAGE, ReplicaPage, ReplicaScan, Send
from dynamo.repair.rebuild import (
    PAUSE_MS,
    RETRY_MS,
    SCAN_TIMEOUT_MS,
    SCANS_MAX,
    Rebuild,
    Rebuilt,
)
from dynamo.ring.ring import Member, Ring
from dynamo.types import ItemKey, NodeId, PartitionId, TableId

NAMES = tuple(NodeId(f"n{number}") for number in range(1, 6))
ME = NAMES[0]
P0 = PartitionId(0)
ONE = TableConfig("one", TableId(1), 3, 2, 2)


class World:
    """Rebuild of n1 in a ring of which every partition lists n1, n2, … in this order."""

    def __init__(self, nodes: int, partitions: int, *tables: TableConfig) -> None:
        names = NAMES[:nodes]
        members = tuple(Member(name, name, "", 1.0) for name in names)
        most = max(table.n for table in tables)
        ring = Ring(1, partitions, members, (names,) * partitions, most)
        missing = frozenset(PartitionId(number) for number in range(partitions))
        ids = count(4, 4)
        self.rebuild = Rebuild(ME, ring, tables, missing, lambda: next(ids))
        self.up = set(names[1:])
        self.now_ms = 0.0
        self.asked: list[tuple[NodeId, ReplicaScan]] = []

    def advance(self, ms: float = 0.0) -> None:
        self.now_ms += ms
        self._take(self.rebuild.advance(self.up, self.now_ms))

    def page(
        self, node: NodeId, *keys: bytes, last: bool = True, whole: bool = True
    ) -> list[Rebuilt]:
        """The node answers the newest scan that was asked of it."""
        id = next(scan.id for to, scan in reversed(self.asked) if to == node)
        items = tuple((ItemKey(key), b"record") for key in keys)
        page = ReplicaPage(REPLICA_PAGE, id, items, last, whole)
        effects = self.rebuild.page(node, page, self.now_ms)
        rebuilt = self._take(effects)
        self._take(self.rebuild.advance(self.up, self.now_ms))
        return rebuilt

    def sources(self, partition: int = 0) -> list[NodeId]:
        return [node for node, scan in self.asked if scan.partition == partition]

    def _take(self, effects: list[Any]) -> list[Rebuilt]:
        self.asked += [(e.to, e.message) for e in effects if isinstance(e, Send)]
        return [effect for effect in effects if isinstance(effect, Rebuilt)]


@pytest.mark.parametrize(
    ("n", "w", "sources"), [(3, 1, 2), (3, 2, 2), (3, 3, 1), (5, 2, 4), (5, 3, 3), (5, 5, 1)]
)
def test_it_copies_from_as_many_as_hold_all_that_its_disk_acknowledged(
    n: int, w: int, sources: int
) -> None:
    """N-W+1 of the co-owners, or all of them: W=1 promises nothing for a lost disk."""
    world = World(n, 1, TableConfig("one", TableId(1), n, 1, w))
    world.advance()
    for number in range(sources):
        assert world.rebuild.is_missing(P0)
        rebuilt = world.page(world.sources()[-1])
        assert rebuilt == ([Rebuilt(P0)] if number == sources - 1 else [])
    assert len(set(world.sources())) == sources
    assert not world.rebuild.missing()
    assert world.rebuild.deadline() is None


def test_every_table_gets_its_own_sources() -> None:
    """n4 and n5 own the wide table only: what the narrow one needs, n2 and n3 have."""
    narrow = TableConfig("narrow", TableId(1), 3, 2, 2)
    wide = TableConfig("wide", TableId(2), 5, 3, 3)
    world = World(5, 1, narrow, wide)
    world.up = {NodeId("n3"), NodeId("n4"), NodeId("n5")}
    world.advance()
    for name in ("n3", "n4", "n5"):
        assert world.page(NodeId(name)) == []
    assert world.rebuild.is_missing(P0)
    world.up.add(NodeId("n2"))
    world.advance(RETRY_MS)
    assert world.page(NodeId("n2")) == [Rebuilt(P0)]


def test_pages_follow_each_other_by_key() -> None:
    world = World(3, 1, ONE)
    world.advance()
    world.page(NodeId("n2"), b"a", b"b", last=False)
    world.advance(PAUSE_MS)
    world.page(NodeId("n2"), b"c", last=False)
    world.advance(PAUSE_MS)
    afters = [scan.after for _, scan in world.asked]
    assert afters == [b"", b"b", b"c"]
    assert world.sources() == ["n2", "n2", "n2"]


def test_it_rests_between_pages_longer_at_a_slower_pace() -> None:
    world = World(3, 1, ONE)
    world.rebuild.pace(0.25)
    world.advance()
    world.page(NodeId("n2"), b"a", last=False)
    world.advance(PAUSE_MS)
    assert len(world.asked) == 1
    assert world.rebuild.deadline() == 4 * PAUSE_MS
    world.advance(3 * PAUSE_MS)
    assert [scan.after for _, scan in world.asked] == [b"", b"a"]


def test_a_scan_that_rests_keeps_its_place_among_those_at_once() -> None:
    world = World(3, SCANS_MAX + 1, ONE)
    world.advance()
    for _ in range(SCANS_MAX):
        world.page(NodeId("n2"), b"a", last=False)
    assert len({scan.partition for _, scan in world.asked}) == SCANS_MAX


def test_a_source_that_goes_while_its_scan_rests_is_asked_anew_from_the_start() -> None:
    world = World(3, 1, ONE)
    world.advance()
    world.page(NodeId("n2"), b"a", last=False)
    world.up.remove(NodeId("n2"))
    world.advance(PAUSE_MS)
    assert [(node, scan.after) for node, scan in world.asked] == [("n2", b""), ("n3", b"")]


def test_few_scans_run_at_once() -> None:
    world = World(3, 8, ONE)
    world.advance()
    assert len(world.asked) == SCANS_MAX
    assert {scan.partition for _, scan in world.asked} == set(range(SCANS_MAX))


def test_a_co_owner_that_is_itself_rebuilding_does_not_count() -> None:
    world = World(3, 1, ONE)
    world.advance()
    world.page(NodeId("n2"), b"a", whole=False)
    world.page(NodeId("n3"), b"a")
    assert world.rebuild.is_missing(P0)


def test_a_co_owner_that_was_rebuilding_at_an_early_page_does_not_count_either() -> None:
    """What it copies itself, behind the cursor, would never be seen."""
    world = World(3, 1, ONE)
    world.advance()
    world.page(NodeId("n2"), b"a", last=False, whole=False)
    assert world.sources() == ["n2", "n3"], "n2 is left alone for a while"
    world.page(NodeId("n3"), b"a")
    assert world.rebuild.is_missing(P0)
    world.advance(RETRY_MS)
    assert world.asked[-1] == (NodeId("n2"), world.asked[-1][1]._replace(after=b""))


def test_it_asks_others_meanwhile_and_that_one_again_after_a_pause() -> None:
    """Two nodes that rebuild at once must not keep each other busy, nor starve each other."""
    world = World(3, 1, ONE)
    world.advance()
    world.page(NodeId("n2"), whole=False)
    assert world.sources() == ["n2", "n3"]
    world.page(NodeId("n3"))
    assert world.sources() == ["n2", "n3"], "n2 was asked a moment ago"
    assert world.rebuild.deadline() == world.now_ms + RETRY_MS
    world.advance(RETRY_MS)
    assert world.sources() == ["n2", "n3", "n2"]
    assert world.page(NodeId("n2")) == [Rebuilt(P0)]


def test_a_source_that_is_lost_is_asked_again_from_the_start() -> None:
    world = World(3, 1, ONE)
    world.up = {NodeId("n2")}
    world.advance()
    world.page(NodeId("n2"), b"a", last=False)
    world.up = set()
    world.advance()
    world.up = {NodeId("n2")}
    world.advance()
    assert world.asked[-1][1].after == b""


def test_a_source_that_is_silent_is_given_up() -> None:
    world = World(3, 1, ONE)
    world.advance()
    world.advance(SCAN_TIMEOUT_MS)
    assert len(world.asked) == 1
    world.advance(1.0)
    assert len(world.asked) == 2


def test_without_anybody_it_waits_and_looks_again() -> None:
    world = World(3, 1, ONE)
    world.up = set()
    world.advance()
    assert not world.asked
    assert world.rebuild.deadline() == RETRY_MS


def test_a_page_that_was_not_asked_of_this_node_changes_nothing() -> None:
    world = World(3, 1, ONE)
    world.advance()
    id = world.asked[0][1].id
    page = ReplicaPage(REPLICA_PAGE, id, (), True, True)
    assert not world.rebuild.waits_for(NodeId("n3"), id)
    assert world.rebuild.page(NodeId("n3"), page, 0.0) == []
    assert world.rebuild.waits_for(NodeId("n2"), id), "the right answer still counts"
    late = ReplicaPage(REPLICA_PAGE, id + 400, (), True, True)
    assert world.rebuild.page(NodeId("n2"), late, 0.0) == []


def test_partitions_survive_their_bytes() -> None:
    world = World(3, 4, ONE)
    assert world.rebuild.missing_partitions() == (0, 1, 2, 3)
    assert world.rebuild.total == 4
