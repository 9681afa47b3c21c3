"""A few whole kernels joined by hand: no threads, no sockets, time only when the test says so.

    client ─ Put, Get, AskOutcome ─▶ kernel n1 ─▶ wires ─▶ kernel n2, n3
                                        │ store: the real log engine over a simulated disk

Whatever is sent is delivered by `settle`, in order, except on wires that the test has cut or holds
back; whatever is written is durable by then, except on disks that the test has stopped.
"""

from collections import Counter
from dataclasses import replace
from itertools import count
from typing import Any

from dynamo.config import PRESETS, ClusterConfig, builtin
from dynamo.coordination.identity import Identity
from dynamo.kernel import Kernel
from dynamo.keys import item_key
from dynamo.messages import (
    ASK_OUTCOME,
    GET,
    PUT,
    REPLICA_STORED,
    AskOutcome,
    Broadcast,
    Event,
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
    ReplicaStored,
    Send,
    Source,
    Tick,
)
from dynamo.meters import Meters
from dynamo.repair.boot import FORGOT, IDENTITY, ROLLED_BACK, Boot, Found, boot
from dynamo.repair.rebuild import MISSING
from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member, Ring
from dynamo.siblings.codec import decode_record, opened_context
from dynamo.siblings.record import NOTHING, Record, operation_id
from dynamo.storage.engine import LogEngine
from dynamo.storage.port import EngineOptions
from dynamo.storage.tables import MemoryTable
from dynamo.testing.disk import SimulatedFiles
from dynamo.types import Instant, ItemKey, NodeId, OperationId, PartitionId, TableId

BIRTH_MS = 1_700_000_000_000
CART, SESSION, CATALOG = TableId(1), TableId(2), TableId(3)
CLIENT = 7
"""The number under which the one client connection is known everywhere."""

OPTIONS = EngineOptions(segment_bytes=64 << 10, log_bytes_max=48 << 10, disk_reserve_bytes=0)
SMALL_RING = 16
"""Partitions for up to four nodes; more nodes have twice as many."""


def small(nodes: int) -> ClusterConfig:
    """The built-in tables on a ring that is quickly planned."""
    partitions = SMALL_RING if 4 * nodes <= SMALL_RING else 2 * SMALL_RING
    return replace(builtin(nodes), partitions=partitions, timing=PRESETS["test"])


class Machine:
    """What outlives a process, and the process."""

    def __init__(self, name: NodeId) -> None:
        self.name = name
        self.files, self.table = SimulatedFiles(), MemoryTable()
        self.clock_ahead_ms = 0
        self.disk_stopped = False
        self.engine: LogEngine | None = None
        self.kernel: Kernel | None = None
        self.boot: Boot | None = None
        self.meters = Meters()


