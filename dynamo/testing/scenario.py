"""One whole run from one seed: a cluster, clients, faults, healing, and the last questions.

    clients work under faults ─▶ all healed ─▶ owners agree by themselves ─▶ what became of the
      unknown? ─▶ every key read of all its owners ─▶ repaired ─▶ owners alike, the maximal set
      everywhere, records bounded

A run is decided by its seed and its `Shape`; `dynamo.testing.swarm` draws the latter from the seed
as well.
"""

from collections import Counter
from collections.abc import Callable
from traceback import walk_tb
from typing import NamedTuple

from dynamo.config import ClusterConfig, Limits, NodeConfig, NodeLimits, TableConfig, Timing
from dynamo.keys import partition_of_key
from dynamo.messages import AskOutcome, Put
from dynamo.ring.joint import Rings
from dynamo.storage.port import EngineOptions
from dynamo.testing.checkers import check_durable, check_fenced, check_gone
from dynamo.testing.client import Client
from dynamo.testing.cluster import Cluster
from dynamo.testing.convergence import agree, check_trees, damaged
from dynamo.testing.faults import GAP_MS, KINDS, Faults
from dynamo.testing.finale import Finale
from dynamo.testing.history import KeyHistory
from dynamo.testing.script import Script
from dynamo.testing.store import OPTIONS, Violation
from dynamo.testing.workload import DEFAULT_MIX, Mix, Workload
from dynamo.testing.world import Trace, World
from dynamo.types import ItemKey, NodeId, TableId

TIMING = Timing(
    request_timeout_ms=300,
    hedge_delay_ms_max=50,
    repair_delay_ms=20,
    exchange_interval_ms=1000,
    reconnect_delay_ms_min=10,
    reconnect_delay_ms_max=200,
    ping_interval_ms=100,
    idle_timeout_ms=400,
    probe_interval_ms=200,
    patience_ms_min=40,
    patience_ms_max=150,
    suspicion_ms=300,
    hold_ms_max=500,
    drain_timeout_ms=200,
)
TABLES = (
    TableConfig("cart", TableId(1), 3, 2, 2, "siblings", sloppy=False),
    TableConfig("session", TableId(2), 3, 2, 2, "lww", sloppy=False),
    TableConfig("basket", TableId(3), 3, 2, 2, "siblings", sloppy=True),
    TableConfig("visit", TableId(4), 3, 2, 2, "lww", sloppy=True),
)
LIMIT_MS = 120_000.0
"""No run takes longer in virtual time; else something never ends."""
STEP_MS = 50.0
CONTEXT_BYTES_MAX = 4096


class Shape(NamedTuple):
    """The size of a run."""

    operations: int = 2000
    clients: int = 12
    keys: int = 20
    nodes: int = 0
    """0: 3 to 5, from the seed."""
    tracks: int = 3
    hasty: float = 0.05
    """How often a client asks what became of a write that is still on its way."""
    kinds: tuple[str, ...] = KINDS
    mix: Mix = DEFAULT_MIX
    gap_ms: float = GAP_MS
    tables: tuple[TableConfig, ...] = TABLES
    partitions: int = 32
    limits: Limits = Limits()
    node_limits: NodeLimits = NodeLimits()
    timing: Timing = TIMING
    options: EngineOptions = OPTIONS
    spares: int = 2
    """Nodes that are no members at first."""
    script: Script | None = None
    """What is done and befalls, instead of what the seed would draw."""
    limit_ms: float = LIMIT_MS
    """Virtual time after which a cluster that has not healed never will."""


DEFAULT = Shape()


class Result(NamedTuple):
    """What a run was like."""

    seed: int
    violation: str
    """Empty when every promise held."""
    operations: int
    faults: dict[str, int]
    overlapping_max: int
    outcomes: dict[str, int]
    events: int
    virtual_ms: float
    check: str = ""
    """Which function found the violation."""


