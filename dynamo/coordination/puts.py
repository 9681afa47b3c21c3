"""Coordination of puts and deletes (the paper's sections 4.5 and 5).

    merge context and value into my record under a new dot
      -> durable here and at the other owners, in parallel
      -> sloppy table: durable here, then at a fallback for every owner that fails or is slow
      -> answered at W acknowledgements, from distinct nodes
      -> the rest go on; who turns out to know more is repaired, old gaps are closed

What travels is the whole merged record, never a bare dot. Before anything is written a failure is
`not applied`; after that it is `unknown`, and it is said as soon as success has become impossible.

A hint leaves only when this node's own copy is durable, so that it is never the only memory of a
dot whose gap owners could agree to close while this node is one of them (decisions 011 and 019).
"""

from dynamo.coordination.away import Keeper, alone, is_old
from dynamo.coordination.composing import Composed, composed, refusal
from dynamo.coordination.decisions import (
    PUTS,
    TIMER_GRAIN_MS,
    AllAgree,
    Decision,
    Ids,
    NeedsRepair,
    short_of_quorum,
)
from dynamo.coordination.peers import NOTICED_AFTER_MS, SILENT_AFTER_MS
from dynamo.coordination.scope import Scope
from dynamo.coordination.stand_ins import StandIns
from dynamo.errors import Code, Failure
from dynamo.keys import partition_of_key, table_of_key
from dynamo.messages import (
    HINT_PUT,
    HintPut,
    Put,
    Send,
    Source,
    failed,
)
from dynamo.messages_made import broadcast, put_done, replica_put, send
from dynamo.timers import TimerWheel
from dynamo.types import Instant, ItemKey, NodeId

GAPS_MAX = 2
"""With so many gaps of one actor a record is made whole as soon as all owners agree on it."""
SETTLING_MAX = 8192
"""Answered puts that still wait for slow replicas; beyond, the oldest are no longer watched
(their late acknowledgements are ignored, a read repairs what is missing)."""


UNREACHABLE = "unreachable"


class _Put:
    """One write in flight."""

    __slots__ = (
        "acknowledged",
        "answered",
        "asked",
        "causes",
        "composed",
        "differs",
        "key",
        "needed",
        "pending",
        "request_id",
        "sloppy",
        "source",
        "stand_ins",
        "started_ms",
        "whole",
    )

    def __init__(
        self,
        source: Source,
        request_id: int,
        needed: int,
        key: ItemKey,
        composed: Composed,
        now_ms: float,
        sloppy: bool,
    ) -> None:
        """`sloppy`: whether others may stand in for owners."""
        self.source, self.request_id, self.needed, self.key = source, request_id, needed, key
        self.sloppy = sloppy
        self.composed, self.started_ms = composed, now_ms
        self.pending: list[NodeId] = []
        self.causes: list[tuple[str, str]] = []
        self.asked = self.acknowledged = 0
        self.answered = self.differs = False
        self.whole = True
        self.stand_ins: StandIns | None = None

    def is_away(self, me: NodeId) -> bool:
        """Whether this node owns nothing of it: it has nothing to repair, and owners will see."""
        return self.stand_ins is not None and me in self.stand_ins.owner_of


