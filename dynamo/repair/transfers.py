"""A new owner copies its moving partitions from the old ones, while a change is under way.

    per partition:  scan old owner A page by page, merge -> scan B ... -> N-W+1 of them
                      -> noted in the log, behind the records -> durable: copied

The same scans as after a lost disk (`rebuild`), from other sources: the owners before the change.
Only one that holds the joint epoch is a source, for until then it takes writes that count in the
old owners alone, which a scan might miss. The writes of the joint epoch come by themselves. What
is copied is noted, so that a restart goes on where it was.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from dynamo.background import Durable
from dynamo.config import TableConfig
from dynamo.ports import RecordStore
from dynamo.repair.rebuild import SCANS_MAX, Rebuild, decode_partitions, encode_partitions
from dynamo.ring.ring import Ring
from dynamo.types import NodeId, PartitionId

COPIED = "copied partitions"
"""The name under which a store keeps what was copied, and in which epoch."""
EPOCH_BYTES = 8


class Transfers(Rebuild):
    """The partitions that this node gains and has not yet copied."""

    kind = "transfers"

    def __init__(
        self,
        me: NodeId,
        old: Ring,
        new: Ring,
        tables: tuple[TableConfig, ...],
        copied: frozenset[PartitionId],
        holds: Callable[[NodeId], bool],
        next_id: Callable[[], int],
        store: RecordStore,
    ) -> None:
        """`copied`: what was copied before a restart; `holds`: whether a node has said that it
        holds the epoch of these rings durably."""
        self._new, self._holds_epoch, self._store = new, holds, store
        self.gained = frozenset(
            partition
            for n in sorted({table.n for table in tables})
            for partition in new.primaries_of(me, n)
            if me not in old.preference_list(partition, n)
        )
        missing = self.gained - copied

        def has_room() -> bool:
            return store.refusal() is None

        super().__init__(me, old, tables, missing, next_id, has_room)
        self.total = len(self.gained)
        self._noted: set[PartitionId] = set()
        self._done = self.gained & copied
        self._up: set[NodeId] = set()

    def advance(self, up: set[NodeId], now_ms: float) -> list[Any]:
        """Start scans of sources that hold the epoch, drop those that are not answered."""
        self._up = {node for node in up if self._holds_epoch(node)}
        return super().advance(self._up, now_ms)

    def lacking(self) -> dict[PartitionId, str]:
        """What is not durably copied yet, and why each partition waits."""
        noted = dict.fromkeys(sorted(self._noted), "is being made durable")
        return {partition: self._reason(partition) for partition in self._copied} | noted

    def status(self, now_ms: float) -> dict[str, Any]:
        """How far the copying is."""
        return {"transfers": {"copied": len(self._done), "of": self.total}}

    def _completed(self, partition: PartitionId) -> list[Any]:
        """All of its records are in the log: note it behind them."""
        self._noted.add(partition)
        listed = tuple(sorted(self._done | self._noted))
        value = self._ring.epoch.to_bytes(EPOCH_BYTES, "big") + encode_partitions(listed)
        self._store.put_meta(COPIED, value, Durable(partial(self._kept, partition)))
        return []

    def _kept(self, partition: PartitionId, now_ms: float) -> list[Any]:
        self._noted.discard(partition)
        self._done |= {partition}
        return []

    def _needs(self, partition: PartitionId) -> Iterator[tuple[Sequence[NodeId], int]]:
        for n, w in self._quorums:
            old, new = (ring.preference_list(partition, n) for ring in (self._ring, self._new))
            if self._me in new and self._me not in old:
                # Who will own it no more first: what only that one has is soon out of reach.
                yield sorted(old, key=new.__contains__), max(len(old) - w + 1, 1)

    def _reason(self, partition: PartitionId) -> str:
        """Why a partition is not copied yet, in a few words."""
        for scan in self._working():
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


def decode_copied(value: bytes | None, epoch: int) -> frozenset[PartitionId]:
    """What was copied in this very epoch."""
    if not value or int.from_bytes(value[:EPOCH_BYTES], "big") != epoch:
        return frozenset()
    return decode_partitions(value[EPOCH_BYTES:])
