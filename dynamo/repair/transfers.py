"""A new owner copies its moving partitions from the old ones, while a change is under way.

    per partition:  scan old owner A page by page, merge -> scan B ... -> N-W+1 of them -> copied

The same scans as after a lost disk (`rebuild`), from other sources: the owners before the change.
Only one that holds the joint epoch is a source, for until then it takes writes that count in the
old owners alone, which a scan might miss. The writes of the joint epoch come by themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from dynamo.config import TableConfig
from dynamo.repair.rebuild import SCANS_MAX, Rebuild
from dynamo.ring.ring import Ring
from dynamo.types import NodeId, PartitionId


class Copied(NamedTuple):
    """For the kernel: this node has what it needs of the partition; make that durable after it."""

    partition: PartitionId


class Transfers(Rebuild):
    """The partitions that this node gains and has not yet copied."""

    def __init__(
        self,
        me: NodeId,
        old: Ring,
        new: Ring,
        tables: tuple[TableConfig, ...],
        copied: frozenset[PartitionId],
        holds: Callable[[NodeId], bool],
        next_id: Callable[[], int],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """`copied`: what was copied before a restart; `holds`: whether a node has said that it
        holds the epoch of these rings durably."""
        self._new, self._holds_epoch = new, holds
        sizes = sorted({table.n for table in tables})
        gained = frozenset(
            partition
            for n in sizes
            for partition in new.primaries_of(me, n)
            if me not in old.preference_list(partition, n)
        )
        super().__init__(me, old, tables, gained - copied, next_id, has_room)
        self.total = len(gained)
        self._up: set[NodeId] = set()

    def advance(self, up: set[NodeId], now_ms: float) -> list[Any]:
        """Start scans of sources that hold the epoch, drop those that are not answered."""
        self._up = {node for node in up if self._holds_epoch(node)}
        return super().advance(self._up, now_ms)

    def lacking(self) -> dict[PartitionId, str]:
        """What is still to be copied, and why each partition waits."""
        return {partition: self._reason(partition) for partition in self._copied}

    def status(self) -> dict[str, Any]:
        """How far the copying is."""
        return {"transfers": {"copied": self.total - self.missing(), "of": self.total}}

    def _completed(self, partition: PartitionId) -> Any:
        return Copied(partition)

    def _needs(self, partition: PartitionId) -> Iterator[tuple[Sequence[NodeId], int]]:
        for n, w in self._quorums:
            old = self._ring.preference_list(partition, n)
            if self._me in self._new.preference_list(partition, n) and self._me not in old:
                yield old, max(len(old) - w + 1, 1)

    def _reason(self, partition: PartitionId) -> str:
        """Why a partition is not copied yet, in a few words."""
        for scan in self._scans.values():
            if scan.partition == partition:
                return f"copies from {scan.node}"
        if not self._has_room():
            return "the store is full"
        for sources, needed in self._needs(partition):
            copied = [node for node in sources if node in self._copied[partition]]
            able = [node for node in sources if node in self._up]
            if len(copied) < needed and set(able) <= set(copied):
                lost = ", ".join(node for node in sources if node not in self._up)
                return (
                    f"{len(copied)} of {needed} sources copied; "
                    f"{lost}: not linked, or not yet in this epoch"
                )
        return f"waits for its turn, {SCANS_MAX} at a time"
