"""The kernel: one node's whole brain behind one door, `handle(event, now) -> effects`.

    Received ──▶ parse ──▶ puts · gets · outcomes · forwards     (client requests)
                      └──▶ replica                              (peers, reading clients)
                      └──▶ puts · gets · outcomes · repairs · rebuild   (peers' answers, by id)
                                                              (`dynamo.answers`)
    Persisted ─▶ own copy counted · peers acknowledged
    PeerUp/Down ▶ who can be asked · what will not be answered
    Tick ──────▶ deadlines, hedges, repairs, background parts (`dynamo.background`)

The machines meet only here. No event is refused for what a network may do; a peer that breaks the
protocol is disconnected and nothing else happens.
"""

from typing import Any, NamedTuple

from dynamo.answers import Answers
from dynamo.background import Background, Durable
from dynamo.config import ClusterConfig
from dynamo.coordination.decisions import (
    OUTCOMES,
    REPAIRS,
    STRAYS,
    TAG_MASK,
    WANT_ALL_KEPT,
    AllAgree,
    Decision,
    NeedsRepair,
)
from dynamo.coordination.forwards import Forwards
from dynamo.coordination.gets import Gets
from dynamo.coordination.identity import Identity
from dynamo.coordination.outcomes import Outcomes
from dynamo.coordination.puts import Puts
from dynamo.coordination.repairs import Repairs
from dynamo.coordination.scope import Scope
from dynamo.errors import Code, CorruptData, Failure, ProtocolViolation
from dynamo.keys import item_key_bytes_max, partition_of_key, table_of_key
from dynamo.membership.council import Council
from dynamo.membership.lookout import Lookout
from dynamo.messages import (
    STATUS_IS,
    Ack,
    AskCluster,
    AskOutcome,
    AskRepair,
    AskStatus,
    Broadcast,
    ClientGone,
    ClusterIs,
    Disconnect,
    Effect,
    Event,
    Failed,
    Get,
    GetDone,
    Message,
    OutcomeDone,
    PeerDown,
    PeerUp,
    Persisted,
    Put,
    PutDone,
    Received,
    ReplicaDigest,
    ReplicaGet,
    ReplicaPage,
    ReplicaPut,
    ReplicaRefused,
    ReplicaScan,
    Send,
    Source,
    StatusIs,
    Tick,
    failed,
    parse,
)
from dynamo.messages_exchange import AskExchange
from dynamo.messages_members import MEMBERS, AskChange, AskTopology, ClientEpoch
from dynamo.meters import Meters
from dynamo.parts import hints_of, parts_of
from dynamo.ports import RecordStore
from dynamo.repair.collection import Damaged
from dynamo.repair.governor import governor_of
from dynamo.repair.knowledge import Knowledge, knowledge
from dynamo.repair.rebuild import MISSING, Rebuild, Rebuilt, encode_partitions
from dynamo.repair.transfers import Transfers
from dynamo.replica.replica import Replica
from dynamo.ring.joint import Rings
from dynamo.ring.ring import Ring
from dynamo.siblings.record import Record
from dynamo.types import Instant, ItemKey, NodeId, PartitionId

CLIENT_MESSAGES = frozenset(
    (
        *(Put, Get, AskOutcome, AskRepair, AskCluster, AskStatus, AskExchange, ReplicaGet),
        *(ClientEpoch, AskChange, AskTopology),
    )
)
"""What a client may send; all else is for members."""
NO_PARTITION: frozenset[PartitionId] = frozenset()


class Tenure(NamedTuple):
    """What outlives the kernels of a node's epochs (`dynamo.brain`), and what a change adds."""

    council: Council
    rings: Rings
    """In force, and what a change under way leads to."""
    transfers: Transfers | None
    """What this node gains by it."""
    before: "Kernel | None"
    """Whose links, gate, lookout and settled vectors are taken over."""


