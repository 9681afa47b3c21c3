"""What became of an operation whose answer was lost (promise P8).

    ask all members for everything that they have of the item (decision 020)
      one has it         -> ship the join, `applied` once W owners hold it durably
      all, none has it   -> fence: all N owners promise never to apply it
                            ask all others again: still nothing -> `not applied`
      otherwise          -> `unknown`; ask again when they are back

The fence is an entry in each owner's list of operations. A write that is still on its way finds it
and is refused, so that the answer stays true. Where the write came first, the fence gives way, and
the answer is `unknown` until somebody asks again: what it replaced is gone already. Who is no owner
holds no fence; a hint that was on its way there when it was asked is there when it is asked again.

Who has not said to hold the present epoch does not count: it may still take in what is sent by one
who is no member any more, and whom nobody asks.
"""

from collections.abc import Callable

from dynamo.coordination.composing import wrong_operation
from dynamo.coordination.decisions import OUTCOMES, TIMER_GRAIN_MS, Decision, Ids
from dynamo.coordination.reading import Read
from dynamo.coordination.scope import Scope
from dynamo.errors import Code, CorruptData, Failure
from dynamo.messages import (
    OUTCOME_DONE,
    REPLICA_GET,
    REPLICA_PUT,
    AskOutcome,
    Broadcast,
    OutcomeDone,
    ReplicaGet,
    ReplicaPut,
    Send,
    Source,
    failed,
)
from dynamo.ports import NO_HINT
from dynamo.siblings.codec import decode_record, encode_record
from dynamo.siblings.record import OVERWRITTEN, VOID, Record, fate, forgotten, voided
from dynamo.timers import TimerWheel
from dynamo.types import Instant, ItemKey, NodeId, PartitionId

APPLIED, NOT_APPLIED, UNKNOWN = "applied", "not applied", "unknown"


class _Inquiry:
    """One question in flight: first a read, then the shipping of what must hold."""

    __slots__ = (
        "key",
        "needed",
        "others",
        "owners",
        "partition",
        "pending",
        "read",
        "request",
        "source",
        "started_ms",
        "until_ms",
        "verdict",
    )

    def __init__(
        self,
        source: Source,
        request: AskOutcome,
        partition: PartitionId,
        key: ItemKey,
        owners: tuple[NodeId, ...],
        others: tuple[NodeId, ...],
    ) -> None:
        self.source, self.request, self.key, self.owners = source, request, key, owners
        self.partition, self.others = partition, others
        self.read = Read(len(owners) + len(others))
        self.started_ms = self.until_ms = 0.0
        self.verdict = ""
        self.needed = 0
        self.pending: list[NodeId] = []


