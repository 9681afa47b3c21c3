"""Coordination of gets (the paper's sections 4.5 and 5).

    my own record -> R-1 best peers, who answer `same` or their record
      -> a hedge to the next one after an adaptive delay -> merge -> siblings and context
      -> repair, after the reply, if answers differed

A replica that is rebuilding the partition never counts towards R. Failure is declared as soon as
no replica is left that could complete the quorum. On a sloppy table the other members are asked
when owners are missing: one that keeps a hint for the item counts, one without never does.
"""

from dynamo.coordination.away import Keeper
from dynamo.coordination.decisions import (
    GETS,
    TIMER_GRAIN_MS,
    Decision,
    Ids,
    NeedsRepair,
    short_of_quorum,
)
from dynamo.coordination.reading import Read
from dynamo.coordination.scope import Scope
from dynamo.errors import Code, CorruptData, Failure
from dynamo.keys import partition_of_key
from dynamo.messages import (
    GET_DONE,
    REPLICA_GET,
    Get,
    GetDone,
    ReplicaGet,
    Send,
    Source,
    failed,
)
from dynamo.ports import CORRUPT
from dynamo.siblings.codec import DIGEST_BYTES, encode_context
from dynamo.siblings.record import seen_by_reader, siblings
from dynamo.timers import TimerWheel
from dynamo.types import Instant, ItemKey, NodeId, Stamp


class _Get:
    """One read in flight."""

    __slots__ = (
        "candidates",
        "damaged",
        "hedged",
        "key",
        "later",
        "own",
        "read",
        "request_id",
        "sloppy",
        "source",
        "stand_ins_asked",
        "started_ms",
        "table",
    )

    def __init__(
        self,
        source: Source,
        request: Get,
        read: Read,
        key: ItemKey,
        now_ms: float,
        sloppy: bool,
    ) -> None:
        """`sloppy`: whether others, who may keep hints, may answer for owners."""
        self.source, self.request_id, self.table = source, request.id, request.table
        self.read, self.key, self.started_ms = read, key, now_ms
        self.later: dict[NodeId, float] = {}
        """When those were asked that were not asked at the start."""
        self.own: bytes | None = None
        self.candidates: list[NodeId] = []
        self.hedged = self.damaged = self.stand_ins_asked = False
        self.sloppy = sloppy