class KernelCluster:
    """n1, n2, … and one client."""

    def __init__(self, nodes: int = 3, config: ClusterConfig | None = None) -> None:
        self.config = config or small(nodes)
        members = tuple(Member(node.name, node.host, "", 1.0) for node in self.config.nodes)
        most = max(table.n for table in self.config.tables)
        self.ring: Ring = plan(members, self.config.partitions, most).ring
        self.machines = {node.name: Machine(node.name) for node in self.config.nodes}
        self.now_ms = 1000.0
        self.wires: list[tuple[Source, NodeId | int, Message]] = []
        self.held: set[tuple[str, str]] = set()
        """(from, to) whose messages wait."""
        self.sent: Counter[str] = Counter()
        """Messages between nodes, by kind."""
        self.rounds = 0
        """Deliveries one after the other: the hops on the longest path."""
        self.answers: dict[int, Any] = {}
        self._ids = count(1)
        for name in self.machines:
            self._boot(name, bootstrap=True)
        for name in self.machines:
            self._link(name)
        self.settle()

    # the client

    def put(
        self,
        at: str,
        key: bytes,
        value: bytes | None,
        context: bytes | None = None,
        operation: OperationId | None = None,
        *,
        table: TableId = CART,
        w: int = 0,
        strict: bool = False,
    ) -> Any:
        """What the client is told in the end; None if nobody answered yet."""
        return self.answers.get(
            self.begin_put(
                at, key, value, context, operation, table=table, w=w, strict=strict, settle=True
            )
        )

    def begin_put(
        self,
        at: str,
        key: bytes,
        value: bytes | None,
        context: bytes | None = None,
        operation: OperationId | None = None,
        *,
        table: TableId = CART,
        w: int = 0,
        strict: bool = False,
        settle: bool = False,
    ) -> int:
        """The request's id; its messages wait on the wires unless they shall settle."""
        id = next(self._ids)
        operation = operation or self.operation()
        self.hear(at, Put(PUT, id, 0, 0, table, key, b"", context, value, operation, w, strict))
        if settle:
            self.settle()
        return id

    def get(self, at: str, key: bytes, r: int = 0, *, table: TableId = CART) -> GetDone:
        """The answer of a server-driven read."""
        id = next(self._ids)
        self.hear(at, Get(GET, id, 0, 0, table, key, b"", r))
        self.settle()
        answer = self.answers[id]
        assert isinstance(answer, GetDone), answer
        return answer

    def values(self, at: str, key: bytes, r: int = 0, *, table: TableId = CART) -> list[bytes]:
        """The siblings that a read finds, sorted."""
        return sorted(self.get(at, key, r, table=table).payloads)

    def outcome(self, at: str, key: bytes, operation: OperationId) -> str:
        """What became of an operation."""
        id = next(self._ids)
        self.hear(at, AskOutcome(ASK_OUTCOME, id, 0, 0, CART, key, b"", operation))
        self.settle()
        answer = self.answers[id]
        assert isinstance(answer, OutcomeDone), answer
        return answer.state

    def operation(self, ahead_ms: int = 0) -> OperationId:
        """A new operation of this client, stamped now."""
        self.now_ms += 1
        stamp = (BIRTH_MS + int(self.now_ms) + ahead_ms) << 16
        return operation_id(stamp, 1, next(self._ids))

    # looking inside

    def record(self, at: str, key: bytes, table: TableId = CART) -> Record:
        """What one node holds."""
        engine = self.machines[NodeId(at)].engine
        assert engine is not None, "the node is down"
        data = engine.get(self.place(key, table)[1])
        return NOTHING if data is None else decode_record(data)

    def place(self, key: bytes, table: TableId = CART) -> tuple[PartitionId, ItemKey]:
        """Where an item lives."""
        partition = partition_of(token_of(table, key), self.ring.partitions)
        return partition, item_key(partition, table, key, b"")

    def kernel(self, at: str) -> Kernel:
        """A running node's brain."""
        kernel = self.machines[NodeId(at)].kernel
        assert kernel is not None, "the node is down"
        return kernel

    # the world

    def settle(self) -> None:
        """Deliver and persist until nothing moves any more."""
        moved = True
        while moved:
            moved = self._persist() | self._deliver()
        for machine in self.machines.values():
            if machine.kernel is not None:
                machine.kernel.validate()
                machine.kernel.validate_background()

    def pass_ms(self, ms: float) -> None:
        """Time passes in steps of 10 ms or to the next deadline, with a tick wherever one is
        wanted."""
        until = self.now_ms + ms
        while self.now_ms < until:
            kernels = [m.kernel for m in self.machines.values() if m.kernel is not None]
            wanted = [due for kernel in kernels if (due := kernel.deadline()) is not None]
            self.now_ms = min(until, max(self.now_ms + 10, min(wanted, default=until)))
            for machine in self.machines.values():
                if machine.kernel is not None:
                    due = machine.kernel.deadline()
                    if due is not None and due <= self.now_ms:
                        self.feed(machine.name, Tick())
            self.settle()

    def hear(self, at: str, message: Message, source: Source = CLIENT) -> None:
        """One message arrives."""
        self.feed(NodeId(at), Received(source, (tuple(message),)))

    def feed(self, at: NodeId, event: Event) -> None:
        """One event, and its effects onto the wires."""
        machine = self.machines[at]
        assert machine.kernel is not None, "the node is down"
        wall_ms = BIRTH_MS + int(self.now_ms) + machine.clock_ahead_ms
        for effect in machine.kernel.handle(event, Instant(self.now_ms, wall_ms)):
            if isinstance(effect, Broadcast):
                self.wires += [(at, to, effect.message) for to in effect.to]
            else:
                assert isinstance(effect, Send), f"nobody broke the protocol: {effect}"
                self.wires.append((at, effect.to, effect.message))

    def hold(self, one: str, other: str) -> None:
        """Keep back what the first sends to the second."""
        self.held.add((one, other))

    def say(self, one: str, other: str) -> None:
        """The first has a word with the second that tells it nothing."""
        self.hear(other, ReplicaStored(REPLICA_STORED, (), True), NodeId(one))

    def release(self) -> None:
        """Deliver all that was kept back."""
        self.held.clear()
        self.settle()

    def crash(self, at: str) -> None:
        """kill -9: what no group has taken is gone, and all that was on its wires."""
        machine = self.machines[NodeId(at)]
        machine.kernel = machine.engine = None
        machine.disk_stopped = False
        machine.files.process_crash()
        self._unlink(machine.name)

    def stop(self, at: str) -> None:
        """A clean stop."""
        machine = self.machines[NodeId(at)]
        assert machine.engine is not None, "the node is down"
        machine.engine.close_clean()
        machine.kernel = machine.engine = None
        self._unlink(machine.name)

    def start(self, at: str) -> None:
        """Start it again and let it find its peers."""
        self._boot(NodeId(at), bootstrap=False)
        self._link(NodeId(at))
        self.settle()

    def lose_disk(self, at: str) -> None:
        """A crash that takes the disk along."""
        self.crash(at)
        machine = self.machines[NodeId(at)]
        machine.files, machine.table = SimulatedFiles(), MemoryTable()

    def _boot(self, name: NodeId, *, bootstrap: bool) -> None:
        machine = self.machines[name]
        engine = machine.engine = LogEngine(machine.files, machine.table, OPTIONS)
        recovery = engine.open()
        found = Found(
            recovery.fresh,
            recovery.clean and not engine.get_meta(FORGOT),
            recovery.damaged,
            engine.get_meta(IDENTITY),
            engine.get_meta(MISSING),
            bool(engine.get_meta(ROLLED_BACK)),
        )
        mine = self.ring.primaries_of(name, self.ring.n_max)
        machine.boot = made = boot(found, mine, bootstrap, BIRTH_MS + int(self.now_ms))
        for state, value in made.meta().items():
            engine.put_meta(state, value)
        identity = Identity(
            name, made.incarnation, made.epoch, made.unclean_epoch, self.ring.partitions
        )
        machine.kernel = Kernel(
            self.config, self.ring, identity, engine, machine.meters, made.missing
        )

    def _link(self, name: NodeId) -> None:
        for other, machine in self.machines.items():
            if other != name and machine.kernel is not None:
                self.feed(name, PeerUp(other))
                self.feed(other, PeerUp(name))

    def _unlink(self, name: NodeId) -> None:
        self.wires = [wire for wire in self.wires if name not in wire[:2]]
        for other, machine in self.machines.items():
            if other != name and machine.kernel is not None:
                self.feed(other, PeerDown(name, "link lost"))

    def _persist(self) -> bool:
        moved = False
        for machine in self.machines.values():
            engine = machine.engine
            if engine is None or machine.disk_stopped:
                continue
            while (group := engine.take_group()) is not None:
                group.run()
                self.feed(machine.name, Persisted(engine.synced(group)))
                moved = True
            self._checkpoint(engine)
        return moved

    def _checkpoint(self, engine: LogEngine) -> None:
        checkpoint = engine.begin_checkpoint() if engine.checkpoint_due() else None
        if checkpoint is not None:
            for step in checkpoint.slices():
                step()
            engine.checkpointed(checkpoint)

    def _deliver(self) -> bool:
        moved = False
        waiting, self.wires = self.wires, []
        self.rounds += bool(waiting)
        for number, (source, to, message) in enumerate(waiting):
            if (str(source), str(to)) in self.held:
                self.wires.append(waiting[number])
            elif to == CLIENT:
                self.answers[message.id] = message  # type: ignore[union-attr]
            else:
                moved = True
                self.sent[type(message).__name__] += 1
                self.hear(str(to), message, source)
        return moved


def done(answer: Any) -> bytes:
    """The context of a put that must have succeeded."""
    assert isinstance(answer, PutDone), answer
    return answer.context


def gaps_in(context: bytes) -> int:
    """How many gaps a context speaks of."""
    return sum(map(len, opened_context(context).history.gaps.values()))
