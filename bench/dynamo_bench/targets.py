"""The numbers to hold: what the cluster must reach as a ratio to the yardstick, and aims for.

A row takes one figure of one cell. A ratio of rates must be at least its bounds, a ratio of
latencies at most.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from dynamo_bench.measure import Figures

CellWorkload = Literal["put", "get"]
WORKLOADS: tuple[CellWorkload, ...] = ("put", "get")


class Cell(NamedTuple):
    """One measurement: what is done, by how many at a time."""

    workload: CellWorkload
    concurrency: int


class Target(NamedTuple):
    """One row of the table."""

    name: str
    cell: Cell
    unit: str
    figure: Callable[[Figures], float]
    at_least: float
    aim: float
    more_is_better: bool

    def holds(self, ratio: float, bound: float) -> bool:
        """Whether a ratio is on the good side of a bound."""
        return ratio >= bound if self.more_is_better else ratio <= bound


def _rate(figures: Figures) -> float:
    return figures.ops_per_s


def _p50(figures: Figures) -> float:
    return figures.p50_ms


def _p99(figures: Figures) -> float:
    return figures.p99_ms


PUT_1, PUT_64, PUT_256 = (Cell("put", concurrency) for concurrency in (1, 64, 256))
GET_1, GET_64, GET_256 = (Cell("get", concurrency) for concurrency in (1, 64, 256))

TARGETS = (
    Target("durable puts, 64 in flight", PUT_64, "/s", _rate, 0.5, 1.0, True),
    Target("durable puts, 256 in flight", PUT_256, "/s", _rate, 0.35, 1.0, True),
    Target("quorum gets, 64 in flight", GET_64, "/s", _rate, 0.45, 1.0, True),
    Target("quorum gets, 256 in flight", GET_256, "/s", _rate, 0.4, 1.0, True),
    Target("put p99, 64 in flight", PUT_64, "ms", _p99, 3.0, 1.2, False),
    Target("get p99, 64 in flight", GET_64, "ms", _p99, 3.0, 1.2, False),
    Target("one put in flight, p50", PUT_1, "ms", _p50, 1.8, 1.2, False),
    Target("one get in flight, p50", GET_1, "ms", _p50, 1.8, 1.2, False),
)
CELLS = (PUT_1, GET_1, PUT_64, GET_64, PUT_256, GET_256)
