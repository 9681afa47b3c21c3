"""What a node knows of its own records beside its co-owners': one value for all who repair."""

from typing import NamedTuple, Protocol

from dynamo.config import TableConfig
from dynamo.ports import RecordStore
from dynamo.repair.in_sync import InSync
from dynamo.repair.settled import Settled
from dynamo.repair.trees import Trees
from dynamo.ring.ring import Ring
from dynamo.types import Actor, NodeId, PartitionId


class Writer(Protocol):
    """Who this node is as a writer (dynamo.coordination.identity)."""

    node: NodeId
    actor: Actor

    def issued(self, partition: PartitionId) -> int:
        """The highest dot issued so far in the partition."""


class Knowledge(NamedTuple):
    """Trees over the store, when they were seen equal, and what was taken in for good."""

    trees: Trees
    in_sync: InSync
    settled: Settled
    writer: Writer


def knowledge(
    store: RecordStore,
    ring: Ring,
    writer: Writer,
    tables: tuple[TableConfig, ...],
    missing: frozenset[PartitionId] = frozenset(),
    former: Settled | None = None,
) -> Knowledge:
    """Of a node that starts, or goes on from what it knew under the `former` ring; a record that is
    lost from now on makes its partition unknown. `missing`: partitions that a lost disk took
    along."""
    trees = Trees(store, ring, writer.node, tables)
    in_sync = InSync(writer.node, ring, trees.names())
    numbers = sorted(set(trees.copies.values()))
    names = [(PartitionId(p), n) for p in range(ring.partitions) for n in numbers]
    settled = Settled(trees, writer.actor, trees.copies, trees.names(), names, missing, former)

    def lost(partition: PartitionId) -> None:
        settled.forget(partition)
        in_sync.forget(partition)

    trees.lost = lost
    return Knowledge(trees, in_sync, settled, writer)
