"""The cluster beside the yardstick, in turn, on one machine, in the same minutes.

    round 1:  yardstick put 1 · cluster put 1 · yardstick get 1 · cluster get 1 (client, server) …
    round 2:  the same again

Machines differ, and one machine differs from minute to minute; a ratio of two measurements that
stand side by side differs least. The ratio of a row is the median of the rounds' ratios.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple, Protocol

from dynamo_bench.load import Reads
from dynamo_bench.measure import Figures
from dynamo_bench.targets import CELLS, TARGETS, Cell, CellWorkload, Target


class Plan(NamedTuple):
    """How long a comparison takes."""

    rounds: int = 3
    seconds: float = 10.0
    settle_s: float = 1.0
    """Rest before each measurement, so that one side's checkpoint is not charged to the other."""


class Side(Protocol):
    """What can be measured: the yardstick, or a load on a cluster."""

    async def measure(self, workload: CellWorkload, *, concurrency: int, seconds: float) -> Figures:
        """Run one cell."""


class Rounds(NamedTuple):
    """Everything that was measured: for each cell one result per round."""

    yardstick: Mapping[Cell, Sequence[Figures]]
    cluster: Mapping[Cell, Mapping[Reads, Sequence[Figures]]]
    """By who coordinates the reads; puts, to which that is nothing, stand under one only."""


class Row(NamedTuple):
    """One target and what became of it."""

    target: Target
    yardstick: float
    cluster: float
    ratio: float
    ratios: list[float]
    """One per round."""
    reads: Reads
    """The better way to read."""

    def as_json(self) -> dict[str, object]:
        """The shape that scripts rely on."""
        return {
            "name": self.target.name,
            "unit": self.target.unit,
            "yardstick": round(self.yardstick, 3),
            "cluster": round(self.cluster, 3),
            "ratio": round(self.ratio, 3),
            "ratios": [round(ratio, 3) for ratio in self.ratios],
            "reads": self.reads,
            "at_least": self.target.at_least,
            "aim": self.target.aim,
            "holds": self.target.holds(self.ratio, self.target.at_least),
            "reaches_aim": self.target.holds(self.ratio, self.target.aim),
        }


async def measure_rounds(
    yardstick: Side,
    loads: Mapping[Reads, Side],
    plan: Plan,
    started: Callable[[str], None],
) -> Rounds:
    """Measure every cell on both sides; `started` hears what is being measured."""
    bare: dict[Cell, list[Figures]] = {cell: [] for cell in CELLS}
    ours: dict[Cell, dict[Reads, list[Figures]]] = {
        cell: {reads: [] for reads in _ways(cell, loads)} for cell in CELLS
    }

    async def measure(side: Side, cell: Cell, label: str) -> Figures:
        started(label)
        await asyncio.sleep(plan.settle_s)
        return await side.measure(cell.workload, concurrency=cell.concurrency, seconds=plan.seconds)

    for number in range(1, plan.rounds + 1):
        for cell in CELLS:
            label = f"round {number}/{plan.rounds}, {cell.workload} × {cell.concurrency}"
            bare[cell].append(await measure(yardstick, cell, f"{label}, yardstick"))
            for reads, results in ours[cell].items():
                results.append(await measure(loads[reads], cell, f"{label}, cluster ({reads})"))
    return Rounds(bare, ours)


def rows(rounds: Rounds, targets: Sequence[Target] = TARGETS) -> list[Row]:
    """One row per target, with the better way to read."""
    return [_row(rounds, target) for target in targets]


def errors(rounds: Rounds) -> dict[str, int]:
    """All failed operations against the cluster, by kind."""
    total: Counter[str] = Counter()
    for ways in rounds.cluster.values():
        for results in ways.values():
            for figures in results:
                total.update(figures.errors)
    return dict(total)


def as_json(rounds: Rounds) -> dict[str, object]:
    """The shape that scripts rely on: the rows, and every measurement behind them."""
    return {
        "rows": [row.as_json() for row in rows(rounds)],
        "errors": errors(rounds),
        "cells": [
            {
                "workload": cell.workload,
                "concurrency": cell.concurrency,
                "yardstick": [figures.as_json() for figures in rounds.yardstick[cell]],
                "cluster": {
                    reads: [figures.as_json() for figures in results]
                    for reads, results in ways.items()
                },
            }
            for cell, ways in rounds.cluster.items()
        ],
    }


def _ways(cell: Cell, loads: Mapping[Reads, Side]) -> list[Reads]:
    return list(loads) if cell.workload == "get" else list(loads)[:1]


def _row(rounds: Rounds, target: Target) -> Row:
    bare = [target.figure(figures) for figures in rounds.yardstick[target.cell]]
    candidates = []
    for reads, results in rounds.cluster[target.cell].items():
        ours = [target.figure(figures) for figures in results]
        ratios = [_ratio(mine, other) for mine, other in zip(ours, bare, strict=True)]
        candidates.append(Row(target, median(bare), median(ours), median(ratios), ratios, reads))
    best = max if target.more_is_better else min
    return best(candidates, key=lambda row: row.ratio)


def _ratio(mine: float, other: float) -> float:
    return mine / other if other else float("inf")
