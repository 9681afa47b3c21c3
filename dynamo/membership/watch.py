"""What a detector notes of one peer, what it tells of it, and where coordinators see that."""

from math import inf
from typing import NamedTuple

from dynamo.membership.claims import ALIVE, STATUS_NAMES
from dynamo.membership.patience import Patience
from dynamo.types import NodeId

FLAP_HALF_LIFE_MS = 60_000.0
"""In which time half of a peer's suspicions are forgotten. Raising it: who comes and goes is held
suspect for longer; lowering it: the reverse."""


class Signs(NamedTuple):
    """What the detector and the coordinators share: three sets that both look at and write."""

    words: set[NodeId]
    """Who has said anything since the last look."""
    silent: set[NodeId]
    """Who owes a word for too long; the first word takes it out, before any look."""
    held: set[NodeId]
    """Who is not trusted whatever it says: it has left, or it comes and goes."""


class View(NamedTuple):
    """What this node thinks of one peer."""

    state: str
    since_ms: float
    reached: bool
    """Whether it answers this node; not all that are alive do."""


class Watch:
    """One peer under observation."""

    __slots__ = (
        *("asked_ms", "doubted_ms", "heard_ms", "held_until_ms", "linked", "patience"),
        *("probe_id", "probe_ms", "probed_ms", "reached", "since_ms", "status"),
        *("vouched_ms", "_score", "_scored_ms"),
    )

    def __init__(self, patience: Patience, now_ms: float, linked: bool) -> None:
        self.patience, self.linked = patience, linked
        self.status, self.since_ms = ALIVE, now_ms
        self.reached = True
        self.heard_ms = now_ms
        self.asked_ms: float | None = None if linked else now_ms
        """Since when it owes a word; a link that is lost or was never there owes one too."""
        self.probe_id, self.probe_ms = 0, 0.0
        """The first of the questions that are open, and when it was asked."""
        self.probed_ms = self.doubted_ms = self.vouched_ms = -inf
        """When it was last asked, began to be suspect, and was last reached by another."""
        self._score, self._scored_ms = 0.0, now_ms
        self.held_until_ms = 0.0

    def turn(self, status: int, now_ms: float) -> None:
        """From now on it is that."""
        if self.status != status:
            self.status, self.since_ms = status, now_ms

    def view(self) -> View:
        """What this node thinks of it."""
        return View(STATUS_NAMES[self.status], self.since_ms, self.reached)

    def count(self, now_ms: float) -> None:
        """It is suspected once more."""
        self._score, self._scored_ms = self.score(now_ms) + 1, now_ms

    def score(self, now_ms: float) -> float:
        """How often it was suspected, fading."""
        share: float = 0.5 ** ((now_ms - self._scored_ms) / FLAP_HALF_LIFE_MS)
        return self._score * share

    def excuse(self, ms: float) -> None:
        """Forget that so much time has passed."""
        self.heard_ms += ms
        self.probe_ms += ms
        self.probed_ms += ms
        self.doubted_ms += ms
        self.vouched_ms += ms
        if self.asked_ms is not None:
            self.asked_ms += ms
