"""Admission: how many client operations a node works on at once, in all and per client."""

from dynamo.errors import Code, Failure
from dynamo.messages import Source

RETRY_AFTER_MS = 50


class Gate:
    """Counts operations in; at a bound the answer is `Overloaded`, at once. A shut gate lets
    nobody in any more: the node is stopping, another may be asked."""

    __slots__ = ("_is_shut", "_most", "_most_each", "_of", "inside")

    def __init__(self, most: int, most_each: int) -> None:
        self._most, self._most_each = most, most_each
        self._of: dict[Source, int] = {}
        self._is_shut = False
        self.inside = 0

    def enter(self, source: Source) -> Failure | None:
        """Let an operation of `source` in, or say why not."""
        mine = self._of.get(source, 0)
        if self.inside >= self._most:
            if self._is_shut:
                return Failure(Code.NOT_SERVING, "this node is stopping")
            return _full(f"{self.inside} operations in flight at this node")
        if mine >= self._most_each:
            return _full(f"{mine} operations in flight from this client")
        self._of[source] = mine + 1
        self.inside += 1
        return None

    def shut(self) -> None:
        """Let nobody in from now on."""
        self._is_shut, self._most = True, 0

    def leave(self, source: Source) -> None:
        """An operation that was let in has been answered."""
        self.inside -= 1
        mine = self._of[source] - 1
        if mine:
            self._of[source] = mine
        else:
            del self._of[source]


def _full(message: str) -> Failure:
    return Failure(Code.OVERLOADED, message, retry_after_ms=RETRY_AFTER_MS)
