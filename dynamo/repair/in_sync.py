"""When each tree of this node was last seen equal with that of each co-owner ("fully in sync").

A partition is fully in sync when its trees were equal with those of all co-owners; since when is
the oldest of these times. What was never seen equal counts from this node's start.
"""

from collections.abc import Iterable

from dynamo.repair.trees import TreeName
from dynamo.ring.ring import Ring
from dynamo.types import NodeId, PartitionId


class InSync:
    """Times by co-owner and tree; bounded by the ring."""

    def __init__(self, me: NodeId, ring: Ring, names: Iterable[TreeName]) -> None:
        self._equal_ms: dict[NodeId, dict[TreeName, float]] = {}
        for name in names:
            for node in ring.preference_list(*name):
                if node != me:
                    self._equal_ms.setdefault(node, {})[name] = 0.0
        self._asked_ms = 0.0
        self._began_ms: float | None = None

    def co_owners(self) -> list[NodeId]:
        """Who shares trees with this node, in a fixed order."""
        return sorted(self._equal_ms)

    def names(self, peer: NodeId) -> list[TreeName]:
        """The trees that this node and a co-owner have in common."""
        return list(self._equal_ms.get(peer, ()))

    def begin(self, now_ms: float) -> None:
        """Times begin to count here, at the first call."""
        if self._began_ms is None:
            self._began_ms = now_ms

    def ask(self, now_ms: float) -> None:
        """From now on `since_asked` counts anew."""
        self._asked_ms = now_ms

    def equal(self, peer: NodeId, name: TreeName, now_ms: float) -> None:
        """A tree was seen equal with the co-owner's."""
        common = self._equal_ms.get(peer)
        if common is not None and name in common:
            common[name] = now_ms

    def with_all(self, name: TreeName) -> bool:
        """Whether a tree was seen equal with that of every co-owner, each at some time."""
        return all(common.get(name, 1.0) > 0 for common in self._equal_ms.values())

    def co_owners_of(self, name: TreeName) -> list[NodeId]:
        """Who shares one tree with this node."""
        return [peer for peer, common in self._equal_ms.items() if name in common]

    def forget(self, partition: PartitionId) -> None:
        """A record of the partition was lost here: it was never seen equal."""
        for common in self._equal_ms.values():
            for name in common:
                if name[0] == partition:
                    common[name] = 0.0

    def all_since_asked(self, peer: NodeId) -> bool:
        """Whether all trees in common were seen equal since they were last asked about."""
        return self._since_asked(peer) == len(self._equal_ms[peer])

    def since_asked(self) -> dict[str, dict[str, int]]:
        """For each co-owner how many trees there are, and how many were seen equal since then."""
        return {
            peer: {"trees": len(common), "in_sync": self._since_asked(peer)}
            for peer, common in sorted(self._equal_ms.items())
        }

    def age_ms(self, now_ms: float) -> float:
        """For how long some partition has not been fully in sync; 0 without co-owners."""
        began_ms = now_ms if self._began_ms is None else self._began_ms
        oldest = (min(common.values()) for common in self._equal_ms.values())
        return now_ms - max(min(oldest, default=now_ms), began_ms)

    def _since_asked(self, peer: NodeId) -> int:
        least = max(self._asked_ms, 0.001)
        return sum(equal_ms >= least for equal_ms in self._equal_ms[peer].values())
