"""A closed loop and what it measured: N workers, each one operation after the other.

The loop adds to an operation one clock reading and one append; everything else is worked out
afterwards. A failed operation counts under its error's kind and has no latency.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

Operate = Callable[[], Awaitable[object]]
Progress = Callable[[float], None]
"""Told the share of the time that has passed, 0 to 1."""

LATENCY_US_MAX = 600_000_000
SIGNIFICANT_DIGITS = 3
ERROR_PAUSE_S = 0.005
"""A worker whose operation failed waits this long, so that failures do not become a storm."""

PROGRESS_INTERVAL_S = 0.2


class Figures(NamedTuple):
    """What one cell of a benchmark showed."""

    operations: int
    """Those that succeeded."""
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    errors: dict[str, int]
    """Failures by kind."""

    @property
    def ops_per_s(self) -> float:
        """Successful operations a second."""
        return self.operations / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, object]:
        """The shape that scripts rely on."""
        return {
            "ops_per_s": round(self.ops_per_s, 1),
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "p999_ms": self.p999_ms,
            "operations": self.operations,
            "seconds": round(self.seconds, 3),
            "errors": self.errors,
        }


async def closed_loop(
    workers: Sequence[Operate], seconds: float, progress: Progress | None = None
) -> Figures:
    """Keep every worker busy for `seconds`; operations begun in time are waited for."""
    latencies = array("d")
    errors: Counter[str] = Counter()
    began = time.perf_counter()
    until = began + seconds
    ticker = asyncio.ensure_future(_tick(progress, began, seconds)) if progress else None
    try:
        async with asyncio.TaskGroup() as group:
            for operate in workers:
                group.create_task(_work(operate, until, latencies, errors))
    finally:
        if ticker:
            ticker.cancel()
    return figures(latencies, time.perf_counter() - began, errors)


def figures(latencies_s: Sequence[float], seconds: float, errors: Counter[str]) -> Figures:
    """Put latencies into an HdrHistogram and read it off."""
    histogram = HdrHistogram(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS)
    for microseconds, count in Counter(round(s * 1e6) for s in latencies_s).items():
        histogram.record_value(min(max(microseconds, 1), LATENCY_US_MAX), count)

    def percentile_ms(percentile: float) -> float:
        return round(float(histogram.get_value_at_percentile(percentile)) / 1e3, 3)

    return Figures(
        operations=len(latencies_s),
        seconds=seconds,
        p50_ms=percentile_ms(50),
        p99_ms=percentile_ms(99),
        p999_ms=percentile_ms(99.9),
        errors=dict(sorted(errors.items())),
    )


async def _work(
    operate: Operate, until: float, latencies: "array[float]", errors: Counter[str]
) -> None:
    clock, record = time.perf_counter, latencies.append
    before = clock()
    while before < until:
        try:
            await operate()
        except Exception as error:
            errors[str(getattr(error, "kind", type(error).__name__))] += 1
            await asyncio.sleep(ERROR_PAUSE_S)
            before = clock()
            continue
        now = clock()
        record(now - before)
        before = now


async def _tick(progress: Progress, began: float, seconds: float) -> None:
    while True:
        progress(min(1.0, (time.perf_counter() - began) / seconds))
        await asyncio.sleep(PROGRESS_INTERVAL_S)