class Puts:
    """All writes this node coordinates."""

    def __init__(self, scope: Scope, keeper: Keeper) -> None:
        """`keeper`: where a write stays that this node coordinates while no owner is reached."""
        self._scope, self._keeper = scope, keeper
        self._ids = Ids(PUTS, scope.identity.first_request())
        self._open: dict[int, _Put] = {}
        self._settling: dict[int, _Put] = {}
        self._timers: TimerWheel[int] = TimerWheel(TIMER_GRAIN_MS)
        self._watch_ms: float | None = None

    def begin(self, source: Source, request: Put, now: Instant) -> list[Decision]:
        """A client's write arrives at this owner."""
        failure = refusal(self._scope, request, now.wall_ms)
        begun = failure or self._begun(source, request, now)
        if isinstance(begun, Failure):
            if self._is_open(source, request.id):
                return []  # it came twice, and the first one's fate is not this one's
            self._scope.meters.put_failed.observe(0.0)
            self._scope.count_refusal(begun)
            answer = Send(source, failed(request.id, begun))
            if begun.code is not Code.CORRUPT_DATA:
                return [answer]
            return [answer, NeedsRepair(self._scope.place(*request[4:7])[1])]
        return self._ship(begun, request, now.monotonic_ms)

    def acknowledge(
        self, node: NodeId, id: int, now_ms: float, alike: bool = True, whole: bool = True
    ) -> list[Decision]:
        """A replica has the record durably. `alike`: it holds exactly these bytes; `whole`: it
        is not rebuilding, so that it holds all it ever acknowledged."""
        put = self._open.get(id) or self._settling.get(id)
        if put is None or node not in put.pending:
            return []
        put.pending.remove(node)
        put.acknowledged += 1
        put.differs |= not alike
        put.whole &= whole
        hinted = [] if put.stand_ins is None else self._counted(id, put, node)
        if put.acknowledged == put.needed and not put.answered:
            return hinted + self._answer(id, put, now_ms)
        if put.answered:
            return hinted if put.pending else hinted + self._settle(id, put)
        return hinted if put.stand_ins is None else hinted + self._given_up(id, put, now_ms)

    def refuse(self, node: NodeId, id: int, cause: str, now_ms: float) -> list[Decision]:
        """A replica will not acknowledge."""
        put = self._open.get(id) or self._settling.get(id)
        if put is None or node not in put.pending:
            return []
        put.pending.remove(node)
        put.causes.append((node, cause))
        hinted = self._replaced(id, put, node)
        if not put.answered:
            return hinted + self._given_up(id, put, now_ms)
        return hinted if put.pending else hinted + self._settle(id, put)

    def lost(self, node: NodeId, cause: str, now_ms: float) -> list[Decision]:
        """The link to a replica is gone; nothing pending there will be acknowledged."""
        decisions: list[Decision] = []
        for id, put in (self._open | self._settling).items():
            if node in put.pending:
                decisions += self.refuse(node, id, cause, now_ms)
            elif put.stand_ins is not None and put.stand_ins.absent and not put.answered:
                decisions += self._given_up(id, put, now_ms)  # it can stand in for nobody now
        return decisions

    def give_up(self, now_ms: float) -> list[Decision]:
        """Another ring is in force: who wrote asks again, by that one."""
        open_ = list(self._open.items())
        return [made for id, put in open_ for made in self._fail(id, put, Code.WRONG_RING, now_ms)]

    def expire(self, now_ms: float) -> list[Decision]:
        """Give up on writes whose time is over; replace owners that are slow."""
        decisions: list[Decision] = []
        if self._watch_ms is not None and self._watch_ms <= now_ms:
            decisions += self._watched(now_ms)
        for id in self._timers.due(now_ms):
            if (put := self._open.get(id)) is not None:
                decisions += self._fail(id, put, Code.DEADLINE_EXCEEDED, now_ms)
            self._settling.pop(id, None)
        return decisions

    def deadline(self) -> float | None:
        """When `expire` has something to do."""
        due, watch = self._timers.deadline(), self._watch_ms
        return due if watch is None else watch if due is None else min(due, watch)

    def in_flight(self) -> int:
        """Writes not yet answered."""
        return len(self._open)

    def validate(self) -> None:
        """Assert that no write waits without reason."""
        for put in self._open.values():
            assert not put.answered, "an answered put is still open"
            assert put.acknowledged < put.needed, "a put at W acknowledgements was not answered"
            assert put.acknowledged + self._possible(put) >= put.needed, "a lost put still waits"
        assert len(self._settling) <= SETTLING_MAX, "too many answered puts are watched"

    def _is_open(self, source: Source, request_id: int) -> bool:
        """Whether this very request is under way."""
        return any(
            put.request_id == request_id and put.source == source and not put.answered
            for put in self._open.values()
        )

    def _begun(self, source: Source, request: Put, now: Instant) -> _Put | Failure:
        """The write composed and let in, or why it is not applied."""
        scope = self._scope
        table = scope.tables[request.table]
        partition, key = scope.place(request.table, request.key, request.sort_key)
        owners, up, me = scope.owners(partition, table), scope.peers.up, scope.me
        if me not in owners:
            return self._begun_away(source, request, now, owners)
        absent = [node for node in owners if node not in up and node != me]
        needed = scope.needed(partition, table, request.w or table.w)
        present, stand_ins = len(owners) - len(absent), None
        sloppy = table.sloppy and not request.strict
        if (absent or scope.peers.silent) and sloppy:
            stand_ins = StandIns(scope.stand_ins(partition, table))
            stand_ins.absent = [n for n in owners if n in absent or n in scope.peers.silent]
        candidates = present + (stand_ins.left(up) if stand_ins is not None and absent else 0)
        if candidates < needed:
            causes = tuple((node, UNREACHABLE) for node in absent)
            return Failure(Code.QUORUM_NOT_REACHED, "", needed, 0, candidates, causes)
        made = composed(scope, request, partition, key)
        if isinstance(made, Failure):
            return made
        if (full := scope.gate.enter(source)) is not None:
            return full
        put = _Put(source, request.id, needed, key, made, now.monotonic_ms, sloppy)
        put.pending = [node for node in owners if node not in absent] if absent else list(owners)
        put.asked, put.stand_ins = present, stand_ins
        put.causes = [(node, UNREACHABLE) for node in absent]
        return put

    def _begun_away(
        self, source: Source, request: Put, now: Instant, owners: tuple[NodeId, ...]
    ) -> _Put | Failure:
        """The same where no owner is reached: this node stands in for one itself."""
        scope, me, keeper = self._scope, self._scope.me, self._keeper
        table = scope.tables[request.table]
        partition, key = scope.place(request.table, request.key, request.sort_key)
        causes, skew_ms = tuple((node, UNREACHABLE) for node in owners), scope.timing.skew_ms_max
        needed = scope.needed(partition, table, request.w or table.w)
        stand_ins = alone(me, owners, scope.stand_ins(partition, table))
        candidates = stand_ins.possible([me], scope.peers.up)
        if candidates < needed:
            return Failure(Code.QUORUM_NOT_REACHED, "", needed, 0, candidates, causes)
        nobody = Failure(Code.NOT_SERVING, "no owner of the key is reachable", causes=causes)
        scope.denied.begin(now.wall_ms)
        if scope.denied.may_cover(key, request.operation, skew_ms):
            return nobody
        if is_old(request.operation, now.wall_ms - scope.timing.tombstone_age_ms + skew_ms):
            return Failure(Code.WRITE_TOO_OLD, "the operation is too old to be applied once")
        record, unsure = keeper.everything(key)
        if unsure:
            return nobody._replace(message=f"{nobody.message}; this node: {unsure}")
        made = composed(scope, request, partition, key, lambda _: record)
        if isinstance(made, Failure):
            damaged = made.code is Code.CORRUPT_DATA  # here is nobody to repair it
            return made._replace(code=Code.NOT_SERVING) if damaged else made
        if cause := keeper.refuses(owners[0], key, len(made.data)):
            return nobody._replace(message=f"{nobody.message}; this node: {cause}")
        if (full := scope.gate.enter(source)) is not None:
            return full
        put = _Put(source, request.id, needed, key, made, now.monotonic_ms, True)
        put.pending, put.asked, put.stand_ins, put.causes = [me], 1, stand_ins, list(causes)
        scope.identity.went_away(partition)
        scope.meters.coordinated_away += 1
        return put

    def _ship(self, put: _Put, request: Put, now_ms: float) -> list[Decision]:
        """Write here and send to the other owners at once."""
        scope = self._scope
        id = self._ids.next()
        self._open[id] = put
        timeout_ms = scope.timeout_ms(request.deadline_ms)
        self._timers.add(now_ms + timeout_ms, id)
        if self._watch_ms is None:
            self._watch_ms = now_ms + NOTICED_AFTER_MS
        data, base = put.composed.data, put.composed.base
        if put.is_away(scope.me):
            assert put.stand_ins is not None, "its slots"
            self._keeper.keep_own(put.stand_ins.slot(scope.me), put.key, data, base, id)
            return []
        scope.store.put(put.key, data, id)
        others = tuple(node for node in put.pending if node != scope.me)
        if not others:
            return []
        return [broadcast(others, replica_put(id, put.key, data, base))]

    def _counted(self, id: int, put: _Put, node: NodeId) -> list[Decision]:
        """A slot is full: nobody else is waited for in it. After my own copy come the hints."""
        stand_ins = put.stand_ins
        assert stand_ins is not None, "only a write with stand-ins has slots"
        owner = stand_ins.slot(node)
        for other in stand_ins.in_slot(owner, put.pending):
            put.pending.remove(other)
            put.causes.append((other, "slow"))
        if owner in stand_ins.absent:
            stand_ins.absent.remove(owner)
        return self._hinted(id, put) if node == self._scope.me else []

    def _replaced(self, id: int, put: _Put, node: NodeId) -> list[Decision]:
        """An owner (or who stood in for it) will not have the write: the next fallback keeps it, if
        the write is sloppy and nobody else is asked to."""
        if node == self._scope.me or not self._made_sloppy(put):
            return []
        stand_ins = put.stand_ins
        assert stand_ins is not None, "a sloppy write has them now"
        owner = stand_ins.slot(node)
        if owner not in stand_ins.absent and not stand_ins.in_slot(owner, put.pending):
            stand_ins.absent.append(owner)
        return self._hinted(id, put)

    def _made_sloppy(self, put: _Put) -> bool:
        """Whether others may stand in for owners; from now on the write knows them."""
        scope = self._scope
        if put.stand_ins is None and put.sloppy:
            table = scope.tables[table_of_key(put.key)]
            put.stand_ins = StandIns(scope.stand_ins(partition_of_key(put.key), table))
        return put.stand_ins is not None

    def _hinted(self, id: int, put: _Put) -> list[Decision]:
        """Hand a hint for each absent owner to a fallback, once my own copy is durable."""
        stand_ins, scope = put.stand_ins, self._scope
        decisions: list[Decision] = []
        if stand_ins is None or not stand_ins.absent or scope.me in put.pending:
            return decisions
        absent, stand_ins.absent = stand_ins.absent, []
        for owner in absent:
            if (fallback := stand_ins.next(scope.peers.up, scope.peers.silent)) is None:
                break
            stand_ins.owner_of[fallback] = owner
            put.pending.append(fallback)
            put.asked += 1
            record, base = put.composed.data, put.composed.base
            decisions.append(Send(fallback, HintPut(HINT_PUT, id, put.key, record, base, owner)))
        return decisions

    def _possible(self, put: _Put) -> int:
        """How many acknowledgements may still come."""
        if put.stand_ins is None:
            return len(put.pending)
        return put.stand_ins.possible(put.pending, self._scope.peers.up)

    def _given_up(self, id: int, put: _Put, now_ms: float) -> list[Decision]:
        """A failure, as soon as W cannot be reached any more."""
        if put.acknowledged + self._possible(put) >= put.needed:
            return []
        return self._fail(id, put, short_of_quorum(put.causes), now_ms)

    def _watched(self, now_ms: float) -> list[Decision]:
        """Look for owners that keep writes waiting. The oldest writes come first."""
        decisions: list[Decision] = []
        for puts in (self._open, self._settling):
            for id, put in list(puts.items()):
                if now_ms - put.started_ms < NOTICED_AFTER_MS:
                    break
                for node in put.pending:
                    if node != self._scope.me:
                        self._scope.peers.keeps_waiting(node, now_ms)
                if now_ms - put.started_ms >= SILENT_AFTER_MS:
                    decisions += self._stood_in_for(id, put)
        self._watch_ms = now_ms + NOTICED_AFTER_MS if self._open or self._settling else None
        return decisions

    def _stood_in_for(self, id: int, put: _Put) -> list[Decision]:
        """Fallbacks for owners that are slow with this write; these are waited for as well."""
        scope = self._scope
        if not self._made_sloppy(put) or scope.me in put.pending:
            return []
        stand_ins = put.stand_ins
        assert stand_ins is not None, "a sloppy write has them now"
        lagging = stand_ins.lagging(put.pending, scope.peers.silent)
        stand_ins.absent += [owner for owner in lagging if owner not in stand_ins.absent]
        return self._hinted(id, put)

    def _answer(self, id: int, put: _Put, now_ms: float) -> list[Decision]:
        """W replicas have it: tell the client, and go on watching the rest."""
        put.answered = True
        del self._open[id]
        self._scope.gate.leave(put.source)
        self._scope.meters.put_ok.observe(now_ms - put.started_ms)
        done = put_done(put.request_id, put.composed.context, put.composed.stamp)
        decisions: list[Decision] = [send(put.source, done)]
        if not put.pending:
            return decisions + self._settle(id, put)
        if len(self._settling) >= SETTLING_MAX:
            del self._settling[next(iter(self._settling))]
        self._settling[id] = put
        return decisions

    def _fail(self, id: int, put: _Put, code: Code, now_ms: float) -> list[Decision]:
        """W can no longer be reached, or the time is over; replicas may hold the write."""
        del self._open[id]
        self._scope.gate.leave(put.source)
        self._scope.meters.put_unknown.observe(now_ms - put.started_ms)
        causes = (*put.causes, *((node, "no answer in time") for node in put.pending))
        failure = Failure(code, "", put.needed, put.acknowledged, put.asked, causes, unknown=True)
        answer = Send(put.source, failed(put.request_id, failure))
        return [answer] if put.is_away(self._scope.me) else [answer, NeedsRepair(put.key)]

    def _settle(self, id: int, put: _Put) -> list[Decision]:
        """Every replica has answered or is lost: repair a difference, close old gaps."""
        self._settling.pop(id, None)
        if put.differs:
            return [NeedsRepair(put.key)]
        if put.composed.gaps >= GAPS_MAX and put.whole and not put.causes:
            return [AllAgree(put.key, put.composed.data)]
        return []
