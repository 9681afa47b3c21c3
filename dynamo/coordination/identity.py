"""Who writes: a node's name, the life of its disk, and the dots it issues (never twice)."""

from zlib import crc32

from dynamo.history import Dot, History
from dynamo.types import Actor, NodeId, PartitionId

EPOCH_BITS = 32
"""A counter is epoch << 32 | count; the epoch rises at every start, so no dot returns."""

_SLOT_MASK = (1 << 30) - 1


class Identity:
    """A node's name and life, and its dots.

    A dot's counter belongs to (node, incarnation, partition). It starts each epoch (each start of
    the daemon, numbered durably before serving) above all earlier ones, so nothing is written to
    issue one. What this node may have shipped and forgotten (dynamo.history): the dots below the
    counter at which its newest unclean start began, and in a partition whose records it has handed
    over and dropped, all that it had issued there by then. What it wrote as a stand-in for owners
    (dynamo.coordination.away) is in hints, so its own records do not know of it; other hints do, as
    long as none of them is dropped.
    """

    __slots__ = (
        "_away",
        "_counters",
        "_forgotten",
        "_renewals",
        "_unclean",
        "actor",
        "epoch",
        "incarnation",
        "node",
    )

    def __init__(
        self, node: NodeId, incarnation: str, epoch: int, unclean_epoch: int, partitions: int
    ) -> None:
        assert 0 <= unclean_epoch <= epoch, "an unclean start is one of the starts"
        self.node, self.incarnation = node, incarnation
        self.actor = Actor(f"{node}/{incarnation}")
        self.epoch = epoch
        self._unclean = unclean_epoch << EPOCH_BITS
        self._forgotten: dict[PartitionId, int] = {}
        self._away: dict[PartitionId, int] = {}
        """The newest dot that it issued as a stand-in."""
        self._counters = [epoch << EPOCH_BITS] * partitions
        self._renewals = 0

    def next_dot(self, partition: PartitionId, above: int = 0) -> Dot:
        """A dot that was never issued before.

        `above`: the highest counter that the item's record has seen of this node. Only a forged
        context can have brought one that was never issued; then this item goes on above it.
        """
        counter = self._counters[partition] + 1
        self._counters[partition] = counter
        return Dot(self.actor, max(counter, above + 1))

    def first_request(self) -> int:
        """Where this start's request ids begin, apart from those of all other starts: a replica
        may acknowledge late what an earlier start had asked, over the link of this one."""
        slot = crc32(f"{self.actor} {self.epoch}".encode()) + self._renewals
        return (slot & _SLOT_MASK) << 32

    def renew(self) -> None:
        """Other request ids from now on: what was asked before is not waited for any more."""
        self._renewals += 1

    def forgetting(self, partition: PartitionId, history: History) -> History:
        """The history of a record that takes the place of one that was damaged here: this node's
        dots that it does not cover are a gap under a new dot, not taken as seen."""
        forgotten = self._counters[partition]
        self._counters[partition] = forgotten + 1
        counter = max(forgotten, history.vector.get(self.actor, 0)) + 1
        return history.with_dot(self.actor, counter, forgotten)

    def forget(self, partition: PartitionId) -> None:
        """Records of the partition leave this node: it knows no more what its dots were."""
        self._forgotten[partition] = self._counters[partition]

    def went_away(self, partition: PartitionId) -> None:
        """The last dot is in a hint, and not in a record of its own."""
        self._away[partition] = self._counters[partition]

    def hint_dropped(self, partition: PartitionId) -> None:
        """And now that may be in no hint either."""
        if partition in self._away:
            self.forget(partition)

    def forgotten_up_to(self, partition: PartitionId, *, away: bool = False) -> int:
        """The counter up to which dots of this node in the partition may be unknown to its records;
        `away`: to its records and hints together."""
        known = max(self._unclean, self._forgotten.get(partition, 0))
        return known if away else max(known, self._away.get(partition, 0))

    def issued(self, partition: PartitionId) -> int:
        """The highest counter issued so far in the partition."""
        return self._counters[partition]
