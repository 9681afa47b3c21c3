"""The simulated world: one heap of events in virtual time, all chance from one seed.

    at(2 ms) ─┐
    at(5 ms) ─┼─▶ heap ─▶ earliest first, ties in the order of their making ─▶ call
    at(9 ms) ─┘

Law: a seed and the same code give the same run, event by event. So nothing here looks at a real
clock, every part draws from a generator of its own (`rng`), and nothing depends on hash order.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from dynamo.types import Instant

BIRTH_MS = 1_700_000_000_000
"""The wall time at which every simulated world begins."""

Trace = Callable[[str], None]


class World:
    """Virtual time and what is going to happen in it."""

    def __init__(self, seed: int, trace: Trace | None = None) -> None:
        self.seed = seed
        self.now = 0.0
        """Monotonic milliseconds since the beginning."""
        self.events = 0
        self.trace = trace
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._made = 0

    def rng(self, purpose: str) -> Random:
        """A generator of its own for each purpose: one part's draws never move another's."""
        return Random(f"{self.seed} {purpose}")

    def at(self, delay_ms: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call after so many virtual milliseconds."""
        self._made += 1
        heappush(self._heap, (self.now + delay_ms, self._made, call, arguments))

    def run_until(self, time_ms: float) -> None:
        """Let everything happen that is due up to then."""
        heap = self._heap
        while heap and heap[0][0] <= time_ms:
            self.now, _, call, arguments = heappop(heap)
            self.events += 1
            call(*arguments)
        self.now = max(self.now, time_ms)

    def note(self, *words: object) -> None:
        """One line for whoever follows this run; nothing is put into words for nobody."""
        if self.trace is not None:
            self.trace(f"{self.now:11.3f} {' '.join(map(str, words))}")


class WallClock:
    """A machine's idea of the date: wrong by an offset, which may jump."""

    def __init__(self, world: World, offset_ms: float = 0.0) -> None:
        self._world = world
        self.offset_ms = offset_ms

    def wall_ms(self) -> int:
        """Milliseconds since 1970, as this machine believes."""
        return BIRTH_MS + int(self._world.now + self.offset_ms)

    def instant(self) -> Instant:
        """Both clocks, read at once."""
        now = self._world.now
        return Instant(now, BIRTH_MS + int(now + self.offset_ms))
