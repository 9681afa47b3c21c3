"""How old what arrives is, without a common clock.

    sender's clock    |----s1------s2---------------------s3---->   each frame says when it was sent
    receiver's clock  |------r1------r2--------------------------r3->
                         r - s:  small    small              large    the smallest is a quick frame;
                                                                      what exceeds it is age

Law: whatever the two clocks show, a frame's age is how much longer it was under way than the
quickest frame of the last while. Never negative, and too low by the journey of the quickest.

The quickest of the last while, not of all times: two clocks drift apart by a third of a second in
an hour, and that of a machine that slept has stood still. A connection's first frame has no age;
nor has one whose sender stood still before it stamped it. Pings are frames too, so that no
connection is without one for long.
"""

from typing import Final

STAMP_BITS: Final = 32
"""Of milliseconds: a clock is round in 49 days, and ages are told apart up to half of that."""
WHILE_MS: Final = 2_000.0
"""A quickest frame counts so long at least, and until there is one in each of two whiles after it.
Raising it: what comes from a machine whose clock stood still is taken for late for longer; lowering
it: a queue that stays long is taken for the journey."""

_ROUND: Final = 1 << STAMP_BITS
_HALF: Final = _ROUND >> 1


def stamp_of(now_ms: float) -> int:
    """What a frame says of when it was sent; never 0, which says nothing."""
    return int(now_ms) % _ROUND or 1


class Ages:
    """The quickest frames of one connection in one direction."""

    __slots__ = ("_begun_ms", "_best", "_former", "_zero")

    def __init__(self) -> None:
        self._zero = -1
        """What the clocks differed by at the first frame; differences are counted from there."""
        self._best = self._former = 0
        """The smallest difference of this while, and of the one before."""
        self._begun_ms = 0.0

    def age_ms(self, stamp: int, now_ms: float) -> int:
        """How old a frame of this stamp is now, in ms."""
        if not stamp:
            return 0
        difference = (int(now_ms) - stamp) % _ROUND
        if self._zero < 0:
            self._zero, self._begun_ms = difference, now_ms
        beyond = difference - self._zero
        if beyond >= _HALF:
            beyond -= _ROUND
        elif beyond < -_HALF:
            beyond += _ROUND
        age = beyond - min(self._best, self._former)
        if now_ms - self._begun_ms >= WHILE_MS:
            self._former, self._best, self._begun_ms = self._best, beyond, now_ms
        elif beyond < self._best:
            self._best = beyond
        return age if age > 0 else 0
