"""A simulated client: one operation after the other, each told to the history and checked.

    write    attempt ─▶ acknowledged
                     ─▶ refused ─▶ the same operation through another coordinator
                     ─▶ lost    ─▶ the same ─▶ ... ─▶ ask what became of it, or leave it unknown
    read     by a coordinator, or of the replicas by the client itself

Every attempt of a write is byte-identical: the same operation id, payload and first context.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from dynamo.coordination.outcomes import APPLIED, NOT_APPLIED
from dynamo.coordination.reading import Read as QuorumRead
from dynamo.errors import Code
from dynamo.hlc import HybridClock
from dynamo.keys import partition_of_key
from dynamo.messages import (
    ASK_OUTCOME,
    ASK_REPAIR,
    FAILED,
    GET,
    GET_DONE,
    OUTCOME_DONE,
    PUT,
    PUT_DONE,
    REPLICA_GET,
    AskOutcome,
    AskRepair,
    Get,
    Put,
    ReplicaGet,
)
from dynamo.ring.joint import Rings
from dynamo.siblings.codec import encode_context
from dynamo.siblings.record import Window, operation_id, seen_by_reader, siblings
from dynamo.testing.calls import LOST, UNREACHABLE, Calls
from dynamo.testing.checkers import check_read
from dynamo.testing.cluster import Cluster
from dynamo.testing.history import Context, KeyHistory, Read, Write
from dynamo.testing.replica_read import ReplicaRead
from dynamo.testing.store import Violation
from dynamo.testing.world import WallClock
from dynamo.types import ItemKey, NodeId, TableId

DEADLINE_MS = 300
PATIENCE_MS = 350.0
ATTEMPTS_MAX = 4
RETRY_MS = 20.0
HASTY_MS = (0.1, 4.0)
OWNERS, TRIED_OWNERS = 0.9, 0.6
"""How often an owner is asked first, and after another node. Others pass it on, or stand in."""
CALLERS_FAULT = (
    *(Code.UNKNOWN_TABLE, Code.KEY_TOO_LARGE, Code.VALUE_TOO_LARGE),
    *(Code.INVALID_CONTEXT, Code.INVALID_QUORUM),
)
"""What a correct client is never told."""

Done = Callable[[], None]


class Client:
    """One session."""

    def __init__(
        self, cluster: Cluster, number: int, counts: "Counter[str]", hasty: float = 0.0
    ) -> None:
        """`hasty`: how often it asks what became of a write that is still on its way."""
        self.name, self.number = f"c{number}", number
        self.world, self._cluster = cluster.world, cluster
        self.rng = cluster.world.rng(f"client {number}")
        self.clock = WallClock(cluster.world, self.rng.uniform(-40, 40))
        self._hybrid = HybridClock(cluster.config.timing.skew_ms_max)
        self._calls = Calls(cluster, self.name)
        self._session, self._sequence, self._hasty = number, 0, hasty
        self._rings = Rings(cluster.ring)
        self.counts = counts
        """Operations by their outcome, shared by all clients."""
        limits = cluster.config.limits
        self._window = Window(limits.operations_max, limits.retry_window_ms)

    # writes

    def write(
        self,
        history: KeyHistory,
        payload: bytes | None,
        context: Context,
        then: Callable[[Context | None], None],
        ask: bool = True,
    ) -> Write:
        """Put, or delete; `then` gets the new context once it is acknowledged, else None.

        `ask`: ask what became of it if nobody could tell.
        """
        stamp = self._hybrid.next(self.clock.wall_ms())
        self._sequence += 1
        operation = operation_id(stamp, self._session, self._sequence)
        write = history.invoke(operation, payload, context, self.world.now)
        self.world.note(self.name, "begins", write, "in place of", bin(context.seen))
        self._attempt(write, context, then, ask, "")
        return write

    def _attempt(
        self,
        write: Write,
        context: Context,
        then: Callable[[Context | None], None],
        ask: bool,
        last: str,
    ) -> None:
        """Through a coordinator, another one than the last."""
        history = write.key
        node = self._coordinator(history, last)
        put = Put(
            kind=PUT,
            id=self._calls.next_id(),
            deadline_ms=DEADLINE_MS,
            epoch=self._rings.epoch,
            table=TableId(history.table),
            key=history.key,
            sort_key=b"",
            context=context.token,
            payload=write.payload,
            operation=write.operation,
            w=0,
            retried=write.uncertain > 0,
        )
        write.attempts += 1
        write.uncertain += 1

        def answered(answer: Any) -> None:
            if answer not in (LOST, UNREACHABLE) and answer.kind == PUT_DONE:
                self._acknowledged(write, answer, then)
                return
            if self._is_certain(answer):
                write.uncertain -= 1
            self._look_at_ring(answer)
            if write.attempts < ATTEMPTS_MAX and not (ask and hasty):
                delay = RETRY_MS * self.rng.random()
                self.world.at(delay, self._attempt, write, context, then, ask, node)
            else:
                self._gave_up(write, then, ask)

        hasty = self.rng.random() < self._hasty
        patience = self.rng.uniform(*HASTY_MS) if hasty else self._patience_ms()
        self._calls.call(node, put, answered, patience)

    def _acknowledged(
        self, write: Write, answer: Any, then: Callable[[Context | None], None]
    ) -> None:
        self._hybrid.observe(answer.stamp, self.clock.wall_ms())
        write.heard = True
        write.key.acknowledge(write, self.world.now)
        self._count(write, "acknowledged")
        self.world.note(self.name, "is told of", write)
        then(Context(answer.context, write.replaces | write.bit, answer.stamp))

    def _gave_up(self, write: Write, then: Callable[[Context | None], None], ask: bool) -> None:
        """No attempt was answered well."""
        self.world.note(self.name, "gives up", write)
        if not write.uncertain:
            write.key.deny(write, self.world.now)
            self._count(write, "not applied")
            then(None)
            return
        write.key.doubt(write, self.world.now)
        self._count(write, "unknown")
        if ask:
            self.ask_outcome(write, lambda: then(None))
        else:
            then(None)

    def _patience_ms(self) -> float:
        """How long this attempt is waited for; mostly longer than its deadline."""
        return PATIENCE_MS if self.rng.random() < 0.85 else self.rng.uniform(5, 60)

    def _is_certain(self, answer: Any) -> bool:
        """Whether this failed attempt has surely changed nothing."""
        if answer == LOST:
            return False
        if answer == UNREACHABLE:
            return True
        assert answer.kind == FAILED, f"a put was answered by {answer}"
        self.counts[f"refused {Code(answer.code).name.lower()}"] += 1
        if answer.code in CALLERS_FAULT:
            raise Violation(f"{self.name} was told {answer}")
        return not answer.unknown

    def ask_outcome(self, write: Write, then: Done, node: NodeId | None = None) -> None:
        """What became of a write?"""
        history = write.key
        ask = AskOutcome(
            *(ASK_OUTCOME, self._calls.next_id(), DEADLINE_MS, self._rings.epoch),
            *(TableId(history.table), history.key, b"", write.operation),
        )

        def answered(answer: Any) -> None:
            state = "lost"
            if answer not in (LOST, UNREACHABLE) and answer.kind == OUTCOME_DONE:
                state = answer.state
                if state == APPLIED and write.status == "unknown":
                    history.acknowledge(write, self.world.now)
                elif state == NOT_APPLIED and write.status == "unknown":
                    history.deny(write, self.world.now)
            self._look_at_ring(answer)
            self.counts[f"outcome {state}"] += 1
            self.world.note(self.name, "asked what became of", write, "and hears", state)
            then()

        self._calls.call(node or self._coordinator(history, ""), ask, answered, PATIENCE_MS)

    # reads

    def read(
        self,
        history: KeyHistory,
        then: Callable[[Context | None], None],
        r: int = 0,
        node: NodeId | None = None,
    ) -> None:
        """A get by a coordinator; `then` gets its context, None if it failed."""
        read = history.begin_read(self.world.now)
        get = Get(
            *(GET, self._calls.next_id(), DEADLINE_MS, self._rings.epoch),
            *(TableId(history.table), history.key, b"", r),
        )

        def answered(answer: Any) -> None:
            if answer in (LOST, UNREACHABLE) or answer.kind == FAILED:
                self._look_at_ring(answer)
                self.counts["get failed"] += 1
                then(None)
                return
            assert answer.kind == GET_DONE, f"a get was answered by {answer}"
            self.counts["get ok"] += 1
            then(self._shown(history, read, answer.payloads, answer.stamp, answer.context))

        self._calls.call(node or self._coordinator(history, ""), get, answered, PATIENCE_MS)

    def read_replicas(self, history: KeyHistory, then: Callable[[Context | None], None]) -> None:
        """A get that the client coordinates itself."""
        read = history.begin_read(self.world.now)
        key = self._item(history)

        def done(quorum: QuorumRead | None) -> None:
            if quorum is None:
                self.learn_ring()
                self.counts["replica get failed"] += 1
                then(None)
                return
            record, behind = quorum.merged(history.rule, self._window)
            if behind:
                self._calls.tell(self.rng.choice(behind), AskRepair(ASK_REPAIR, key))
            payloads = tuple(v.payload for v in siblings(record) if v.payload is not None)
            seen = seen_by_reader(record)
            self.counts["replica get ok"] += 1
            then(self._shown(history, read, payloads, seen.stamp, encode_context(key, seen)))

        owners = list(self.owners(history))
        self.rng.shuffle(owners)
        table, epoch = self._cluster.table(history.table), self._rings.epoch
        r = table.r + self._rings.extra(partition_of_key(key), table.n)
        ReplicaRead(
            *(self.world, self._calls, key, owners, r, PATIENCE_MS),
            *(lambda: self._rings.epoch == epoch, done),
        ).begin()

    def learn_ring(self, newest: bool = False) -> None:
        """Ask some node (or whoever knows it) for the newest ring."""
        asked = [self._cluster.accepting(name) for name in self._rings.members]
        brains = [process.brain for process in asked if process is not None]
        topologies = [brain.topology for brain in brains if brain is not None]
        if newest:
            topology = self._cluster.topology
        elif topologies:
            topology = self.rng.choice(topologies)
        else:
            return
        if topology.epoch > self._rings.epoch:
            self._rings = Rings(topology.ring, topology.target)
            self._calls.speak_for(topology.epoch)

    def _look_at_ring(self, answer: Any) -> None:
        """After a failure: does another ring hold?"""
        if answer in (LOST, UNREACHABLE):
            if self.rng.random() < 0.1:
                self.learn_ring()
        elif answer.kind == FAILED and answer.code == Code.WRONG_RING:
            self.learn_ring()

    def look_at(self, node: NodeId, key: ItemKey) -> None:
        """Ask one replica for its record, whatever it answers."""
        ask = ReplicaGet(REPLICA_GET, self._calls.next_id(), key, None)
        self._calls.call(node, ask, lambda _: None, PATIENCE_MS)

    def _shown(
        self, history: KeyHistory, read: Read, payloads: tuple[bytes, ...], stamp: int, token: bytes
    ) -> Context:
        """Check what a read shows, and learn from it."""
        self._hybrid.observe(stamp, self.clock.wall_ms())
        where = f"{self.name}'s read of {history.name} at {self.world.now:.1f}"
        where += f" (begun {read.began_ms:.1f})"
        if history.sloppy and self._cluster.was_hinted(self._item(history)):
            read = read._replace(acknowledged=0, forbidden=0)
        found = check_read(history, read, payloads, stamp, where)
        self.world.note(f"{where} shows {history.describe(found) or 'nothing'}")
        return history.context_of_read(token, found, read, stamp)

    def owners(self, history: KeyHistory) -> tuple[NodeId, ...]:
        """Who holds an item, as far as this client knows."""
        n = self._cluster.table(history.table).n
        return self._rings.owners(partition_of_key(self._item(history)), n)

    def _item(self, history: KeyHistory) -> ItemKey:
        return self._cluster.item(TableId(history.table), history.key)

    def _coordinator(self, history: KeyHistory, last: str) -> NodeId:
        """An owner mostly, oftener any node if one was tried; never the last one."""
        owner = self.rng.random() < (TRIED_OWNERS if last else OWNERS)
        nodes = self.owners(history) if owner else self._rings.members
        return self.rng.choice([node for node in nodes if node != last])

    def _count(self, write: Write, outcome: str) -> None:
        kind = "delete" if write.payload is None else "put"
        self.counts[f"{kind} {outcome}"] += 1
