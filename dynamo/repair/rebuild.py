"""A node that lost its disk copies its partitions from their co-owners before it counts again.

    per partition:  scan co-owner A page by page, merge -> scan B ... -> N-W+1 of them -> counts

Every write that the lost disk had acknowledged is on W-1 other owners at least, so any N-W+1
co-owners hold all of them between them; tables of other N and W have other owners, and each must
have its own sources. Until then the node takes writes (they are durable here) but answers no read.
A co-owner that is itself rebuilding at any page does not count as a source (what it copies later
may lie behind the cursor), and is asked again, from the start, after a pause. Where more disks were
lost at one time than leave N-W+1 sources, nobody would ever count again: then an operator gives up
what only those held (`dynamo member force NODE …`), and they count with what they have.
"""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from dynamo.background import Part
from dynamo.config import TableConfig
from dynamo.messages import REPLICA_SCAN, Effect, ReplicaPage, ReplicaScan, Send, Source
from dynamo.ring.ring import Ring
from dynamo.types import ItemKey, NodeId, PartitionId

SCANS_MAX = 2
"""Scans in flight. Raising it: a faster rebuild that takes more from the foreground."""
RETRY_MS = 500.0
SCAN_TIMEOUT_MS = 5000.0
PAUSE_MS = 5.0
"""Rest after each page of a scan at full pace. Raising it: less taken from the foreground, here and
at the source; a later end."""
MISSING = "missing partitions"
"""The name under which a store keeps the partitions that do not count yet."""


class Rebuilt(NamedTuple):
    """For the kernel: the partition counts again; make that durable after its records."""

    partition: PartitionId


class _Scan:
    """One co-owner's copy of one partition being read."""

    __slots__ = ("asked_ms", "node", "partition")

    def __init__(self, node: NodeId, partition: PartitionId, asked_ms: float) -> None:
        self.node, self.partition, self.asked_ms = node, partition, asked_ms


class _Rest(NamedTuple):
    """A scan between two pages."""

    node: NodeId
    partition: PartitionId
    after: ItemKey
    due_ms: float


