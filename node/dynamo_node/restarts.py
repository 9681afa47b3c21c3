"""When to start a dead node again.

    delay(k) = min(first x 2^(k-1), 10 s) x uniform(0.5, 1)   after the k-th death in a row

A life of 30 s ends the row. A node that dies five times in a row without ever having served will
not serve the sixth time either: its configuration or its disk is wrong, so we give up.
"""

from random import Random

FIRST_DELAY_S = 0.2
"""Pause after the first death. Raising it: a crash costs availability for longer; lowering it:
a node that cannot start burns more of the machine."""

DELAY_S_MAX = 10.0
"""Longest pause. Raising it: a repaired cause is noticed later; lowering it: as above."""

STEADY_S = 30.0
"""A life this long counts as healthy. Raising it: backoff is remembered longer; lowering it: a
node that crashes regularly is restarted eagerly for ever."""

ATTEMPTS_MAX = 5
"""Deaths in a row before ever serving, then `up` gives up."""


class Restarts:
    """The deaths in a row of one node."""

    def __init__(self, random: Random, first_delay_s: float = FIRST_DELAY_S) -> None:
        self._random = random
        self._first_delay_s = first_delay_s
        self._deaths = 0
        self._served = False

    def served(self) -> None:
        """The node has served; from now on it is never given up."""
        self._served = True

    def died(self, lived_s: float) -> float | None:
        """Seconds until the next start, or None to give up."""
        self._deaths = 1 if lived_s >= STEADY_S else self._deaths + 1
        if not self._served and self._deaths >= ATTEMPTS_MAX:
            return None
        doubled = self._first_delay_s * 2.0 ** min(self._deaths - 1, 16)
        return min(doubled, DELAY_S_MAX) * self._random.uniform(0.5, 1)
