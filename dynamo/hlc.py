"""Hybrid logical clock: stamps that follow causality and stay near the wall clock.

    stamp = max(wall << 16, highest seen + 1)

A stamp orders the values of `lww` tables and bounds retry windows. It never decides what a vector
already knows. The skew bound applies only where a stamp is made: a clock that another node's stamp
would drag further than `skew_ms_max` ahead of its own wall does not follow it (Kulkarni et al.,
"Logical Physical Clocks", 2014, section 3; scylladb#10966 is what happens without).
"""

from dynamo.types import Stamp

LOGICAL_BITS = 16


class HybridClock:
    """Makes stamps; one per node and per client."""

    __slots__ = ("_highest", "_skew")

    def __init__(self, skew_ms_max: int) -> None:
        self._highest = 0
        self._skew = skew_ms_max << LOGICAL_BITS

    def next(self, wall_ms: int, above: int = 0) -> Stamp:
        """A stamp above every one made here, above `above`, and not behind the wall clock.

        `above` is a stamp that the new one must exceed because its value is overwritten
        (causality first), however far ahead it is.
        """
        self._highest = max(self._highest + 1, wall_ms << LOGICAL_BITS)
        return Stamp(max(self._highest, above + 1))

    def observe(self, stamp: int, wall_ms: int) -> None:
        """Learn another's stamp, unless it is further ahead than the skew bound."""
        if self._highest < stamp <= (wall_ms << LOGICAL_BITS) + self._skew:
            self._highest = stamp


def stamp_ms(stamp: int) -> int:
    """The wall-clock milliseconds in a stamp."""
    return stamp >> LOGICAL_BITS
