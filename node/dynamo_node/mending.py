"""How much had to be mended lately: hints and repairs of the last minute, of what was served.

    Meters ──sample at a scrape──▶ last 60 s ──▶ share ──▶ alarm above 0.1 %

In health replicas differ only for moments. Hints and repairs that go on say that some node is away,
slow or overloaded, long before anybody misses a value.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from dynamo.meters import Meters

WINDOW_S = 60.0
"""Raising it: short troubles are averaged away; lowering it: the alarm flickers."""
SAMPLE_S = 1.0
"""Scrapes closer together share a sample, so that a window holds 61 at most."""
ALARM_SHARE = 0.001
"""Above it there is an alarm."""
MENDED_MIN = 10
"""Fewer mended records are no alarm, however little was served."""


class Sample(NamedTuple):
    """The sums since the start, at one moment."""

    at_s: float
    served: int
    mended: int


class Mending:
    """The last minute of one node's meters."""

    def __init__(self, meters: Meters, clock: Callable[[], float] = time.monotonic) -> None:
        self._meters, self._clock = meters, clock
        self._samples = deque([self._sample()])

    def lately(self) -> tuple[float, bool]:
        """(mended records per record served, whether that is an alarm), over the window."""
        now, samples = self._sample(), self._samples
        while len(samples) > 1 and samples[1].at_s <= now.at_s - WINDOW_S:
            samples.popleft()
        if now.at_s - samples[-1].at_s >= SAMPLE_S:
            samples.append(now)
        served, mended = now.served - samples[0].served, now.mended - samples[0].mended
        return mended / max(served, 1), mended >= MENDED_MIN and mended > ALARM_SHARE * served

    def _sample(self) -> Sample:
        meters = self._meters
        served = meters.put_ok.count + meters.replica_put_ok.count + meters.replica_get_ok.count
        mended = meters.hints_kept + meters.read_repairs + meters.keys_repaired
        return Sample(self._clock(), served, mended)
