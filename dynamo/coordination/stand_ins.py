"""Who stands in for the owners that one write cannot reach (sloppy quorum, the paper's 4.6).

    owners      n1 (me)   n2 ✗     n3            n2 is down, lost, full or silent
    fallbacks   n4 ✗      n5       n6            the next one that is up keeps the record for n2
                          └─ HintPut(owner = n2)

Law: a write has one slot per owner; a slot counts once, whether its owner or its stand-in has the
record durably, so that W acknowledgements stay W copies when the hint has been handed over. A node
stands in for one owner of a write at most.
"""

from collections.abc import Set as AbstractSet

from dynamo.types import NodeId


class StandIns:
    """The fallbacks of one write. Made only when an owner fails."""

    __slots__ = ("_order", "absent", "owner_of", "watched")

    def __init__(self, order: tuple[NodeId, ...]) -> None:
        """`order`: the partition's fallbacks, the best first."""
        self._order = order
        self.absent: list[NodeId] = []
        """Owners for whom a fallback is still to be asked."""
        self.owner_of: dict[NodeId, NodeId] = {}
        """Fallback -> the owner for whom it was asked."""
        self.watched = False
        """Whether the write's slow owners were replaced already."""

    def slot(self, node: NodeId) -> NodeId:
        """The owner whose copy this node holds or stands in for."""
        return self.owner_of.get(node, node)

    def next(self, up: AbstractSet[NodeId], silent: AbstractSet[NodeId]) -> NodeId | None:
        """The best fallback that was not asked yet, silent ones last."""
        left = [node for node in self._order if node in up and node not in self.owner_of]
        return next((node for node in left if node not in silent), left[0] if left else None)

    def left(self, up: AbstractSet[NodeId]) -> int:
        """How many can still be asked."""
        return sum(node in up and node not in self.owner_of for node in self._order)

    def in_slot(self, owner: NodeId, pending: list[NodeId]) -> list[NodeId]:
        """Who is waited for in an owner's slot."""
        return [node for node in pending if self.slot(node) == owner]

    def possible(self, pending: list[NodeId], up: AbstractSet[NodeId]) -> int:
        """Slots that may still be acknowledged."""
        slots = {self.slot(node) for node in pending}
        absent = [owner for owner in self.absent if owner not in slots]
        return len(slots) + min(len(absent), self.left(up))

    def lagging(self, pending: list[NodeId], silent: AbstractSet[NodeId]) -> list[NodeId]:
        """Owners whose slots need one node more: at the first look all without a stand-in, later
        those in which everybody is silent."""
        first, self.watched = not self.watched, True
        lagging = []
        for owner in dict.fromkeys(self.slot(node) for node in pending):
            waited_for = self.in_slot(owner, pending)
            if waited_for == [owner] if first else all(node in silent for node in waited_for):
                lagging.append(owner)
        return lagging
