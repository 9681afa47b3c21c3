"""The side of a comparison that is asked: hashes, keys and records, a page at a time.

It keeps nothing about a comparison but with whom it is: every question says all it needs, so an
answer that is lost costs nothing, and each costs at most one page of work.
"""

from collections.abc import Set as AbstractSet

from dynamo.merkle.tree import ROOT, is_leaf
from dynamo.messages import REPLICA_PAGE, ReplicaPage
from dynamo.messages_exchange import (
    ITEMS_ARE,
    NODES_DIFFER,
    Children,
    CompareNodes,
    ItemsAre,
    ListItems,
    NodesDiffer,
    ReadItems,
)
from dynamo.repair.knowledge import Knowledge
from dynamo.types import ItemKey, NodeId, PartitionId

SERVING_MS = 2000.0
"""Who compares and says nothing for so long does so no more."""
READ_BYTES_MAX = 1 << 20
"""Records in one answer, and one more."""


class Answering:
    """Answers one co-owner's comparison at a time; to others this node is busy."""

    def __init__(self, known: Knowledge, ready: AbstractSet[PartitionId]) -> None:
        """`ready`: the partitions that count here; a rebuilding one is not compared."""
        self._trees, self._in_sync, self._settled, _ = known
        self._ready = ready
        self._with: NodeId | None = None
        self._until_ms = 0.0

    def serves(self, now_ms: float) -> NodeId | None:
        """Whose comparison is being answered."""
        return self._with if now_ms < self._until_ms else None

    def free_ms(self) -> float:
        """When this node is free again if nothing more is asked."""
        return self._until_ms

    def done(self, peer: NodeId) -> None:
        """The co-owner is through, or gone."""
        if self._with == peer:
            self._with, self._until_ms = None, 0.0

    def compare(self, peer: NodeId, asked: CompareNodes, now_ms: float) -> NodesDiffer:
        """Where hashes differ here; `busy` while somebody else compares."""
        if self.serves(now_ms) not in (None, peer):
            return NodesDiffer(NODES_DIFFER, asked.id, True, ())
        self._hold(peer, now_ms)
        unequal: list[Children] = []
        for partition, n, node, hash in asked.nodes:
            name = partition, n
            tree = self._trees.tree(name) if partition in self._ready else None
            if tree is None:
                if node == ROOT:
                    unequal.append((partition, n, ROOT, b""))
            elif tree.hash(node) != hash:
                children = b"" if is_leaf(node) else tree.children(node)
                unequal.append((partition, n, node, children))
            elif node == ROOT:
                self._in_sync.equal(peer, name, now_ms)
        return NodesDiffer(NODES_DIFFER, asked.id, False, tuple(unequal))

    def listing(self, peer: NodeId, asked: ListItems, now_ms: float) -> ItemsAre:
        """Keys and hashes below some leaves."""
        self._hold_on(peer, now_ms)
        packed = asked.leaves
        pairs = range(0, len(packed), 2)
        leaves = frozenset(int.from_bytes(packed[at : at + 2], "big") for at in pairs)
        name = asked.partition, asked.n
        items, upto = self._trees.listed(name, leaves, asked.after, asked.upto)
        taken = dict(self._settled.durable(name)) if name in self._trees.names() else {}
        return ItemsAre(ITEMS_ARE, asked.id, tuple(items), upto, taken)

    def records(self, peer: NodeId, asked: ReadItems, now_ms: float) -> ReplicaPage:
        """Records; what is damaged here is left out like what is missing."""
        self._hold_on(peer, now_ms)
        size = 0
        items: list[tuple[ItemKey, bytes]] = []
        for key in asked.keys:
            if size >= READ_BYTES_MAX:
                return ReplicaPage(REPLICA_PAGE, asked.id, tuple(items), False, True)
            if (record := self._trees.held(key)) is not None:
                size += len(record)
                items.append((key, record))
        return ReplicaPage(REPLICA_PAGE, asked.id, tuple(items), True, True)

    def _hold(self, peer: NodeId, now_ms: float) -> None:
        self._with, self._until_ms = peer, now_ms + SERVING_MS

    def _hold_on(self, peer: NodeId, now_ms: float) -> None:
        if self.serves(now_ms) == peer:
            self._hold(peer, now_ms)
