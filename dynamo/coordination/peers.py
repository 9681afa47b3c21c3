"""What a coordinator knows of its peers from its own traffic: who is linked, silent, fast.

A local opinion that decides where requests go and never moves data (the paper's section 4.8.3).
A peer that owes an answer and has not said a word for `SUSPECT_AFTER_MS` is *suspect*: reads
prefer others and no longer wait for it. After `SILENT_AFTER_MS` it is *silent*, until its first
word: writes still go to it, and on sloppy tables to a fallback as well. So is one that the node's
detector (dynamo.membership) found silent while nobody asked it for anything.
"""

from dynamo.types import NodeId

SUSPECT_AFTER_MS = 150.0
"""Raising it: a stopped peer holds reads up longer; lowering it: a pause looks like a stop."""
SILENT_AFTER_MS = 300.0
"""Raising it: writes that need the peer wait longer for its stand-in; lowering it: more hints."""
NOTICED_AFTER_MS = 100.0
"""So often it is looked which writes wait for a slow owner. Raising it: silence is found later;
lowering it: more looks while writes are under way."""
LATENCY_WEIGHT = 0.1
"""Share of the newest answer in a peer's mean latency."""
QUANTILE = 0.95
HEDGE_BURST = 32.0
"""Hedges that may be saved up."""


class Peers:
    """Links, latencies and the hedge budget."""

    __slots__ = (
        "_budget",
        "_hedge_max",
        "_hedge_min",
        "_latency",
        "_quantile",
        "_share",
        "_tokens",
        "_waiting_since",
        "held",
        "silent",
        "up",
        "words",
    )

    def __init__(self, hedge_ms_min: float, hedge_ms_max: float, hedge_share: float) -> None:
        self.up: set[NodeId] = set()
        self.words: set[NodeId] = set()
        """Who has said anything since the detector last looked."""
        self.silent: set[NodeId] = set()
        """Who owes an answer for `SILENT_AFTER_MS`, or did not answer the detector, and has not
        said a word since; mostly nobody."""
        self.held: set[NodeId] = set()
        """Whom the detector does not trust whatever they say."""
        self._latency: dict[NodeId, float] = {}
        self._waiting_since: dict[NodeId, float] = {}
        self._hedge_min, self._hedge_max = hedge_ms_min, hedge_ms_max
        self._share = hedge_share
        self._tokens = HEDGE_BURST if hedge_share else 0.0
        self._quantile = hedge_ms_min

    def linked(self, node: NodeId) -> None:
        """A link to the peer is open."""
        self.up.add(node)
        self._waiting_since.pop(node, None)
        self._latency.setdefault(node, 0.0)

    def lost(self, node: NodeId) -> None:
        """The link to the peer is gone."""
        self.up.discard(node)
        self._waiting_since.pop(node, None)

    def asked(self, node: NodeId, now_ms: float) -> None:
        """A read was sent to the peer; it owes a word from now on."""
        self._waiting_since.setdefault(node, now_ms)

    def heard(self, node: NodeId) -> None:
        """Anything at all came from the peer."""
        self.words.add(node)
        self._waiting_since.pop(node, None)
        if self.silent:
            self.silent.discard(node)

    def answered(self, node: NodeId, took_ms: float) -> None:
        """The peer answered a read; learn its latency and the quantile of all."""
        mean = self._latency.get(node, 0.0)
        self._latency[node] = mean + LATENCY_WEIGHT * (took_ms - mean)
        step = 0.05 * max(self._quantile, 0.1)
        self._quantile += step * (QUANTILE if took_ms > self._quantile else QUANTILE - 1)

    def is_suspect(self, node: NodeId, now_ms: float) -> bool:
        """Whether the peer owes a word for too long, or comes and goes: others are asked first."""
        return node in self.held or self.owes_a_word(node, now_ms)

    def owes_a_word(self, node: NodeId, now_ms: float) -> bool:
        """Whether the peer was asked too long ago and has said nothing since."""
        if node in self.silent:
            return True
        since = self._waiting_since.get(node)
        return since is not None and now_ms - since > SUSPECT_AFTER_MS

    def keeps_waiting(self, node: NodeId, now_ms: float) -> None:
        """A write has waited for the peer for `NOTICED_AFTER_MS` or longer."""
        since = self._waiting_since.setdefault(node, now_ms - NOTICED_AFTER_MS)
        if now_ms - since >= SILENT_AFTER_MS:
            self.silent.add(node)

    def by_preference(self, nodes: list[NodeId], now_ms: float) -> list[NodeId]:
        """The linked ones of `nodes`, suspects last, then the faster first."""
        linked = [node for node in nodes if node in self.up]
        if len(linked) > 1:
            latency = self._latency
            linked.sort(key=lambda node: (self.is_suspect(node, now_ms), latency[node]))
        return linked

    def hedge_delay_ms(self) -> float:
        """After how long a read asks one replica more."""
        return min(max(self._quantile, self._hedge_min), self._hedge_max)

    def earn(self) -> None:
        """A read began: save its share of an extra one."""
        if self._tokens < HEDGE_BURST:
            self._tokens += self._share

    def may_hedge(self) -> bool:
        """Spend one saved hedge, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
