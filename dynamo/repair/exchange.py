"""Anti-entropy: owners compare their partitions all the time and repair what differs (section 4.7).

    due ─▶ one co-owner, all trees in common ─▶ walk (dynamo.repair.walk) ─▶ due again
    asked ─▶ hashes, keys, records, a page at a time (dynamo.repair.answering)

Every pair of owners is compared once per interval; sooner after a link opened, and after anything
was found to differ, until both are equal. A node is in one comparison at a time, begun by either
side: two that bring a third up to date at once would send everything twice. Whoever is asked
meanwhile is `busy`; if two begin with each other, that of the lower name goes on.

Between slices it rests: `pace` says how much of the time it may take.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from dynamo.background import Handler, Part
from dynamo.errors import CorruptData
from dynamo.limits import Timing
from dynamo.messages import (
    STATUS_IS,
    Broadcast,
    Disconnect,
    Effect,
    ReplicaPage,
    Send,
    Source,
    StatusIs,
)
from dynamo.messages_exchange import (
    COMPARE_NODES,
    NODES_DIFFER,
    AskExchange,
    CompareNodes,
    ItemsAre,
    ListItems,
    NodesDiffer,
    ReadItems,
)
from dynamo.meters import Meters
from dynamo.repair.answering import Answering
from dynamo.repair.knowledge import Knowledge
from dynamo.repair.walk import NOBODY, Answer, Pause, Story, Walker
from dynamo.types import Instant, ItemKey, NodeId, PartitionId

PAUSE_MS = 5.0
"""Rest after each slice at full pace. Raising it: less taken from the foreground, later repairs."""
SOON_MS = 1000.0
"""So soon after a link opened or something differed comes the next comparison; while that does not
end, twice as late each time, up to the interval."""
RETRY_MS = 500.0
"""After a comparison that came to nothing: busy, no answer, no room."""
ANSWER_TIMEOUT_MS = 5000.0


class _Running:
    """A comparison that this node began."""

    __slots__ = ("answered", "asked_ms", "began_ms", "peer", "resume_ms", "story", "waits_for")

    def __init__(self, peer: NodeId, story: Story[bool], now_ms: float) -> None:
        self.peer, self.story, self.began_ms = peer, story, now_ms
        self.answered = False
        self.waits_for: tuple[int, type[Answer]] | None = None
        """Id and type of the answer; None during a pause."""
        self.asked_ms = self.resume_ms = now_ms


class Exchange(Part):
    """Comparisons with the co-owners of this node's partitions."""

    kind = "exchange"

    def __init__(
        self,
        known: Knowledge,
        timing: Timing,
        ready: AbstractSet[PartitionId],
        absorb: Callable[[ItemKey, bytes], bool],
        next_id: Callable[[], int],
        meters: Meters,
    ) -> None:
        """`ready`: the partitions that count here; `absorb`: merge a record into this node's
        own, and say whether that was news (raises CorruptData)."""
        self._me, self._timing, self._meters = known.writer.node, timing, meters
        self._trees, self._in_sync, self._ready = known.trees, known.in_sync, ready
        self._absorb, self._next_id = absorb, next_id
        self._answering = Answering(known, ready)
        self._due_ms: dict[NodeId, float] = {}
        """When each linked co-owner is next compared with."""
        self._soonest_ms = min(SOON_MS, float(timing.exchange_interval_ms))
        self._soon_ms = dict.fromkeys(self._in_sync.co_owners(), self._soonest_ms)
        self._running: _Running | None = None
        self._pause_ms = PAUSE_MS
        self._grow_ms = self._now_ms = self._asked_ms = 0.0

    def pace(self, share: float) -> None:
        """Take this share (above 0, at most 1) of what is taken at full pace."""
        assert 0 < share <= 1, "a pace is a share"
        self._pause_ms = PAUSE_MS / share

    # a background part

    def handlers(self) -> dict[type[Any], Handler]:
        """Questions and answers of a comparison; records come in pages, see `waits_for`."""
        return {
            AskExchange: self._ask,
            CompareNodes: self._compare,
            ListItems: self._list,
            ReadItems: self._read,
            NodesDiffer: self.answer,
            ItemsAre: self.answer,
        }

    def advance(self, up: set[NodeId], now_ms: float) -> list[Effect]:
        """One slice of each: grow trees, go on with a comparison, begin one."""
        self._now_ms = now_ms
        self._in_sync.begin(now_ms)
        for peer in self._in_sync.co_owners():
            if peer in up:
                self._due_ms.setdefault(peer, now_ms + self._soon_ms[peer])
        if self._trees.ungrown() and now_ms >= self._grow_ms:
            self._trees.grow()
            self._grow_ms = now_ms + self._pause_ms
            return []
        running = self._running
        if running is None:
            return self._begin(now_ms)
        if running.waits_for is None:
            return self._go_on(None, now_ms) if now_ms >= running.resume_ms else []
        if now_ms - running.asked_ms > ANSWER_TIMEOUT_MS:
            self._give_up(now_ms + RETRY_MS)
        return []

    def lost(self, node: NodeId, reason: str, now_ms: float) -> list[Effect]:
        """The link to a co-owner is gone; it is compared with after it is back."""
        if self._running is not None and self._running.peer == node:
            self._give_up(now_ms)
        self._answering.done(node)
        if self._due_ms.pop(node, None) is not None:
            self._soon_ms[node] = self._soonest_ms
        return []

    def deadline(self) -> float | None:
        """When there is something to do."""
        wanted = [self._grow_ms] if self._trees.ungrown() else []
        if self._running is None:
            free_ms = self._answering.free_ms()
            if not wanted:
                wanted = [max(due_ms, free_ms) for due_ms in self._due_ms.values()]
        elif self._running.waits_for is None:
            wanted.append(self._running.resume_ms)
        else:
            wanted.append(self._running.asked_ms + ANSWER_TIMEOUT_MS + 1)
        return min(wanted, default=None)

    def status(self, now_ms: float) -> dict[str, Any]:
        """How far the trees are, and what was found equal with whom since last asked."""
        return {
            "trees_growing": self._trees.ungrown(),
            "in_sync": self._in_sync.since_asked(),
            "in_sync_age_ms": round(self._in_sync.age_ms(now_ms)),
        }

    # a comparison that this node began

    def waits_for(self, source: object, id: int) -> bool:
        """Whether a page of records with this id is expected from there."""
        running = self._running
        return (
            running is not None
            and running.peer == source
            and running.waits_for == (id, ReplicaPage)
        )

    def answer(self, source: NodeId, answer: Answer, now: Instant) -> list[Effect]:
        """What the co-owner says; what nobody waits for any more is dropped."""
        running, now_ms = self._running, now.monotonic_ms
        if running is None or source != running.peer:
            return []
        if running.waits_for != (answer.id, type(answer)):
            return []
        if type(answer) is NodesDiffer and answer.busy:
            self._give_up(now_ms + RETRY_MS)
            return []
        running.answered = True
        return self._go_on(answer, now_ms)

    def _begin(self, now_ms: float) -> list[Effect]:
        """The comparison that is due for the longest time, once all trees are grown."""
        if self._trees.ungrown() or self._answering.serves(now_ms) or not self._due_ms:
            return []
        peer = min(self._due_ms, key=lambda peer: (self._due_ms[peer], peer))
        names = [name for name in self._in_sync.names(peer) if name[0] in self._ready]
        if self._due_ms[peer] > now_ms:
            return []
        if not names or self._trees.refusal() is not None:
            self._due_ms[peer] = now_ms + RETRY_MS
            return []
        walker = Walker(
            self._trees,
            self._absorb,
            self._next_id,
            self._meters,
            lambda name: self._in_sync.equal(peer, name, self._now_ms),
            float(self._timing.repair_delay_ms),
            lambda: self._pause_ms,
        )
        self._running = _Running(peer, walker.walk(names), now_ms)
        return self._go_on(None, now_ms)

    def _go_on(self, answer: Answer | None, now_ms: float) -> list[Effect]:
        """Tell the walk what came, and do what it says next."""
        self._now_ms = now_ms
        running = self._running
        assert running is not None, "a comparison is under way"
        if self._trees.refusal() is not None:
            self._give_up(now_ms + RETRY_MS)
            return []
        try:
            step = running.story.send(answer)
        except StopIteration as end:
            return self._finish(running, bool(end.value), now_ms)
        except CorruptData as error:
            self._give_up(now_ms + RETRY_MS)
            return [Disconnect(running.peer, str(error))]
        if isinstance(step, Pause):
            running.waits_for, running.resume_ms = None, now_ms + step.ms
            return []
        running.waits_for, running.asked_ms = (step.message.id, step.answer), now_ms
        pushed: list[Effect] = [Broadcast((running.peer,), push) for push in step.pushed]
        return [*pushed, Send(running.peer, step.message)]

    def _finish(self, running: _Running, equal: bool, now_ms: float) -> list[Effect]:
        """The walk is through. The co-owner is told, so that it is free for others."""
        peer, interval_ms = running.peer, float(self._timing.exchange_interval_ms)
        self._running = None
        self._meters.exchanges += 1
        if self._asked_ms > running.began_ms:
            self._due_ms[peer] = now_ms
        elif equal:
            self._soon_ms[peer] = self._soonest_ms
            self._due_ms[peer] = now_ms + interval_ms
        else:
            soon_ms = self._soon_ms[peer]
            self._due_ms[peer] = now_ms + soon_ms
            self._soon_ms[peer] = min(2 * soon_ms, interval_ms)
        return [Send(peer, CompareNodes(COMPARE_NODES, NOBODY, ()))]

    def _give_up(self, due_ms: float) -> None:
        """Forget the comparison under way; begin anew at `due_ms`."""
        running, self._running = self._running, None
        assert running is not None, "a comparison is under way"
        running.story.close()
        self._due_ms[running.peer] = due_ms

    # what others ask

    def _ask(self, source: Source, asked: AskExchange, now: Instant) -> list[Effect]:
        """A client wants a comparison with every co-owner at once, and to see how far that is."""
        self._asked_ms = now_ms = now.monotonic_ms
        self._in_sync.ask(now_ms)
        self._due_ms = dict.fromkeys(self._due_ms, now_ms)
        return [Send(source, StatusIs(STATUS_IS, asked.id, self.status(now_ms)))]

    def _compare(self, source: NodeId, asked: CompareNodes, now: Instant) -> list[Effect]:
        now_ms, running = now.monotonic_ms, self._running
        if not asked.nodes:
            self._answering.done(source)
            if source in self._due_ms and self._in_sync.all_since_asked(source):
                self._due_ms[source] = now_ms + self._timing.exchange_interval_ms
            return []
        if running is not None:
            if running.peer != source or running.answered or source > self._me:
                return [Send(source, NodesDiffer(NODES_DIFFER, asked.id, True, ()))]
            self._give_up(now_ms + RETRY_MS)
        return [Send(source, self._answering.compare(source, asked, now_ms))]

    def _list(self, source: NodeId, asked: ListItems, now: Instant) -> list[Effect]:
        return [Send(source, self._answering.listing(source, asked, now.monotonic_ms))]

    def _read(self, source: NodeId, asked: ReadItems, now: Instant) -> list[Effect]:
        return [Send(source, self._answering.records(source, asked, now.monotonic_ms))]
