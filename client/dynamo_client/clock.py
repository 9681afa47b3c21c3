"""The cluster's clock, as a client reads it: for the stamps in operation ids.

    wall = the node's wall clock when it answered + what has passed here since (monotonic)

Nodes refuse a stamp that is too far ahead of them, and `lww` orders by stamps; a client whose own
wall clock is wrong is right all the same. The largest stamp seen is carried into the next
operation, so that a second write is above the first whichever node coordinates it.
"""

import os

from dynamo.hlc import LOGICAL_BITS, HybridClock
from dynamo.siblings.record import operation_id
from dynamo.types import OperationId

AHEAD_MS_MAX = 250
"""Stamps further ahead of the cluster's clock are not carried. Half of what nodes bear
(`skew_ms_max`), lest one node with a wrong clock make this client's writes unwelcome elsewhere."""


ITEMS_AHEAD_MAX = 1024
"""Items of which an own write's stamp is too far ahead to be carried everywhere; beyond, the
oldest is forgotten, and only the order of blind writes to it in an `lww` table is at stake."""

Item = tuple[int, bytes, bytes]
"""Table, key, sort key."""


class ClusterClock:
    """Stamps and operation ids of one client."""

    __slots__ = ("_ahead", "_clock", "_offset_ms", "_sequence", "_session")

    def __init__(self) -> None:
        self._clock = HybridClock(AHEAD_MS_MAX)
        self._ahead: dict[Item, int] = {}
        self._offset_ms = 0.0
        self._session = int.from_bytes(os.urandom(8), "big")
        self._sequence = 0

    def learn(self, wall_ms: int, sent_ms: float, now_ms: float) -> None:
        """A node's wall clock, asked for at `sent_ms` and answered now (monotonic)."""
        self._offset_ms = wall_ms - (sent_ms + now_ms) / 2

    def observe(self, stamp: int, now_ms: float) -> None:
        """A stamp that an answer carried."""
        self._clock.observe(stamp, int(now_ms + self._offset_ms))

    def wrote(self, item: Item, stamp: int, now_ms: float) -> None:
        """An own write of `item` has this stamp: the next one gets a higher one, though it
        replaced something written by a clock too far ahead to be followed everywhere."""
        wall_ms = int(now_ms + self._offset_ms)
        self._clock.observe(stamp, wall_ms)
        if self._ahead:
            self._ahead.pop(item, None)
        if stamp > wall_ms + AHEAD_MS_MAX << LOGICAL_BITS:
            self._ahead[item] = stamp
            if len(self._ahead) > ITEMS_AHEAD_MAX:
                del self._ahead[next(iter(self._ahead))]

    def operation(self, now_ms: float, ahead_ms: int = 0, item: Item | None = None) -> OperationId:
        """A new operation's id. `ahead_ms` lifts its stamp above a record's floor, and it is
        above those of this client's own writes of `item`."""
        wall_ms = int(now_ms + self._offset_ms)
        above = (wall_ms + ahead_ms << LOGICAL_BITS) if ahead_ms else 0
        if self._ahead and item is not None:
            above = max(above, self._ahead.get(item, 0))
        stamp = self._clock.next(wall_ms, above)
        self._sequence = sequence = (self._sequence + 1) & 0xFFFFFFFF
        return operation_id(stamp, self._session, sequence)