class Rebuild(Part):
    """The partitions that do not count yet, and the scans that will change that."""

    kind = "rebuild"
    share_min = 0.25
    """Until it is done, fewer disks than promised hold the data."""

    def __init__(
        self,
        me: NodeId,
        ring: Ring,
        tables: tuple[TableConfig, ...],
        missing: frozenset[PartitionId],
        next_id: Callable[[], int],
        has_room: Callable[[], bool] = lambda: True,
        given_up: AbstractSet[NodeId] = frozenset(),
    ) -> None:
        """`has_room`: whether the store takes more; copying waits while it does not. `given_up`:
        co-owners that count as sources with what they have, be it nothing."""
        self._me, self._ring = me, ring
        self._quorums = sorted({(table.n, table.w) for table in tables})
        self._next_id, self._has_room, self._given_up = next_id, has_room, given_up
        self._copied: dict[PartitionId, set[NodeId]] = {p: set() for p in sorted(missing)}
        self._scans: dict[int, _Scan] = {}
        self._resting: list[_Rest] = []
        self._pause_ms = PAUSE_MS
        self._put_off: dict[tuple[PartitionId, NodeId], float] = {}
        self._retry_ms = 0.0
        self.total = len(missing)

    def pace(self, share: float) -> None:
        """Take this share (above 0, at most 1) of what is taken at full pace."""
        assert 0 < share <= 1, "a pace is a share"
        self._pause_ms = PAUSE_MS / share

    def missing(self) -> int:
        """Partitions that do not count yet."""
        return len(self._copied)

    def missing_partitions(self) -> tuple[PartitionId, ...]:
        """The same, by number."""
        return tuple(self._copied)

    def is_missing(self, partition: PartitionId) -> bool:
        """Whether this partition does not count yet."""
        return partition in self._copied

    def advance(self, up: set[NodeId], now_ms: float) -> list[Effect | Rebuilt]:
        """Go on with scans, start others while there is room, drop those that are not answered."""
        for id, scan in list(self._scans.items()):
            if scan.node not in up or now_ms - scan.asked_ms > SCAN_TIMEOUT_MS:
                del self._scans[id]
        effects: list[Effect | Rebuilt] = self._resumed(up, now_ms)
        busy = {scan.partition for scan in self._working()}
        for partition in self._copied:
            if len(self._working()) >= SCANS_MAX or not self._has_room():
                break
            if partition in busy:
                continue
            if (node := self._source(partition, up, now_ms)) is not None:
                effects.append(self._ask(node, partition, ItemKey(b""), now_ms))
        self._retry_ms = now_ms + RETRY_MS
        return effects

    def page(self, node: NodeId, page: ReplicaPage, now_ms: float) -> list[Effect | Rebuilt]:
        """A page was merged: ask for the next after a rest, or count the source."""
        if not self.waits_for(node, page.id):
            return []
        partition = self._scans.pop(page.id).partition
        whole = page.whole or node in self._given_up
        if whole and not page.last and page.items and self._has_room():
            due_ms = now_ms + self._pause_ms
            self._resting.append(_Rest(node, partition, page.items[-1][0], due_ms))
            return []
        if not whole or not page.last:
            self._put_off[partition, node] = now_ms + RETRY_MS
            return []
        self._copied[partition].add(node)
        if not self._is_complete(partition):
            return []
        del self._copied[partition]
        return self._completed(partition)

    def waits_for(self, source: Source, id: int) -> bool:
        """Whether a page with this id is expected from there."""
        scan = self._scans.get(id)
        return scan is not None and scan.node == source

    def deadline(self) -> float | None:
        """When `advance` should look again."""
        if not self._copied:
            return None
        return min((self._retry_ms, *(rest.due_ms for rest in self._resting)))

    def status(self, now_ms: float) -> dict[str, Any]:
        """How much is still to copy."""
        return {"partitions_missing": len(self._copied)}

    def _completed(self, partition: PartitionId) -> list[Any]:
        """A partition is copied: tell the kernel."""
        return [Rebuilt(partition)]

    def _is_complete(self, partition: PartitionId) -> bool:
        """Whether the sources so far hold, for every table, all that was acknowledged here."""
        copied = self._copied[partition]
        return all(
            sum(node in copied for node in sources) >= needed
            for sources, needed in self._needs(partition)
        )

    def _needs(self, partition: PartitionId) -> Iterator[tuple[Sequence[NodeId], int]]:
        """For the tables of each N and W: who has copies, and of how many one is needed."""
        for n, w in self._quorums:
            owners = self._co_owners(partition, n)
            yield owners, min(n - w + 1, len(owners))

    def _co_owners(self, partition: PartitionId, n: int) -> list[NodeId]:
        """The others of a partition's first N; nobody if this node is not one of them."""
        owners = self._ring.preference_list(partition, n)
        return [node for node in owners if node != self._me] if self._me in owners else []

    def _working(self) -> list["_Scan | _Rest"]:
        """All scans, those between two pages included."""
        return [*self._scans.values(), *self._resting]

    def _resumed(self, up: set[NodeId], now_ms: float) -> list[Any]:
        """The next pages of scans that have rested; one whose source is gone begins anew later."""
        resting, self._resting = self._resting, []
        effects: list[Any] = []
        for rest in resting:
            if rest.due_ms > now_ms:
                self._resting.append(rest)
            elif rest.node in up and rest.partition in self._copied:
                effects.append(self._ask(rest.node, rest.partition, rest.after, now_ms))
        return effects

    def _source(self, partition: PartitionId, up: set[NodeId], now_ms: float) -> NodeId | None:
        """A linked co-owner that was not copied from yet."""
        copied, put_off = self._copied[partition], self._put_off
        needs = self._needs(partition)
        for node in dict.fromkeys(node for sources, _ in needs for node in sources):
            due_ms = put_off.get((partition, node), now_ms)
            if node in up and node not in copied and due_ms <= now_ms:
                return node
        return None

    def _ask(self, node: NodeId, partition: PartitionId, after: ItemKey, now_ms: float) -> Send:
        id = self._next_id()
        self._scans[id] = _Scan(node, partition, now_ms)
        return Send(node, ReplicaScan(REPLICA_SCAN, id, partition, after))


def encode_partitions(partitions: tuple[PartitionId, ...]) -> bytes:
    """The value kept under MISSING: two bytes each."""
    return b"".join(partition.to_bytes(2, "big") for partition in partitions)


def decode_partitions(value: bytes) -> frozenset[PartitionId]:
    """The inverse."""
    pairs = range(0, len(value), 2)
    return frozenset(PartitionId(int.from_bytes(value[at : at + 2], "big")) for at in pairs)
