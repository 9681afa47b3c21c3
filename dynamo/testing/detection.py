"""What a failure detector trades: `python -m dynamo.testing.detection`.

First the estimators alone, over the same answer times of a busy node on a network that loses: how
often each is wrong in an hour of one question per interval, and how long it would wait for a node
that has just stopped. Then the whole detector among five nodes: suspicions of nodes that are well,
how many of them were told to others, and how long until a stopped node is suspect.
"""

from collections import deque
from collections.abc import Callable
from math import sqrt
from random import Random
from statistics import NormalDist
from typing import NamedTuple, Protocol

import typer

from dynamo.limits import PRESETS
from dynamo.membership.patience import Patience
from dynamo.testing.neighbourhood import RESEND_MS, Neighbourhood

HOUR_MS = 3_600_000.0
LAN = PRESETS["lan"]
STALL_SHARE, STALL_MS = 0.002, 60.0
"""So many answers are held up by a pause of the node, of this mean length."""


class Estimator(Protocol):
    """Whatever says how long to wait."""

    def learn(self, took_ms: float) -> None:
        """An answer took so long."""

    def ms(self) -> float:
        """How long to wait."""


class PhiAccrual:
    """Hayashibara and others, 2004: wait until the chance that an answer is just late, normally
    distributed as the last hundred were, is 10^-phi. For comparison only."""

    def __init__(self, phi: float, least_ms: float, most_ms: float) -> None:
        self._bounds = least_ms, most_ms
        self._deviations = NormalDist().inv_cdf(1 - 10**-phi)
        self._window: deque[float] = deque(maxlen=100)

    def learn(self, took_ms: float) -> None:
        """An answer took so long."""
        self._window.append(min(took_ms, self._bounds[1]))

    def ms(self) -> float:
        """How long to wait."""
        size = len(self._window)
        if not size:
            return self._bounds[1]
        mean = sum(self._window) / size
        deviation = sqrt(sum((took - mean) ** 2 for took in self._window) / size)
        return min(max(mean + self._deviations * deviation, self._bounds[0]), self._bounds[1])


class Trial(NamedTuple):
    """What an estimator did in a simulated hour."""

    wrong: int
    waited_ms: float
    """Its patience on the average."""


def answer_ms(rng: Random, loss: float) -> float:
    """How long the next answer takes: a round trip, sometimes a pause, sometimes sent again."""
    took_ms = rng.lognormvariate(-0.5, 0.5)
    if rng.random() < STALL_SHARE:
        took_ms += rng.expovariate(1 / STALL_MS)
    for _ in range(2):
        resend_ms = RESEND_MS
        while rng.random() < loss:
            took_ms, resend_ms = took_ms + resend_ms, resend_ms * 2
    return took_ms


def trial(estimator: Estimator, loss: float, seed: int) -> Trial:
    """One question per interval for an hour."""
    rng = Random(seed)
    questions = int(HOUR_MS / LAN.probe_interval_ms)
    wrong, waited_ms = 0, 0.0
    for _ in range(questions):
        patience_ms = estimator.ms()
        took_ms = answer_ms(rng, loss)
        wrong += took_ms > patience_ms
        waited_ms += patience_ms
        estimator.learn(took_ms)
    return Trial(wrong, waited_ms / questions)


class Figures(NamedTuple):
    """What five whole detectors did."""

    suspicions_per_hour: float
    """Of nodes that were well, per node."""
    told_per_hour: float
    """Of these, refuted by their subject: they had been told around."""
    detection_ms: tuple[float, float]
    """Until a stopped node was suspect to another, the median and the worst."""


def whole(loss: float, hours: float, seed: int = 0) -> Figures:
    """Five nodes, of which none and then one is stopped."""
    calm = Neighbourhood(5, seed=seed, loss=loss)
    calm.run(hours * HOUR_MS)
    meters = [node.meters for node in calm.nodes.values()]
    taken: list[float] = []
    for run in range(20):
        town = Neighbourhood(5, seed=seed + run, loss=loss)
        town.run(20_000 + 37 * run)
        already = {name for name in town.names if "n5" in town.suspects(name)}
        town.pause("n5")
        began_ms = town.now_ms
        waiting = set(town.names[:4]) - already
        while waiting and town.now_ms < began_ms + 10_000:
            town.run(10)
            seen = {name for name in waiting if "n5" in town.suspects(name)}
            taken += [town.now_ms - began_ms] * len(seen)
            waiting -= seen
    taken.sort()
    return Figures(
        sum(each.suspicions for each in meters) / len(meters) / hours,
        sum(each.refutations for each in meters) / len(meters) / hours,
        (taken[len(taken) // 2], taken[-1]),
    )


ESTIMATORS: dict[str, Callable[[float, float], Estimator]] = {
    "mean + 6 deviations": Patience,
    "phi 8": lambda least, most: PhiAccrual(8, least, most),
    "phi 12": lambda least, most: PhiAccrual(12, least, most),
}


def report() -> None:
    """Print both tables."""
    typer.echo("loss  estimator            floor  wrong/hour  patience ms")
    for loss in (0.0, 0.001, 0.01, 0.05):
        for floor_ms in (1.0, float(LAN.patience_ms_min)):
            for name, make in ESTIMATORS.items():
                done = trial(make(floor_ms, float(LAN.patience_ms_max)), loss, 1)
                line = f"{loss:5.1%} {name:20} {floor_ms:5.0f}  {done.wrong:10}"
                typer.echo(f"{line}  {done.waited_ms:11.1f}")
    typer.echo("")
    typer.echo("loss   suspicions/node/hour  refuted/node/hour  detected ms, median (worst)")
    for loss in (0.0, 0.001, 0.01, 0.05):
        figures = whole(loss, 0.25)
        median, worst = figures.detection_ms
        typer.echo(
            f"{loss:5.1%}  {figures.suspicions_per_hour:20.1f}  {figures.told_per_hour:17.1f}"
            f"  {median:6.0f} ({worst:.0f})"
        )


if __name__ == "__main__":
    typer.run(report)
