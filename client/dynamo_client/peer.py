"""What a client knows of one node: its link, its latency, and what it owes.

    score = (requests in flight there + 1) x mean latency

The node of the lowest score is asked first, so a slow or a busy one gets less. A mean that nobody
renews fades, so a node that was slow once is tried again.
"""

from dynamo.types import NodeId
from dynamo.wire import Link

IN_FLIGHT_MAX = 1024
"""Requests in flight on one link; more wait for a slot. A node refuses more than that."""

SUSPECT_AFTER_MS = 150.0
"""A node that owes answers and has not said a word for so long is asked last."""

LATENCY_WEIGHT = 0.1
"""Share of the newest answer in the mean."""

REFUSES_MS = 100.0
"""How long a node that took no write is asked last, unless it says longer. Raising: one with room
again stays idle longer; lowering: more writes make a second trip, and an overload lasts longer."""

FADE = 0.9
LATENCY_MS_MIN = 0.05
"""A mean never fades to nothing, lest requests in flight stop to count."""


class Peer:
    """One node, mutable; kept for as long as the node is a member."""

    __slots__ = (
        "addresses",
        "in_flight",
        "latency_ms",
        "link",
        "linked_since_s",
        "node",
        "reason",
        "refusal_ms",
        "refuses_until_ms",
        "renewed",
        "score",
        "waiting_since_ms",
    )

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.addresses: list[tuple[str, int]] = []
        """Where it may be reached, tried in turn."""
        self.link: Link | None = None
        self.linked_since_s = 0.0
        self.reason = ""
        """Why there is no link; empty while the first verdict is awaited."""
        self.in_flight = 0
        self.latency_ms = self.score = LATENCY_MS_MIN
        self.renewed = False
        self.waiting_since_ms = 0.0
        self.refusal_ms = self.refuses_until_ms = 0.0

    def asked(self, now_ms: float) -> None:
        """A request was sent; the node owes a word from now on."""
        self.in_flight = in_flight = self.in_flight + 1
        self.score = (in_flight + 1) * self.latency_ms
        if not self.waiting_since_ms:
            self.waiting_since_ms = now_ms

    def answered(self, took_ms: float) -> None:
        """A request was answered."""
        self.in_flight = in_flight = self.in_flight - 1
        self.latency_ms += LATENCY_WEIGHT * (max(took_ms, LATENCY_MS_MIN) - self.latency_ms)
        self.score = (in_flight + 1) * self.latency_ms
        self.renewed = True

    def released(self, took_ms: float = 0.0) -> None:
        """A request is no longer waited for, after so long; its answer was not awaited."""
        self.in_flight -= 1
        if took_ms > self.latency_ms:
            self.latency_ms += LATENCY_WEIGHT * (took_ms - self.latency_ms)
            self.renewed = True
        self.score = (self.in_flight + 1) * self.latency_ms

    def refused_write(self, now_ms: float, retry_after_ms: float) -> None:
        """It takes no writes: its disk is full, or it is stopping."""
        self.refusal_ms = max(retry_after_ms, REFUSES_MS)
        self.refuses_until_ms = now_ms + self.refusal_ms

    def asked_to_write(self, now_ms: float) -> None:
        """A write was sent there. After a refusal one write finds out what holds now; those behind
        it go elsewhere until it is answered."""
        if self.refusal_ms:
            self.refuses_until_ms = now_ms + self.refusal_ms

    def took_write(self) -> None:
        """A write was answered well."""
        self.refusal_ms = self.refuses_until_ms = 0.0

    def refuses(self, now_ms: float) -> bool:
        """Whether it has just said that it takes no writes."""
        return now_ms < self.refuses_until_ms

    def fade(self) -> None:
        """Time passed; an opinion that no answer renewed loses weight."""
        if not self.renewed:
            self.latency_ms = max(self.latency_ms * FADE, LATENCY_MS_MIN)
            self.score = (self.in_flight + 1) * self.latency_ms
        self.renewed = False

    def is_suspect(self, now_ms: float) -> bool:
        """Whether the node owes a word for too long."""
        since = self.waiting_since_ms
        return since > 0 and now_ms - since > SUSPECT_AFTER_MS

    @property
    def is_undecided(self) -> bool:
        """Whether a link may come up at any moment."""
        return self.link is None and not self.reason
