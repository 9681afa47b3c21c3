"""Two rings at once: who holds a partition while it changes hands, and how many answers count.

Law:      owners = old | new,   extra = |owners| - min(|old|, |new|);
          any k + extra of the owners hold k of the old and k of the new, so that two quorums of
          R + W > N meet among the old owners and among the new;
          as many owners may be missing as at any other time: |owners| - (k + extra) = N - k.

Picture:  old   n1 n2 n3          owners n1 n2 n3 n4, extra 1
          new   n1    n3 n4       W = 2 asks for 3 of the 4: at least 2 of either side

During a change some still count in the old owners alone, some in both, some in the new alone. The
first and the last never exist at once (`dynamo.membership.change`), and whoever counts in both
meets either.
"""

from typing import NamedTuple

from dynamo.ring.ring import Ring
from dynamo.types import NodeId, PartitionId


class Owners(NamedTuple):
    """The owners of one partition before and after, and how many answers more than R or W count."""

    nodes: tuple[NodeId, ...]
    extra: int


def joint_owners(old: tuple[NodeId, ...], new: tuple[NodeId, ...]) -> Owners:
    """Those of both sides first, then the leaving, then the coming."""
    both = [node for node in old if node in new]
    rest = [node for node in (*old, *new) if node not in both]
    nodes = (*both, *rest) if rest else old
    return Owners(nodes, len(nodes) - min(len(old), len(new)))


def leaving(ring: Ring, target: Ring | None) -> tuple[NodeId, ...]:
    """The members that are none any more when a change to `target` ends."""
    if target is None:
        return ()
    staying = {member.node for member in target.members}
    return tuple(member.node for member in ring.members if member.node not in staying)


class Rings:
    """The ring in force and, while a change is under way, the one that it leads to. A value."""

    __slots__ = ("_moving", "given_up", "never_changed", "ring", "target")

    def __init__(
        self,
        ring: Ring,
        target: Ring | None = None,
        moved: bool | None = None,
        given_up: tuple[NodeId, ...] = (),
    ) -> None:
        """`target` has the same epoch, Q and n_max as `ring`; `moved`: whether owners were ever
        others (None: in every epoch but the first); `given_up`: members whose lost disks nobody
        waits for."""
        self.ring, self.target = ring, target
        self.given_up = frozenset(given_up)
        self.never_changed = target is None and not (ring.epoch > 1 if moved is None else moved)
        """Whether nobody but its owners ever held a partition."""
        self._moving: dict[tuple[PartitionId, int], Owners] = {}
        if target is not None:
            self._moving = {
                (partition, n): joint_owners(old, new)
                for n in range(1, ring.n_max + 1)
                for partition in map(PartitionId, range(ring.partitions))
                if set(old := ring.preference_list(partition, n))
                != set(new := target.preference_list(partition, n))
            }

    @property
    def epoch(self) -> int:
        """Of both."""
        return self.ring.epoch

    @property
    def both(self) -> tuple[Ring, ...]:
        """Every ring by which R and W count."""
        return (self.ring,) if self.target is None else (self.ring, self.target)

    @property
    def members(self) -> tuple[NodeId, ...]:
        """All that take part, the coming and the going included."""
        old = [member.node for member in self.ring.members]
        new = [member.node for member in self.target.members] if self.target else []
        return (*old, *(node for node in new if node not in old))

    def owners(self, partition: PartitionId, n: int) -> tuple[NodeId, ...]:
        """Whom the readers and writers of a table of this N ask."""
        moving = self._moving.get((partition, n)) if self._moving else None
        return self.ring.preference_list(partition, n) if moving is None else moving.nodes

    def extra(self, partition: PartitionId, n: int) -> int:
        """How many more than R or W must answer."""
        moving = self._moving.get((partition, n)) if self._moving else None
        return 0 if moving is None else moving.extra

    def fallbacks(self, partition: PartitionId, n: int) -> tuple[NodeId, ...]:
        """Who stands in for an owner, in order: all other members, the coming ones last."""
        moving = self._moving.get((partition, n)) if self._moving else None
        if moving is None:
            return self.ring.fallbacks(partition, n)
        order = dict.fromkeys((*self.ring.owners[partition], *self.members))
        return tuple(node for node in order if node not in moving.nodes)

    def owns_all(self, node: NodeId, n: int) -> bool:
        """Whether `node` is one of the first n of every partition."""
        return len(self.of(node, n)) == self.ring.partitions

    def of(self, node: NodeId, n: int) -> frozenset[PartitionId]:
        """The partitions of which `node` is one of the first n, on either side."""
        old = self.ring.primaries_of(node, n)
        return frozenset(old if self.target is None else (*old, *self.target.primaries_of(node, n)))