class Kernel:
    """One node, without its clocks, threads, sockets and files."""

    def __init__(
        self,
        config: ClusterConfig,
        ring: Ring,
        identity: Identity,
        store: RecordStore,
        meters: Meters,
        missing: frozenset[PartitionId] = frozenset(),
        tenure: Tenure | None = None,
    ) -> None:
        """`missing`: partitions that a lost disk took along; they are rebuilt before they count.
        Without `tenure` the ring never changes."""
        before = tenure.before if tenure else None
        self._tenure = tenure and tenure._replace(before=None)
        rings = tenure.rings if tenure else Rings(ring)
        former = None if before is None else before._known.settled
        known = knowledge(store, ring, identity, config.tables, missing, former)
        self._known: Knowledge = known
        self._scope = scope = Scope(
            *(config, rings, identity, known.trees, meters, known.settled),
            None if before is None else before.scope,
        )
        self._me = identity.node
        self._mine = rings.of(identity.node, ring.n_max)
        waits = identity.epoch > 1 and before is None and len(ring.members) > 1
        self._unconfirmed = self._mine - missing if waits else NO_PARTITION
        """What counts once a peer has spoken to this start: its disk may be an old copy."""
        self._ready = set(self._mine - missing - self._unconfirmed)
        self._owning_all = frozenset(
            table.id for table in config.tables if rings.owns_all(self._me, table.n)
        )
        self._narrow = frozenset(table.id for table in config.tables if table.n < ring.n_max)
        """Tables of which this node owns fewer partitions than it holds."""
        self._repairs, self._forwards = Repairs(scope), Forwards(scope)
        self._replica = Replica(
            *(known.trees, scope.tables, scope.window, self._ready, meters),
            *(identity.forgetting, known.settled),
        )
        self._plug_in(store, missing, None if before is None else before.lookout)
        self._effects: list[Effect] = []
        self._now = Instant(0.0, 0)
        self._handlers = self._table_of_handlers()
        self._client_handlers = {
            kind: handler if kind in CLIENT_MESSAGES else self._unasked
            for kind, handler in self._handlers.items()
        }
        self._item_key_bytes_max = item_key_bytes_max(config.limits)

    def _plug_in(
        self, store: RecordStore, missing: frozenset[PartitionId], lookout: Lookout | None
    ) -> None:
        """Hints and who must know of them, background work, and who takes replicas' answers."""
        scope, known, tenure = self._scope, self._known, self._tenure
        self.hints = hints_of(scope, store)
        self._puts, self._gets = Puts(scope, self.hints), Gets(scope, self.hints)
        holds = tenure.council.holds if tenure else scope.rings.members.__contains__
        self._outcomes = Outcomes(scope, self.hints.everything, holds)
        parts = parts_of(
            *(scope, known, self.hints, self._replica, self._ready, missing),
            *(lambda: self._now.wall_ms, lookout),
        )
        self._rebuild, self._exchange, self._closing = parts.rebuild, parts.exchange, parts.closing
        self.lookout: Lookout = parts.lookout
        council = tenure.council if tenure else None
        self._transfers = tenure.transfers if tenure else None
        # The council first: by which epoch a node asks is its first word on a link.
        every = [part for part in (council, *parts, self._transfers) if part is not None]
        self._background = Background([*every, governor_of(every, scope.meters, self.in_flight)])
        machines = (self._puts, self._gets, self._outcomes, self._repairs)
        self._answers = Answers(*machines, self._background, council)

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """Take in what happened; answer what is to be done about it, in order."""
        effects: list[Effect] = []
        self._effects, self._now = effects, now
        if isinstance(event, Received):
            self._received(event, now)
        elif isinstance(event, Persisted):
            self._persisted(event.tokens, now)
        elif isinstance(event, Tick):
            self._tick(now)
        elif isinstance(event, PeerUp):
            self._scope.peers.linked(event.node)
            self._scope.denied.begin(now.wall_ms)
            self._perform(self._background.advance(self._scope.peers.up, now.monotonic_ms), now)
        elif isinstance(event, PeerDown):
            self._lost(event.node, event.reason, now)
        else:
            assert isinstance(event, ClientGone), "an unknown event"
        while self._replica.damaged:
            self._repairs.request(self._replica.damaged.pop(), now.monotonic_ms)
        if effects:
            self._background.stirred = True
        return effects

    def begin(self, now: Instant) -> list[Effect]:
        """Take over from the kernel of the epoch before, with the links that are open."""
        effects: list[Effect] = []
        self._effects, self._now = effects, now
        self._perform(self._background.advance(self._scope.peers.up, now.monotonic_ms), now)
        return effects

    def give_up(self, now: Instant) -> list[Effect]:
        """Another ring is in force: answer all operations under way; who asked asks again."""
        effects: list[Effect] = []
        self._effects = effects
        now_ms = now.monotonic_ms
        self._perform(self._puts.give_up(now_ms), now)
        self._perform(self._gets.give_up(now_ms), now)
        self._perform(self._outcomes.give_up(now_ms), now)
        self._perform(self._forwards.give_up(), now)
        return effects

    def deadline(self) -> float | None:
        """When a Tick is wanted."""
        parts = (self._puts, self._gets, self._outcomes, self._repairs, self._forwards)
        wanted = [part.deadline() for part in parts] + [self._background.deadline()]
        return min((when for when in wanted if when is not None), default=None)

    def validate(self) -> None:
        """Assert the invariants of the machines that serve operations."""
        self._puts.validate()
        self._gets.validate()
        self._repairs.validate()
        self._forwards.validate()
        gate, open_ = self._scope.gate, self._puts.in_flight() + self._gets.in_flight()
        assert gate.inside == open_ + self._outcomes.in_flight(), "the gate lost count"
        most = self._scope.config.node(self._me).limits.operations_in_flight_max
        assert gate.inside <= most, "too many operations are in flight"

    def validate_background(self) -> None:
        """Assert those of the parts that work in the background."""
        self._background.validate()

    def validate_store(self) -> None:
        """Assert that hash trees and counts of hints are those of the store; reads everything."""
        self._known.trees.validate()
        self.hints.validate()

    def nothing(self, key: ItemKey) -> Record:
        """What this node takes an item for of which it holds nothing."""
        return self._scope.nothing(key)

    def drain(self) -> None:
        """Begin no client operation any more, and say so to the peers; those in flight go on."""
        self._scope.gate.shut()
        self._background.telling(self.lookout).leave()

    def in_flight(self) -> int:
        """Client operations not yet answered (for draining)."""
        return self._scope.gate.inside + self._forwards.in_flight()

    def missing_partitions(self) -> int:
        """Partitions that are being rebuilt and do not count yet."""
        return self._rebuild.missing()

    def missing(self) -> tuple[PartitionId, ...]:
        """The same, by number."""
        return self._rebuild.missing_partitions()

    @property
    def scope(self) -> Scope:
        """What the next epoch's kernel takes over."""
        return self._scope

    def status(self) -> dict[str, Any]:
        """This node in plain words and numbers, as of the newest event."""
        peers = self._scope.peers
        others = [node for node in self._scope.rings.members if node != self._me]
        return {
            "node": self._me,
            "actor": self._scope.identity.actor,
            "epoch": self._scope.identity.epoch,
            "ring_epoch": self._scope.ring.epoch,
            "state": "rebuilding" if self._rebuild.missing() else "serving",
            "partitions": len(self._mine),
            "peers": {node: "up" if node in peers.up else "down" for node in others},
            "operations_in_flight": self._scope.gate.inside,
            "repairs_queued": self._repairs.queued(),
            **self._background.status(self._now.monotonic_ms),
        }

    def _received(self, event: Received, now: Instant) -> None:
        """One frame: parse each message and hand it to whom it concerns."""
        source, handlers = event.source, self._client_handlers
        if not isinstance(source, int):
            handlers = self._handlers
            self._scope.peers.heard(source)
            if self._unconfirmed:
                self._ready |= self._unconfirmed
                self._unconfirmed = NO_PARTITION
        try:
            for raw in event.messages:
                message = parse(raw)
                decisions = handlers[type(message)](source, message, now)
                if decisions:
                    self._perform(decisions, now)
        except ProtocolViolation as violation:
            self._effects.append(Disconnect(source, str(violation)))

    def _table_of_handlers(self) -> dict[type[Any], Any]:
        """Who takes which message: (source, message, now) -> decisions."""
        return {
            Put: self._put,
            Get: self._get,
            AskOutcome: self._ask_outcome,
            AskRepair: self._ask_repair,
            AskCluster: self._ask_cluster,
            AskStatus: lambda s, m, _: [Send(s, StatusIs(STATUS_IS, m.id, self.status()))],
            ReplicaPut: self._replica_put,
            ReplicaGet: self._replica_get,
            ReplicaScan: lambda s, m, _: [self._replica.scan(s, m)],
            ReplicaPage: self._page,
            **dict.fromkeys((PutDone, GetDone, OutcomeDone, Failed), self._forwarded),
            **dict.fromkeys((ReplicaDigest, ClusterIs, StatusIs), self._unasked),
            **self._answers.handlers(),
            **{kind: self._unasked for _, kind, *_ in MEMBERS},
            ClientEpoch: lambda s, m, _: [],
            **self._background.handlers(),
        }

    def _perform(self, decisions: list[Any], now: Instant) -> None:
        """Sort what machines decided into effects and what this node does itself."""
        me = self._me
        for decision in decisions:
            kind = type(decision)
            if kind is Send:
                if decision.to == me:
                    self._to_myself(decision.message, now)
                else:
                    self._effects.append(decision)
            elif kind is Broadcast:
                if me in decision.to:
                    self._to_myself(decision.message, now)
                    others = tuple(node for node in decision.to if node != me)
                    decision = Broadcast(others, decision.message)
                if decision.to:
                    self._effects.append(decision)
            elif kind is NeedsRepair or kind is Damaged:
                self._repairs.request(decision.key, now.monotonic_ms)
            elif kind is AllAgree:
                self._perform(self._closing.begin(decision.key, decision.record), now)
            elif kind is Rebuilt:
                self._scope.meters.rebuilt_partitions += 1
                self._ready.add(decision.partition)
                missing = self._rebuild.missing_partitions()
                self._scope.store.put_meta(MISSING, encode_partitions(missing))
            else:
                assert kind is Disconnect, f"an unknown decision {kind}"
                self._effects.append(decision)

    def _to_myself(self, message: Message, now: Instant) -> None:
        """This node is one of its own peers, at no distance."""
        decisions = self._handlers[type(message)](self._me, message, now)
        self._perform(decisions, now)

    def _put(self, source: Source, message: Put, now: Instant) -> list[Decision]:
        if (elsewhere := self._elsewhere(source, message, now)) is not None:
            return elsewhere
        if self._unconfirmed and self._scope.peers.up:  # an old copy would issue its dots again
            early = Failure(Code.NOT_SERVING, "no peer has spoken to this start yet")
            return [Send(source, failed(message.id, early))]
        return self._puts.begin(source, message, now)

    def _get(self, source: Source, message: Get, now: Instant) -> list[Decision]:
        if (elsewhere := self._elsewhere(source, message, now)) is not None:
            return elsewhere
        return self._gets.begin(source, message, now, self._ready_for(message))

    def _ask_outcome(self, source: Source, message: AskOutcome, now: Instant) -> list[Decision]:
        if (elsewhere := self._elsewhere(source, message, now)) is not None:
            return elsewhere
        return self._outcomes.begin(source, message, now, self._ready_for(message))

    def _ready_for(self, message: Get | AskOutcome) -> bool:
        counts = not self._rebuild.missing() and not self._unconfirmed
        if counts or message.table not in self._scope.tables:
            return True
        return self._scope.place(message.table, message.key, b"")[0] in self._ready

    def _elsewhere(
        self, source: Source, message: Put | Get | AskOutcome, now: Instant
    ) -> list[Decision] | None:
        """Answer or forward what this node does not coordinate; None if it does."""
        scope = self._scope
        if message.deadline_ms < 0:
            late = Failure(Code.DEADLINE_EXCEEDED, "its time was over when it arrived")
            return [Send(source, failed(message.id, late))]
        if message.epoch and message.epoch != scope.ring.epoch:
            stale = Failure(Code.WRONG_RING, f"the ring has epoch {scope.ring.epoch}")
            return [Send(source, failed(message.id, stale))]
        table = scope.tables.get(message.table)
        if table is None or table.id in self._owning_all:
            return None
        partition, _ = scope.place(message.table, message.key, b"")
        owners = scope.owners(partition, table)
        if self._me in owners or self._forwards.none_reached(source, message, owners, table):
            return None
        return [*self._forwards.begin(source, message, owners, now.monotonic_ms)]

    def _ask_repair(self, source: Source, message: AskRepair, now: Instant) -> list[Decision]:
        if len(message.key) > self._item_key_bytes_max:
            return [Disconnect(source, f"no item key has {len(message.key)} bytes")]
        known = table_of_key(message.key) in self._scope.tables
        if known and partition_of_key(message.key) in self._mine:
            self._repairs.request(message.key, now.monotonic_ms)
        return []

    def _ask_cluster(self, source: Source, message: AskCluster, now: Instant) -> list[Decision]:
        tenure = self._tenure
        addresses = tenure.council.addresses() if tenure else self._scope.config.addresses()
        return [Send(source, self._scope.cluster(message.id, addresses, now.wall_ms))]

    def _replica_put(self, source: Source, message: ReplicaPut, now: Instant) -> list[Effect]:
        tag, now_ms = message.id & TAG_MASK, now.monotonic_ms
        own_repair, late = source == self._me and tag == REPAIRS, tag == STRAYS
        return self._replica.put(source, message, now_ms, complete=own_repair, late=late)

    def _replica_get(self, source: Source, message: ReplicaGet, now: Instant) -> list[Effect]:
        """The commonest question of all: its answer takes no detour through decisions."""
        answer = self._replica.get(source, message)
        narrow = self._narrow and table_of_key(message.key) in self._narrow
        if message.id & TAG_MASK in WANT_ALL_KEPT and not isinstance(source, int):
            answer = self.hints.get_all(source, message, answer)
            if message.id & TAG_MASK == OUTCOMES:
                self._scope.denied.note(message.key, now.wall_ms)
        elif narrow or type(answer.message) is ReplicaRefused:
            answer = self.hints.get(source, message) or answer
        self._effects.append(answer)
        return []

    def _page(self, source: NodeId, message: ReplicaPage, now: Instant) -> list[Any]:
        if self._exchange.waits_for(source, message.id):
            return self._background.telling(self._exchange).answer(source, message, now)
        copying: Rebuild = self._background.telling(self._rebuild)
        if self._transfers is not None and self._transfers.waits_for(source, message.id):
            copying = self._transfers
        if copying.waits_for(source, message.id):
            try:
                for key, record in message.items:
                    self._scope.meters.rebuilt_records += self._replica.absorb(key, record)
            except CorruptData as error:
                return [Disconnect(source, str(error))]
        now_ms, up = now.monotonic_ms, self._scope.peers.up
        return copying.page(source, message, now_ms) + copying.advance(up, now_ms)

    def _forwarded(self, source: NodeId, message: Any, now: Instant) -> list[Effect]:
        return self._forwards.answer(source, message)

    def _unasked(self, source: Source, message: Message, now: Instant) -> list[Effect]:
        return [Disconnect(source, f"{type(message).__name__} is not for you to send here")]

    def _persisted(self, tokens: list[Any], now: Instant) -> None:
        """One durable log group: count own copies, acknowledge to peers."""
        acks: list[Ack] = []
        for token in tokens:
            if type(token) is int:
                self._perform(self._puts.acknowledge(self._me, token, now.monotonic_ms), now)
            elif type(token) is Durable:
                self._perform(token.then(now.monotonic_ms), now)
            elif token is not None:
                acks.append(token)
        self._perform(self._replica.persisted(acks, now.monotonic_ms), now)

    def _lost(self, node: NodeId, reason: str, now: Instant) -> None:
        """A peer's link is gone."""
        now_ms = now.monotonic_ms
        self._scope.peers.lost(node)
        self._perform(self._puts.lost(node, reason, now_ms), now)
        self._perform(self._gets.lost(node, reason, now_ms), now)
        self._perform(self._outcomes.lost(node, now_ms), now)
        self._perform(self._repairs.lost(node), now)
        self._perform(self._forwards.lost(node), now)
        self._perform(self._background.lost(node, reason, now_ms), now)

    def _tick(self, now: Instant) -> None:
        """Everything whose time has come."""
        now_ms = now.monotonic_ms
        for part in (self._puts, self._gets, self._outcomes, self._repairs, self._forwards):
            self._perform(part.expire(now_ms), now)
        self._perform(self._background.expire(self._scope.peers.up, now_ms), now)
