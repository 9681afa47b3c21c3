"""What became of an operation whose answer was lost (promise P8).

    read all N owners; and all others, where they may keep hints or have been owners
      one has it         -> ship the join, `applied` once W hold it durably
      one has a fence    -> ship it, `not applied` once all N hold it
      all, none has it   -> fence: all N promise never to apply it, then `not applied`
      otherwise          -> `unknown`; ask again when the owners are back

The fence is an entry in each owner's list of operations. A write that is still on its way finds it
and is refused, so that the answer stays true. Where the write came first, the fence gives way, and
the answer is `unknown` until somebody asks again: what it replaced is gone already.
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
        self.started_ms = 0.0
        self.verdict = ""
        self.needed = 0
        self.pending: list[NodeId] = []


class Outcomes:
    """All questions about operations that this node answers."""

    def __init__(self, scope: Scope, keeps_more: Callable[[ItemKey, bytes], bool]) -> None:
        """`keeps_more`: whether this owner keeps anything else of an item than such a record."""
        self._scope, self._keeps_more = scope, keeps_more
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
        table = scope.tables[request.table]
        owners = scope.owners(partition, table)
        kept_elsewhere = table.sloppy or not scope.rings.never_changed
        others = scope.stand_ins(partition, table) if kept_elsewhere else ()
        inquiry = _Inquiry(source, request, partition, key, owners, others)
        inquiry.started_ms = now.monotonic_ms
        id = self._ids.next()
        self._open[id] = inquiry
        timeout_ms = scope.timeout_ms(request.deadline_ms)
        self._timers.add(now.monotonic_ms + timeout_ms, id)
        peers = tuple(node for node in (*owners, *others) if node in scope.peers.up)
        for node in peers:
            inquiry.read.ask(node)
        if scope.me in owners and ready:
            inquiry.read.ask(scope.me)
        asked: list[Decision] = [Broadcast(peers, ReplicaGet(REPLICA_GET, id, key, None))]
        return asked + self._decided(id, inquiry)

    def answer(self, node: NodeId, id: int, record: bytes | None, now_ms: float) -> list[Decision]:
        """An owner's record."""
        self._now_ms = now_ms
        inquiry = self._open.get(id)
        if inquiry is None or inquiry.verdict:
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
        if inquiry.needed <= 0:
            return self._close(id, inquiry.verdict)
        return []

    def refuse(self, node: NodeId, id: int, cause: str, now_ms: float) -> list[Decision]:
        """An owner does not answer; or another keeps nothing, which is an answer."""
        self._now_ms = now_ms
        inquiry = self._open.get(id)
        if inquiry is None:
            return []
        if not inquiry.verdict:
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

    def _read_here(self, inquiry: _Inquiry) -> None:
        me, key = self._scope.me, inquiry.key
        try:
            record = self._scope.store.get(key)
        except CorruptData:
            inquiry.read.refuse(me, "corrupt data")
            return
        if self._keeps_more(key, record or b""):
            inquiry.read.refuse(me, "keeps a hint for another owner")
        else:
            inquiry.read.answer(me, record)

    def _decided(self, id: int, inquiry: _Inquiry) -> list[Decision]:
        """When every owner has answered or is lost: what is to be made true."""
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
        if state == VOID and (read.reached or not inquiry.others):
            return self._ship(id, inquiry, record, NOT_APPLIED, len(inquiry.owners))
        if state == VOID:
            return self._close(id, UNKNOWN)  # who was not asked may keep the write as a hint
        if state is not None:
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
