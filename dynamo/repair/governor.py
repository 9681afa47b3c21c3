"""How much of a node background work may take: decided from what its clients feel.

    every slice:  p99 of client operations > 2 x calm p99, or none of them ends  ──▶  share / 2
                  otherwise                                                      ──▶  share + 1/16

The paper's section 6.5: background tasks run only as far as the foreground's own latencies allow.
Additive increase and multiplicative decrease, as in TCP, because the price of being wrong is paid
by clients at once and by repairs later. The calm p99 is learned: it follows a better one soon and a
worse one slowly, and a worse one that lasts although background work has hardly any share left is
the new calm, for it was not background work that made it.

Invariants: MIN <= share <= 1; from 1 it is below 1/2 within two slices of trouble; each kind of
work has at least its own least share, so none starves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dynamo.background import Part
from dynamo.meters import LATENCY_BOUNDS_MS, Histogram, Meters

SLICE_MS = 500.0
"""So often it is looked. Raising it: steadier, later; lowering it: too few operations to tell."""
SHARE_MIN = 1 / 32
"""Raising it: repairs go on faster beside a busy foreground; lowering it: the reverse."""
INCREASE = 1 / 16
"""Per slice: from least to full in eight seconds. Raising it: too much more often; lowering it:
after trouble repairs are slow for longer."""
TROUBLE = 2.0
"""Times the calm p99. Raising it: clients feel repairs more; lowering it: noise stops it."""
NOISE_MS = 5.0
"""A p99 below this is never trouble: it is a few turns of the event loop. Raising it: fast disks
feel more of background work; lowering it: a few turns of the event loop stop it."""
SAMPLES_MIN = 20
"""Fewer operations say nothing of their p99; they are counted with those of the next slice."""
BETTER_WEIGHT, WORSE_WEIGHT = 0.3, 0.03
QUANTILE = 0.99


class Paced(Protocol):
    """Background work that can go slower."""

    def pace(self, share: float) -> None:
        """Take no more than this share of what it could from now on."""


class Governor(Part):
    """One node's."""

    def __init__(
        self,
        latencies: Sequence[Histogram],
        in_flight: Callable[[], int],
        works: Mapping[str, Paced],
        least: Mapping[str, float] | None = None,
    ) -> None:
        """`latencies`: of the operations that clients wait for. `works`: by the name of their kind.
        `least`: of kinds that must never get less than this, such as what restores durability."""
        self._latencies, self._in_flight, self._works = tuple(latencies), in_flight, dict(works)
        self._least = dict(least or {})
        self._seen = self._counts()
        self._due_ms = 0.0
        self.share = 1.0
        self.calm_ms: float | None = None
        """The p99 without trouble; None until there was one."""

    def advance(self, up: set[Any], now_ms: float) -> list[Any]:
        """Once in a slice: look, decide, tell."""
        if now_ms < self._due_ms:
            return []
        self._due_ms = now_ms + SLICE_MS
        counts = self._counts()
        ended = sum(counts) - sum(self._seen)
        if ended >= SAMPLES_MIN:
            p99_ms = quantile([new - old for new, old in zip(counts, self._seen, strict=True)])
            self._seen = counts
            trouble = self._is_trouble(p99_ms)
            self._learn(p99_ms)
        else:
            trouble = not ended and self._in_flight() > 0
        self._decide(trouble)
        return []

    def of(self, kind: str) -> float:
        """The share of one kind of work."""
        return max(self.share, self._least.get(kind, 0.0))

    def deadline(self) -> float | None:
        """When it is time to look."""
        return self._due_ms if self._works else None

    def validate(self) -> None:
        """Assert the bounds of the share."""
        assert SHARE_MIN <= self.share <= 1, "the share is out of bounds"

    def status(self, now_ms: float) -> dict[str, Any]:
        """The share of each kind."""
        return {"background_share": {kind: round(self.of(kind), 3) for kind in self._works}}

    def _decide(self, trouble: bool) -> None:
        before = self.share
        if trouble:
            self.share = max(self.share / 2, SHARE_MIN)
        else:
            self.share = min(self.share + INCREASE, 1.0)
        if self.share != before:
            for kind, work in self._works.items():
                work.pace(self.of(kind))

    def _is_trouble(self, p99_ms: float) -> bool:
        return self.calm_ms is not None and p99_ms > max(TROUBLE * self.calm_ms, NOISE_MS)

    def _learn(self, p99_ms: float) -> None:
        """What calm is; trouble teaches nothing while background work may be the cause."""
        if self.calm_ms is None:
            self.calm_ms = p99_ms
        elif p99_ms < self.calm_ms:
            self.calm_ms += BETTER_WEIGHT * (p99_ms - self.calm_ms)
        elif not self._is_trouble(p99_ms) or self.share == SHARE_MIN:
            self.calm_ms += WORSE_WEIGHT * (p99_ms - self.calm_ms)

    def _counts(self) -> list[int]:
        """All latencies in one histogram, from the start."""
        columns = zip(*(each.counts for each in self._latencies), strict=True)
        return [sum(column) for column in columns]


def governor_of(parts: Sequence[Part], meters: Meters, in_flight: Callable[[], int]) -> Governor:
    """The governor of a node's parts, as far as they can go slower."""
    works = {part.kind: part for part in parts if part.kind}
    least = {part.kind: part.share_min for part in parts if part.kind}
    return Governor((meters.put_ok, meters.get_ok), in_flight, works, least)


def quantile(counts: Sequence[int], share: float = QUANTILE) -> float:
    """The bound, in milliseconds, that so many of the counted latencies do not exceed."""
    assert sum(counts) > 0, "nothing was counted"
    left = share * sum(counts)
    for bound, count in zip(LATENCY_BOUNDS_MS, counts, strict=False):
        left -= count
        if left <= 0:
            return bound
    return 2 * LATENCY_BOUNDS_MS[-1]
