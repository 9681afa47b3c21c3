"""The weather between all parties: nodes by their names, and `clients`, who are one party."""

from collections.abc import Callable, Iterable

from dynamo_bench.chaos.flow import Way

CLIENTS = "clients"


class Weather:
    """Each ordered pair's way; whoever changes one calls `changed`."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._nodes = (*nodes, CLIENTS)
        self._ways = {(a, b): Way() for a in self._nodes for b in self._nodes if a != b}
        self.changed: Callable[[], None] = lambda: None
        """Called after every change."""

    def way(self, sender: str, receiver: str) -> Way:
        """The direction from one party to another; fine weather from and to strangers."""
        return self._ways.get((sender, receiver)) or Way()

    def between(self, node: str, others: Iterable[str]) -> list[Way]:
        """Both directions between a node and some others."""
        others = tuple(others)
        return [*self.to(node, others), *self.of(node, others)]

    def to(self, node: str, others: Iterable[str]) -> list[Way]:
        """From the others to the node."""
        return [self.way(other, node) for other in others]

    def of(self, node: str, others: Iterable[str]) -> list[Way]:
        """From the node to the others."""
        return [self.way(node, other) for other in others]

    def clear(self) -> None:
        """Fine weather everywhere."""
        for way in self._ways.values():
            way.clear()
        self.changed()

    @property
    def is_clear(self) -> bool:
        """Whether nothing is wrong anywhere."""
        return all(way.is_clear for way in self._ways.values())
