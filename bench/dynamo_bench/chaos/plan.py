"""What is wanted of a run, and what it showed."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from dynamo.config import Durability
from dynamo_bench.chaos.judging import Judgement
from dynamo_bench.chaos.schedule import Schedule
from dynamo_bench.chaos.verdicts import End, Verdict
from dynamo_bench.chaos.windows import Around, Fates, Window

MAXIMUM_S = 4.0

Network = Literal["proxy", "namespaces"]


class Plan(NamedTuple):
    """What is wanted of a run."""

    schedule: Schedule
    nodes: int = 3
    clients: int = 2
    keys: int = 200
    value_bytes: int = 512
    directory: Path | None = None
    rate: float | None = None
    """Operations a second; None: a share of the maximum, which is measured first."""
    maximum_s: float = MAXIMUM_S
    durability: Durability = "fsync"
    network: Network = "proxy"
    items: int = 0
    """Written before the load, and all read after it."""


class Outcome(NamedTuple):
    """What a run showed."""

    maximum: float | None
    """Operations a second of a closed loop, before the faults; None: not measured."""
    rate: float
    """Operations a second of the load."""
    windows: list[Window]
    faults: list[Around]
    left_out: list[str]
    """Faults that were not done, and why."""
    judgement: Judgement
    verdicts: list[Verdict]
    fates: Fates
    end: End

    @property
    def holds(self) -> bool:
        """Whether no verdict is a no."""
        return all(verdict.holds is not False for verdict in self.verdicts)


Tell = Callable[[str], None]
