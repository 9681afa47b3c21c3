"""What coordination machines ask of the kernel beside effects, and how answers find them.

Requests to replicas carry an id whose lowest bits name the machine that waits for the answer.
"""

from collections.abc import Iterable
from typing import NamedTuple

from dynamo.errors import Code
from dynamo.messages import Effect
from dynamo.ports import BEHIND
from dynamo.types import ItemKey

PUTS, GETS, OUTCOMES, REPAIRS, HANDOFF, STRAYS, CLOSING = range(7)
WANT_ALL_KEPT = (OUTCOMES, CLOSING)
"""Who wants to know of everything that a node keeps of an item, not only what readers are shown."""
TAG_BITS = 3
TAG_MASK = (1 << TAG_BITS) - 1

TIMER_GRAIN_MS = 5.0


class NeedsRepair(NamedTuple):
    """The owners of this item differ."""

    key: ItemKey


class AllAgree(NamedTuple):
    """Every owner holds exactly this record durably, so its gaps may be closed."""

    key: ItemKey
    record: bytes


Decision = Effect | NeedsRepair | AllAgree


def short_of_quorum(causes: Iterable[tuple[str, str]]) -> Code:
    """What it means that a quorum is out of reach. Who refuses as by an older ring knows a newer
    one: the client is to ask again, by that."""
    behind = any(cause == BEHIND for _, cause in causes)
    return Code.WRONG_RING if behind else Code.QUORUM_NOT_REACHED


class Ids:
    """Request ids of one machine, from those of its node's start on (`Identity.first_request`)."""

    __slots__ = ("last",)

    def __init__(self, tag: int, first: int) -> None:
        self.last = first + tag
        """The newest."""

    def next(self) -> int:
        """An id that no request of this node has had."""
        self.last += 1 << TAG_BITS
        return self.last
