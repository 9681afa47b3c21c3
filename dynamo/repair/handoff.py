"""Hinted handoff: what is kept for an owner goes to it as soon as it is back (section 4.6).

    owner up ─▶ page of hints ─▶ ReplicaPut, at most `window` at once ─▶ durable there? ─▶ removed
                    ▲                          │ refused, lost, silent
                    └────────── pause ─────────┘  from the start: what was not delivered is stored

One round per owner that is up, each with a window of its own: quick answers widen it, a slow one
halves it (AIMD), so that a returning node is not drowned. Of it only the share is used that the
governor leaves, so that this node's own clients come first.

Invariant: a hint goes only after its owner's durable acknowledgement. A crash loses no progress but
the acknowledgements under way: delivering twice is merging twice.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from dynamo.background import Handler, Part
from dynamo.messages import REPLICA_PUT, Effect, HintPut, ReplicaPut, Send, Source
from dynamo.repair.hints import Hint, Hints
from dynamo.types import Instant, ItemKey, NodeId

WINDOW_MIN, WINDOW_MAX = 4, 64
"""Hints under way to one owner. Raising them: a faster handoff that takes more from its foreground;
lowering them: a node that was away misses more for longer."""
WINDOW_BYTES_MAX = 1 << 20
"""The same in bytes; one is always under way, however large."""
QUICK_MS = 50.0
"""An owner that answers within it is not busy: the window grows."""
SILENCE_MS = 5000.0
"""What an owner has not acknowledged for so long is sent again, later."""
PAUSE_MS = 1000.0
"""After a refusal or a silence; a full owner needs a checkpoint to make room."""
AGAIN_MS = 200.0
"""Between two passes over the hints of one owner: some may have been kept behind the first."""

READDRESS_MS = 5.0
"""Between two pages that are looked through after the ring changed. Raising it: hints go to their
owners later; lowering it: more is taken from the foreground."""


class _Sent:
    """One hint under way."""

    __slots__ = ("hint", "sent_ms")

    def __init__(self, hint: Hint, sent_ms: float) -> None:
        self.hint, self.sent_ms = hint, sent_ms


class _Round:
    """The handoff to one owner."""

    __slots__ = ("after", "bytes", "cut_ms", "in_flight", "page", "resume_ms", "window")

    def __init__(self, resume_ms: float) -> None:
        self.resume_ms = resume_ms
        self.window = float(WINDOW_MIN)
        self.cut_ms = resume_ms
        self.in_flight: dict[int, _Sent] = {}
        self.bytes = 0
        self.restart()

    def restart(self) -> None:
        """From the first hint again."""
        self.after = ItemKey(b"")
        self.page: Iterator[Hint] = iter(())

    def forget(self) -> None:
        """Nothing is under way any more."""
        self.in_flight.clear()
        self.bytes = 0
        self.restart()

    def may_send(self, share: float) -> bool:
        """Whether this share of the window has room; one hint is always under way."""
        if len(self.in_flight) >= max(1, int(self.window * share)):
            return False
        return self.bytes < WINDOW_BYTES_MAX

    def learn(self, sent_ms: float, now_ms: float) -> None:
        """Fit the window to how long an answer took; one cut for all that was sent before it."""
        if now_ms - sent_ms <= QUICK_MS:
            self.window = min(WINDOW_MAX, self.window + 1 / self.window)
        elif sent_ms >= self.cut_ms:
            self.window = max(WINDOW_MIN, self.window / 2)
            self.cut_ms = now_ms


class Handoff(Part):
    """The rounds to all owners that are up and for whom something is kept."""

    kind = "handoff"
    share_min = 0.125

    def __init__(
        self,
        hints: Hints,
        tag: int,
        next_id: Callable[[], int],
        up: AbstractSet[NodeId],
        absorb: Callable[[ItemKey, bytes], object],
    ) -> None:
        """`tag`: of the ids that `next_id` makes; `up`: who is linked, at any moment; `absorb`:
        takes what is this node's own now."""
        self.tag = tag
        self._hints, self._next_id, self._up = hints, next_id, up
        self._absorb = absorb
        self._readdress_ms: float | None = None
        self._rounds: dict[NodeId, _Round] = {}
        self._share = 1.0

    def pace(self, share: float) -> None:
        """Take this share (above 0, at most 1) of every window."""
        assert 0 < share <= 1, "a pace is a share"
        self._share = share

    def handlers(self) -> dict[type[Any], Handler]:
        """What is to be kept."""
        return {HintPut: self.keep}

    def keep(self, source: Source, message: HintPut, now: Instant) -> list[Effect]:
        """Keep a record for an owner; if that one is only slow or full, it gets it soon."""
        effects = self._hints.keep(source, message, now.monotonic_ms)
        owner = message.owner
        if owner in self._up and owner in self._hints.kept() and owner not in self._rounds:
            self._rounds[owner] = _Round(now.monotonic_ms + AGAIN_MS)
        return effects

    def advance(self, up: set[NodeId], now_ms: float) -> list[Effect]:
        """Begin a round for every owner that is up, and go on with those whose time has come."""
        effects: list[Effect] = []
        self._readdress_ms = None
        if self._hints.misaddressed():
            self._hints.readdress(self._absorb)
            self._readdress_ms = now_ms + READDRESS_MS
            return []
        for owner in sorted(self._hints.kept()):
            if owner in up and owner not in self._rounds:
                self._rounds[owner] = _Round(now_ms)
        for owner, round_ in list(self._rounds.items()):
            if _is_silent(round_, now_ms):
                self._pause(round_, now_ms)
            effects += self._filled(owner, round_, now_ms)
        return effects

    def acknowledged(
        self, node: NodeId, id: int, record: bytes | None, whole: bool, now_ms: float
    ) -> list[Effect]:
        """The owner holds a hint durably: it goes here, and the next one there."""
        owner, round_ = node, self._rounds.get(node)
        sent = self._taken(round_, id)
        if round_ is None or sent is None:
            return []
        self._hints.delivered(sent.hint)
        round_.learn(sent.sent_ms, now_ms)
        return self._filled(owner, round_, now_ms)

    def refused(self, node: NodeId, id: int, cause: str, now_ms: float) -> list[Effect]:
        """The owner has no room: later, from the start."""
        round_ = self._rounds.get(node)
        if round_ is not None and self._taken(round_, id) is not None:
            round_.window = float(WINDOW_MIN)
            round_.resume_ms = now_ms + PAUSE_MS
            round_.restart()
        return []

    def lost(self, node: NodeId, reason: str, now_ms: float) -> list[Effect]:
        """The link to an owner is gone; a new round begins when it is back."""
        self._rounds.pop(node, None)
        return []

    def deadline(self) -> float | None:
        """When `advance` has something to do."""
        due = [_due_ms(round_) for round_ in self._rounds.values()]
        if self._readdress_ms is not None:
            due.append(self._readdress_ms)
        return min(due, default=None)

    def in_flight(self) -> int:
        """Hints sent and not yet acknowledged."""
        return sum(len(round_.in_flight) for round_ in self._rounds.values())

    def status(self, now_ms: float) -> dict[str, Any]:
        """How much is kept for whom, and how much of it is under way."""
        kept = self._hints.kept()
        return {
            "hints": {owner: kept[owner].hints for owner in sorted(kept)},
            "hints_bytes": self._hints.bytes_held(),
            "hints_under_way": self.in_flight(),
        }

    def validate(self) -> None:
        """Assert the bounds of every window."""
        for round_ in self._rounds.values():
            assert WINDOW_MIN <= round_.window <= WINDOW_MAX, "a window out of its bounds"
            assert len(round_.in_flight) <= WINDOW_MAX, "more under way than any window"
            under_way = _bytes(sent.hint for sent in round_.in_flight.values())
            assert round_.bytes == under_way, "bytes under way were miscounted"

    def _filled(self, owner: NodeId, round_: _Round, now_ms: float) -> list[Effect]:
        """Send as many as the window takes; at the end of a pass look whether another is due."""
        effects: list[Effect] = []
        while now_ms >= round_.resume_ms and round_.may_send(self._share):
            hint = self._next(owner, round_)
            if hint is None:
                if not round_.in_flight:
                    self._end_pass(owner, round_, now_ms)
                break
            id = self._next_id()
            round_.in_flight[id] = _Sent(hint, now_ms)
            round_.bytes += len(hint.record)
            effects.append(Send(owner, ReplicaPut(REPLICA_PUT, id, hint.key, hint.record, b"")))
        return effects

    def _next(self, owner: NodeId, round_: _Round) -> Hint | None:
        """The next hint of this pass that is not under way."""
        under_way = {sent.hint.key for sent in round_.in_flight.values()}
        while True:
            hint = next(round_.page, None)
            if hint is None:
                page = self._hints.page(owner, round_.after)
                if not page:
                    return None
                round_.after, round_.page = page[-1].key, iter(page)
            elif hint.key not in under_way:
                return hint

    def _end_pass(self, owner: NodeId, round_: _Round, now_ms: float) -> None:
        if owner in self._hints.kept() and not self._hints.page(owner, ItemKey(b"")):
            self._hints.lose_damaged(owner)
        if owner in self._hints.kept():
            round_.restart()
            round_.resume_ms = now_ms + AGAIN_MS
        else:
            del self._rounds[owner]

    def _pause(self, round_: _Round, now_ms: float) -> None:
        round_.forget()
        round_.window = float(WINDOW_MIN)
        round_.resume_ms = now_ms + PAUSE_MS

    def _taken(self, round_: _Round | None, id: int) -> _Sent | None:
        """Out of what is under way; None if it is not."""
        sent = None if round_ is None else round_.in_flight.pop(id, None)
        if sent is not None and round_ is not None:
            round_.bytes -= len(sent.hint.record)
        return sent


def _is_silent(round_: _Round, now_ms: float) -> bool:
    oldest = next(iter(round_.in_flight.values()), None)
    return oldest is not None and now_ms - oldest.sent_ms >= SILENCE_MS


def _due_ms(round_: _Round) -> float:
    """Answers drive a round; only a pause or a silence needs the clock."""
    oldest = next(iter(round_.in_flight.values()), None)
    return round_.resume_ms if oldest is None else oldest.sent_ms + SILENCE_MS


def _bytes(hints: Iterable[Hint]) -> int:
    return sum(len(hint.record) for hint in hints)
