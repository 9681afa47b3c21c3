"""Many seeds, in as many processes as there are cores, and what they saw together."""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from multiprocessing import get_context

from dynamo.testing.faults import KINDS
from dynamo.testing.scenario import Result, Scenario
from dynamo.testing.swarm import drawn

WORLDS_KEPT = 8
"""So many runs leave their worlds, 20 MB each, before they are looked for."""
_runs = count(1)
COMMAND = "python -m dynamo.testing --seed {seed}"


def run_seed(seed: int) -> Result:
    """One run of the shape that the seed draws. What nobody expected is a finding as well.

    A run makes hardly any cycles; looking for them all the time would be a sixth of its time. But a
    whole world is one when its run is over.
    """
    gc.disable()
    try:
        return Scenario(seed, drawn(seed)).run()
    finally:
        gc.enable()
        if next(_runs) % WORLDS_KEPT == 0:
            gc.collect()


def run_seeds(seeds: Iterable[int], jobs: int) -> Iterator[Result]:
    """All runs, as they end."""
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(run_seed, seeds)


class Summary:
    """What all runs saw, added up."""

    def __init__(self) -> None:
        self.seeds = self.operations = self.events = 0
        self.faults: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self.outcomes: Counter[str] = Counter()
        self.overlapping_min = 0
        self.failed: list[Result] = []

    def add(self, result: Result) -> None:
        """Take one run in."""
        overlapping = result.overlapping_max
        self.overlapping_min = min(self.overlapping_min, overlapping) if self.seeds else overlapping
        self.seeds += 1
        self.operations += result.operations
        self.events += result.events
        self.faults.update(result.faults)
        self.outcomes.update(result.outcomes)
        if result.violation:
            self.failed.append(result)

    def lines(self) -> Iterator[str]:
        """The summary for people."""
        yield f"{self.seeds} seeds, {self.operations:,} operations, {self.events:,} events"
        yield f"at least {self.overlapping_min} faults at one time in each"
        yield "faults      " + _counted(self.faults)
        yield "operations  " + _counted(self.outcomes)
        for result in sorted(self.failed):
            yield f"FAILED seed {result.seed}: {result.violation}"
            command = COMMAND.format(seed=result.seed)
            yield f"  repeat with: {command} --trace"
            yield f"  shorten with: {command} --shrink"
        yield self.verdict()

    def verdict(self) -> str:
        """All of it in one sentence."""
        faults = sum(self.faults.values())
        broken = "no promise was broken"
        if self.failed:
            broken = f"promises were broken in {len(self.failed)} of them"
        return f"In {self.seeds} simulated clusters with {faults:,} faults {broken}."


def _counted(counts: "Counter[str]") -> str:
    return ", ".join(f"{name} {counts[name]:,}" for name in sorted(counts))