class Outcomes:
    """All questions about operations that this node answers."""

    def __init__(
        self,
        scope: Scope,
        everything: Callable[[ItemKey], tuple[bytes | None, str]],
        holds_epoch: Callable[[NodeId], bool],
    ) -> None:
        """`everything`: that this node has of an item, or why it cannot tell; `holds_epoch`:
        whether a peer has said that it holds the present one."""
        self._scope, self._everything, self._holds_epoch = scope, everything, holds_epoch
        self._ids = Ids(OUTCOMES, scope.identity.first_request())
        self._open: dict[int, _Inquiry] = {}
        self._timers: TimerWheel[int] = TimerWheel(TIMER_GRAIN_MS)
        self._now_ms = 0.0
        """When the present verb was called, for the meters."""

    def begin(
        self, source: Source, request: AskOutcome, now: Instant, ready: bool
    ) -> list[Decision]:
        """A client asks."""
        scope = self._scope
        failure = scope.refusal(request.table, request.key, request.sort_key, 0)
        failure = failure or wrong_operation(scope, request.operation, now.wall_ms)
        failure = failure or scope.gate.enter(source)
        self._now_ms = now.monotonic_ms
        if failure is not None:
            scope.meters.outcome_failed.observe(0.0)
            scope.count_refusal(failure)
            return [Send(source, failed(request.id, failure))]
        partition, key = scope.place(request.table, request.key, request.sort_key)
        scope.denied.note(key, now.wall_ms)
        table = scope.tables[request.table]
        owners, others = scope.owners(partition, table), scope.stand_ins(partition, table)
        inquiry = _Inquiry(source, request, partition, key, owners, others)
        inquiry.started_ms = now.monotonic_ms
        inquiry.until_ms = now.monotonic_ms + scope.timeout_ms(request.deadline_ms)
        asked = self._ask(inquiry, (*owners, *others))
        if scope.me in owners and ready:
            inquiry.read.ask(scope.me)
        return asked + self._decided(self._ids.last, inquiry)

    def answer(self, node: NodeId, id: int, record: bytes | None, now_ms: float) -> list[Decision]:
        """A member's record."""
        self._now_ms = now_ms
        inquiry = self._open.get(id)
        if inquiry is None or inquiry.pending:
            return []
        inquiry.read.answer(node, record)
        return self._decided(id, inquiry)

    def acknowledge(
        self, node: NodeId, id: int, record: bytes | None, now_ms: float
    ) -> list[Decision]:
        """An owner holds durably what was shipped; `record` if it knew more."""
        self._now_ms = now_ms
        inquiry = self._open.get(id)
        if inquiry is None or node not in inquiry.pending:
            return []
        inquiry.pending.remove(node)
        inquiry.needed -= 1
        if record is not None and self._was_applied(inquiry, record):
            return self._close(id, UNKNOWN)
        return self._shipped(id, inquiry) if inquiry.needed <= 0 else []

    def refuse(self, node: NodeId, id: int, cause: str, now_ms: float) -> list[Decision]:
        """An owner does not answer; or another keeps nothing, which is an answer."""
        self._now_ms = now_ms
        inquiry = self._open.get(id)
        if inquiry is None:
            return []
        if not inquiry.pending:
            if cause == NO_HINT and node in inquiry.others:
                inquiry.read.answer(node, None)
            else:
                inquiry.read.refuse(node, cause)
            return self._decided(id, inquiry)
        if node in inquiry.pending:
            inquiry.pending.remove(node)
            if len(inquiry.pending) < inquiry.needed:
                return self._close(id, UNKNOWN)
        return []

    def lost(self, node: NodeId, now_ms: float) -> list[Decision]:
        """The link to an owner is gone."""
        waiting = list(self._open)
        return [made for id in waiting for made in self.refuse(node, id, "link lost", now_ms)]

    def give_up(self, now_ms: float) -> list[Decision]:
        """Another ring is in force: who asks is to ask again, by that one."""
        failure = Failure(Code.WRONG_RING, "the ring has changed")
        made: list[Decision] = []
        for inquiry in self._open.values():
            self._scope.gate.leave(inquiry.source)
            self._scope.meters.outcome_failed.observe(now_ms - inquiry.started_ms)
            made.append(Send(inquiry.source, failed(inquiry.request.id, failure)))
        self._open.clear()
        return made

    def expire(self, now_ms: float) -> list[Decision]:
        """Answer `unknown` where the time is over."""
        self._now_ms = now_ms
        due = [id for id in self._timers.due(now_ms) if id in self._open]
        return [made for id in due for made in self._close(id, UNKNOWN)]

    def deadline(self) -> float | None:
        """When `expire` has something to do."""
        return self._timers.deadline()

    def in_flight(self) -> int:
        """Questions not yet answered."""
        return len(self._open)

    def _ask(self, inquiry: _Inquiry, members: tuple[NodeId, ...]) -> list[Decision]:
        """Ask those who count, under a new id: `inquiry.read` waits for them."""
        id, up = self._ids.next(), self._scope.peers.up
        self._open[id] = inquiry
        self._timers.add(inquiry.until_ms, id)
        peers = tuple(node for node in members if node in up and self._holds_epoch(node))
        for node in peers:
            inquiry.read.ask(node)
        return [Broadcast(peers, ReplicaGet(REPLICA_GET, id, inquiry.key, None))]

    def _read_here(self, inquiry: _Inquiry) -> None:
        record, unsure = self._everything(inquiry.key)
        if unsure:
            inquiry.read.refuse(self._scope.me, unsure)
        else:
            inquiry.read.answer(self._scope.me, record)

    def _decided(self, id: int, inquiry: _Inquiry) -> list[Decision]:
        """When every member has answered or is lost: what is to be made true."""
        if inquiry.verdict:
            return self._confirmed(id, inquiry)
        read = inquiry.read
        if read.pending == [self._scope.me]:
            # Last, because the dot of a fence is taken to have seen all that this node has issued.
            self._read_here(inquiry)
        if read.pending:
            return []
        if not read.answers:
            return self._close(id, UNKNOWN)
        scope, operation = self._scope, inquiry.request.operation
        table = scope.tables[inquiry.request.table]
        try:
            record, _ = read.merged(table.conflict_rule, scope.window)
        except CorruptData:
            return self._close(id, UNKNOWN)
        state = fate(record, operation)
        if state == VOID and read.reached:
            return self._ship(id, inquiry, record, NOT_APPLIED, len(inquiry.owners))
        if state not in (VOID, None):
            needed = scope.needed(inquiry.partition, table, table.w)
            return self._ship(id, inquiry, record, APPLIED, needed)
        removed = forgotten(scope.nothing(inquiry.key), operation)
        if removed or forgotten(record, operation) or not read.reached or scope.store.refusal():
            return self._close(id, UNKNOWN)
        above = record.history.vector.get(scope.identity.actor, 0)
        dot = scope.identity.next_dot(inquiry.partition, above)
        forgotten_up_to = scope.identity.forgotten_up_to(inquiry.partition)
        fence = voided(record, operation, dot.actor, dot.counter, scope.window, forgotten_up_to)
        return self._ship(id, inquiry, fence, NOT_APPLIED, len(inquiry.owners))

    def _ship(
        self, id: int, inquiry: _Inquiry, record: Record, verdict: str, needed: int
    ) -> list[Decision]:
        """Make the verdict durable; it is told once enough owners have it."""
        scope = self._scope
        inquiry.verdict, inquiry.needed = verdict, needed
        inquiry.pending = [n for n in inquiry.owners if n in scope.peers.up or n == scope.me]
        if len(inquiry.pending) < needed:
            return self._close(id, UNKNOWN)
        message = ReplicaPut(REPLICA_PUT, id, inquiry.key, encode_record(record), b"")
        return [Broadcast(tuple(inquiry.pending), message)]

    def _shipped(self, id: int, inquiry: _Inquiry) -> list[Decision]:
        """Enough owners hold it. What all have promised not to apply, nobody else may keep."""
        inquiry.pending = []
        if inquiry.verdict == APPLIED or not inquiry.others:
            return self._close(id, inquiry.verdict)
        del self._open[id]
        inquiry.read = Read(len(inquiry.others))
        return self._ask(inquiry, inquiry.others) + self._decided(self._ids.last, inquiry)

    def _confirmed(self, id: int, inquiry: _Inquiry) -> list[Decision]:
        """When all others have answered again: do they still keep nothing of it?"""
        read = inquiry.read
        if read.pending:
            return []
        kept = [record for _, record in read.answers if record is not None]
        denied = read.reached and not any(self._may_have(inquiry, record) for record in kept)
        return self._close(id, inquiry.verdict if denied else UNKNOWN)

    def _may_have(self, inquiry: _Inquiry, record: bytes) -> bool:
        """Whether what another member keeps has the write, or may have had it."""
        operation = inquiry.request.operation
        try:
            kept = decode_record(record)
        except CorruptData:
            return True
        return fate(kept, operation) not in (None, VOID) or forgotten(kept, operation)

    def _was_applied(self, inquiry: _Inquiry, record: bytes) -> bool:
        """Whether, against a verdict of `not applied`, an owner had seen it overwritten."""
        try:
            known = fate(decode_record(record), inquiry.request.operation)
        except CorruptData:
            return True  # who knows what it holds
        return inquiry.verdict == NOT_APPLIED and known in (0, OVERWRITTEN)

    def _close(self, id: int, state: str) -> list[Decision]:
        inquiry = self._open.pop(id)
        self._scope.gate.leave(inquiry.source)
        meters, took_ms = self._scope.meters, self._now_ms - inquiry.started_ms
        (meters.outcome_unknown if state == UNKNOWN else meters.outcome_ok).observe(took_ms)
        done = OutcomeDone(OUTCOME_DONE, inquiry.request.id, state)
        return [Send(inquiry.source, done)]
