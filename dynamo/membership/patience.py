"""How long to wait for an answer before its lack means something.

    patience = mean + 6 x deviation of what answers took, between two bounds

Mean and mean deviation are moving averages, as TCP keeps them for its own timer (Jacobson, 1988):
two floats per peer and no window. An answer that came too late is learned like any other, so that
whoever was suspected wrongly is given more time the next time, and slowly less again. Why not phi
accrual: decision 009 has the figures.
"""

MEAN_WEIGHT = 0.125
DEVIATION_WEIGHT = 0.25
DEVIATIONS = 6.0
"""Raising it: fewer false suspicions, later true ones; lowering it: the reverse."""


class Patience:
    """What one peer's answers have taught."""

    __slots__ = ("_deviation", "_mean", "_most_ms", "least_ms")

    def __init__(self, least_ms: float, most_ms: float) -> None:
        """Nothing is known yet: the patience is the most."""
        assert 0 < least_ms <= most_ms, "the bounds of patience are in order"
        self.least_ms, self._most_ms = least_ms, most_ms
        self._mean = -1.0
        self._deviation = 0.0

    def learn(self, took_ms: float) -> None:
        """An answer took so long; beyond the most it teaches nothing more."""
        took_ms = min(took_ms, self._most_ms)
        if self._mean < 0:
            self._mean, self._deviation = took_ms, took_ms / 2
            return
        off = took_ms - self._mean
        self._mean += MEAN_WEIGHT * off
        self._deviation += DEVIATION_WEIGHT * (abs(off) - self._deviation)

    def ms(self) -> float:
        """After how long a question counts as not answered."""
        if self._mean < 0:
            return self._most_ms
        return min(max(self._mean + DEVIATIONS * self._deviation, self.least_ms), self._most_ms)