class Scenario:
    """A seed's run."""

    def __init__(self, seed: int, shape: Shape = DEFAULT, trace: Trace | None = None) -> None:
        self.seed, self.shape = seed, shape
        self.world = World(seed, trace)
        rng = self.world.rng("shape")
        nodes = shape.nodes or rng.choice((3, 3, 4, 5))
        config = _config(shape, nodes + shape.spares)
        self.cluster = Cluster(self.world, config, self, shape.options, shape.spares)
        self.counts: Counter[str] = Counter()
        self.histories = [
            KeyHistory(
                table.id,
                table.conflict_rule,
                b"k%d" % (i // len(shape.tables)),
                sloppy=table.sloppy,
            )
            for i in range(shape.keys)
            for table in (shape.tables[i % len(shape.tables)],)
        ]
        self._by_key = {(history.table, history.key): history for history in self.histories}
        self.clients = [
            Client(self.cluster, i + 1, self.counts, shape.hasty) for i in range(shape.clients)
        ]
        script = shape.script
        self.workload = Workload(
            *(self.clients, self.histories, shape.operations, shape.mix),
            script=None if script is None else script.operations,
        )
        self.faults = Faults(self.cluster, shape.tracks, shape.kinds, shape.gap_ms)

    def script(self) -> Script:
        """All that was begun so far, written down."""
        return Script(tuple(self.faults.begun), tuple(self.workload.planned))

    def run(self) -> Result:
        """Everything, from the first start to the last check."""
        violation = check = ""
        try:
            self._run()
        except Exception as error:  # whatever a node raises ends it, which no fault asked for
            kind = "" if isinstance(error, Violation) else f"{type(error).__name__}: "
            violation = f"at {self.world.now:.1f} ms: {kind}{error}"
            check = _raiser(error)
        return Result(
            self.seed,
            violation,
            self.workload.begun,
            dict(self.faults.counts),
            self.faults.overlapping_max,
            dict(self.counts),
            self.world.events,
            self.world.now,
            check,
        )

    def told(self, node: NodeId, asked: Put | AskOutcome, applied: bool, rings: Rings) -> None:
        """A node says what became of a write: are there as many disks that would remember?"""
        history = self._by_key[asked.table, asked.key]
        write = next(w for w in reversed(history.writes) if w.operation == asked.operation)
        key, machines = self.item(history), self.cluster.machines
        table, partition = self.cluster.table(asked.table), partition_of_key(key)
        for ring in rings.both:
            owners = ring.preference_list(partition, table.n)
            if applied:
                copies = (
                    machine.disk.copies_since(key, owners, write.invoked_ms)
                    for machine in machines.values()
                )
                check_durable(history, write.operation, copies, table.w, f"{node}")
            else:
                fences = [
                    machines[owner].disk.records_since(key, write.invoked_ms) for owner in owners
                ]
                check_fenced(history, write.operation, fences, f"{node}")
                kept = [m.disk.kept(key, owners) for m in self.cluster.members()]
                check_gone(history, write.operation, kept, f"{node}")

    def _run(self) -> None:
        for machine in self.cluster.machines.values():
            machine.start()
        self._until(self.cluster.is_quiet, "the cluster never starts")
        script = self.shape.script
        names = [client.name for client in self.clients]
        self.faults.begin(names, None if script is None else script.faults)
        self.workload.begin()
        self._until(lambda: self.workload.done, "the clients never finish")
        self.faults.stop()
        self._until(self.cluster.is_quiet, "the cluster never heals")
        self._until(self._mended, "a damaged value is never repaired")
        items = [self.item(history) for history in self.histories]
        self._until(lambda: agree(self.cluster, items), "the owners never agree")
        written = [history for history in self.histories if history.writes]
        finale = Finale(self.cluster, self.clients, written)
        finale.begin()
        self._until(lambda: finale.done, "the last questions are never answered")
        self._until(self.cluster.is_quiet, "the cluster never rests")
        finale.check(self.item)
        check_trees(self.cluster)

    def _mended(self) -> bool:
        """Whether no damaged value is left. A sweep comes round too late: a client looks, again and
        again, for it may find its connection broken."""
        left = damaged(self.cluster)
        for node, key in left:
            self.clients[0].look_at(node, key)
        return not left

    def item(self, history: KeyHistory) -> ItemKey:
        """Under which key nodes hold an item."""
        return self.cluster.item(TableId(history.table), history.key)

    def _until(self, happened: Callable[[], bool], else_: str) -> None:
        while not happened():
            if self.world.now > self.shape.limit_ms:
                raise Violation(else_)
            self.world.run_until(self.world.now + STEP_MS)


def _raiser(error: Exception) -> str:
    """The function that raised."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return frame.f_code.co_name


def _config(shape: Shape, nodes: int) -> ClusterConfig:
    members = tuple(
        NodeConfig(
            *(NodeId(f"n{i + 1}"), 7400 + i),
            durability=shape.options.durability,
            limits=shape.node_limits,
        )
        for i in range(nodes)
    )
    return ClusterConfig(
        *("simulated", "local", members, shape.tables, shape.partitions),
        limits=shape.limits,
        timing=shape.timing,
    )