class Gets:
    """All reads this node coordinates."""

    def __init__(self, scope: Scope, keeper: Keeper) -> None:
        """`keeper`: what this node keeps for owners, where it is none and they are missing."""
        self._scope, self._keeper = scope, keeper
        self._ids = Ids(GETS, scope.identity.first_request())
        self._open: dict[int, _Get] = {}
        self._deadlines: TimerWheel[int] = TimerWheel(TIMER_GRAIN_MS)
        self._hedges: TimerWheel[int] = TimerWheel(1.0)

    def begin(self, source: Source, request: Get, now: Instant, ready: bool) -> list[Decision]:
        """A client's read arrives; `ready`: this node counts for the partition."""
        scope, now_ms = self._scope, now.monotonic_ms
        failure = scope.refusal(request.table, request.key, request.sort_key, request.r)
        failure = failure or scope.gate.enter(source)
        if failure is not None:
            scope.meters.get_failed.observe(0.0)
            scope.count_refusal(failure)
            return [Send(source, failed(request.id, failure))]
        scope.peers.earn()
        id = self._ids.next()
        self._open[id] = get = self._opened(source, request, now_ms, ready)
        if get.read.reached:
            return self._answer(id, get, now_ms)
        decisions = self._ask_more(id, get, now_ms)
        if id in self._open:
            self._deadlines.add(now_ms + scope.timeout_ms(request.deadline_ms), id)
            self._hedges.add(now_ms + scope.peers.hedge_delay_ms(), id)
        return decisions

    def answer(
        self, node: NodeId, id: int, record: bytes | None, same: bool, now_ms: float
    ) -> list[Decision]:
        """A replica's record, or word that it is the `same` as this node's."""
        get = self._open.get(id)
        if get is None:
            return []
        if same and get.own is None:
            return self.refuse(node, id, "says `same` of nothing", now_ms)
        asked_ms = get.later.get(node, get.started_ms)
        self._scope.peers.answered(node, now_ms - asked_ms)
        if get.read.answer(node, get.own if same else record):
            return self._answer(id, get, now_ms)
        return []

    def refuse(self, node: NodeId, id: int, cause: str, now_ms: float) -> list[Decision]:
        """A replica does not count; ask another, or fail if there is none."""
        get = self._open.get(id)
        if get is None or not get.read.refuse(node, cause):
            return []
        return self._ask_more(id, get, now_ms)

    def lost(self, node: NodeId, cause: str, now_ms: float) -> list[Decision]:
        """The link to a replica is gone: it is waited for no more, and asked no more."""
        for get in self._open.values():
            if node in get.candidates:
                get.candidates.remove(node)
                get.read.causes.append((node, cause))
        waiting = [id for id, get in self._open.items() if node in get.read.pending]
        return [made for id in waiting for made in self.refuse(node, id, cause, now_ms)]

    def give_up(self, now_ms: float) -> list[Decision]:
        """Another ring is in force: who reads asks again, by that one."""
        open_ = list(self._open.items())
        return [made for id, get in open_ for made in self._fail(id, get, Code.WRONG_RING, now_ms)]

    def expire(self, now_ms: float) -> list[Decision]:
        """Hedge reads that wait too long, fail those whose time is over."""
        decisions: list[Decision] = []
        for id in self._hedges.due(now_ms):
            if (get := self._open.get(id)) is not None:
                decisions += self._hedge(id, get, now_ms)
        for id in self._deadlines.due(now_ms):
            if (get := self._open.get(id)) is not None:
                decisions += self._fail(id, get, Code.DEADLINE_EXCEEDED, now_ms)
        return decisions

    def deadline(self) -> float | None:
        """When `expire` has something to do."""
        one, other = self._hedges.deadline(), self._deadlines.deadline()
        return min(one, other) if one is not None and other is not None else one or other

    def in_flight(self) -> int:
        """Reads not yet answered."""
        return len(self._open)

    def validate(self) -> None:
        """Assert that no read waits without reason."""
        for get in self._open.values():
            assert not get.read.reached, "a read with R answers was not answered"
            assert get.read.pending, "a read waits for nobody"

    def _opened(self, source: Source, request: Get, now_ms: float, ready: bool) -> _Get:
        """The read with this node's own answer in it, if it counts."""
        scope = self._scope
        table = scope.tables[request.table]
        partition, key = scope.place(request.table, request.key, request.sort_key)
        owners = scope.owners(partition, table)
        needed = scope.needed(partition, table, request.r or table.r)
        get = _Get(source, request, Read(needed), key, now_ms, table.sloppy and not request.strict)
        others = [node for node in owners if node != scope.me]
        get.candidates = scope.peers.by_preference(others, now_ms)
        get.read.causes = [(node, "unreachable") for node in others if node not in scope.peers.up]
        if scope.me in owners:
            get.read.ask(scope.me)
            self._read_here(get, ready)
        return get

    def _read_here(self, get: _Get, ready: bool) -> None:
        scope = self._scope
        if not ready:
            get.read.refuse(scope.me, "rebuilding")
            return
        try:
            get.own = scope.store.get(get.key)
        except CorruptData:
            scope.meters.corrupt_records += 1
            get.read.refuse(scope.me, CORRUPT)
            get.damaged = True
            return
        get.read.answer(scope.me, get.own)

    def _ask_more(self, id: int, get: _Get, now_ms: float) -> list[Decision]:
        """Ask as many candidates as the quorum lacks; fail if there are too few."""
        if get.read.short_by > len(get.candidates):
            self._add_stand_ins(get, now_ms)
            if get.read.reached:
                return self._answer(id, get, now_ms)
        missing = get.read.short_by
        if missing > len(get.candidates):
            return self._fail(id, get, short_of_quorum(get.read.causes), now_ms)
        return [self._ask(id, get, get.candidates.pop(0), now_ms) for _ in range(missing)]

    def _add_stand_ins(self, get: _Get, now_ms: float) -> None:
        """Owners are missing: of a sloppy read, others may keep hints for them."""
        scope = self._scope
        if get.sloppy and not get.stand_ins_asked:
            get.stand_ins_asked = True
            order = scope.stand_ins(partition_of_key(get.key), scope.tables[get.table])
            others = [node for node in order if node != scope.me]
            get.candidates += scope.peers.by_preference(others, now_ms)
            if scope.me in order:
                self._read_kept(get)

    def _read_kept(self, get: _Get) -> None:
        """This node owns nothing of it, but may keep a hint: that counts, none does not."""
        scope = self._scope
        owners = scope.owners(partition_of_key(get.key), scope.tables[get.table])
        try:
            kept = self._keeper.held(get.key, owners)
        except CorruptData:
            kept = None
        if kept is not None:
            get.own = kept
            get.read.ask(scope.me)
            get.read.answer(scope.me, kept)

    def _ask(self, id: int, get: _Get, node: NodeId, now_ms: float) -> Send:
        get.read.ask(node)
        if now_ms != get.started_ms:
            get.later[node] = now_ms
        self._scope.peers.asked(node, now_ms)
        known = get.own[:DIGEST_BYTES] if get.own else None
        return Send(node, ReplicaGet(REPLICA_GET, id, get.key, known))

    def _hedge(self, id: int, get: _Get, now_ms: float) -> list[Decision]:
        """One replica more, within the budget or in place of a suspect one. One that owes a word
        is asked only in place of a suspect: from it no answer is sooner."""
        peers = self._scope.peers
        suspect = any(peers.is_suspect(node, now_ms) for node in get.read.pending)
        if suspect and not get.candidates:
            self._add_stand_ins(get, now_ms)
        may_grow = get.sloppy and not get.stand_ins_asked
        if get.candidates or may_grow:
            self._hedges.add(now_ms + 4 * peers.hedge_delay_ms(), id)
        if not get.candidates:
            return []
        get.candidates = peers.by_preference(get.candidates, now_ms)
        if not suspect and (
            get.hedged or peers.owes_a_word(get.candidates[0], now_ms) or not peers.may_hedge()
        ):
            return []
        get.hedged = True
        self._scope.meters.hedges += 1
        return [self._ask(id, get, get.candidates.pop(0), now_ms)]

    def _answer(self, id: int, get: _Get, now_ms: float) -> list[Decision]:
        """R answers are here: merge them, tell the client, have differences repaired."""
        scope, table = self._scope, self._scope.tables[get.table]
        try:
            record, behind = get.read.merged(table.conflict_rule, scope.window)
        except CorruptData as error:
            return self._fail(id, get, Code.CORRUPT_DATA, now_ms, str(error))
        del self._open[id]
        scope.gate.leave(get.source)
        scope.meters.get_ok.observe(now_ms - get.started_ms)
        payloads = tuple(v.payload for v in siblings(record) if v.payload is not None)
        scope.meters.siblings.observe(len(payloads))
        seen = seen_by_reader(record)
        context = encode_context(get.key, seen)
        done = GetDone(GET_DONE, get.request_id, payloads, context, Stamp(seen.stamp))
        if (behind or get.damaged) and not (get.stand_ins_asked and self._is_away(get)):
            return [Send(get.source, done), NeedsRepair(get.key)]
        return [Send(get.source, done)]

    def _is_away(self, get: _Get) -> bool:
        """Whether this node owns nothing of it, so that it repairs nothing."""
        table = self._scope.tables[get.table]
        return self._scope.me not in self._scope.owners(partition_of_key(get.key), table)

    def _fail(
        self, id: int, get: _Get, code: Code, now_ms: float, message: str = ""
    ) -> list[Decision]:
        del self._open[id]
        self._scope.gate.leave(get.source)
        self._scope.meters.get_failed.observe(now_ms - get.started_ms)
        read = get.read
        causes = (*read.causes, *((node, "no answer in time") for node in read.pending))
        failure = Failure(code, message, read.needed, len(read.answers), len(read.asked), causes)
        return [Send(get.source, failed(get.request_id, failure))]
