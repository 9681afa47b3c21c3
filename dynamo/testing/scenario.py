"""One whole run from one seed: a cluster, clients, faults, healing, and the last questions.

    clients work under faults ─▶ all healed ─▶ owners agree by themselves ─▶ what became of the
      unknown? ─▶ every key read of all its owners ─▶ repaired ─▶ owners alike, the maximal set
      everywhere, records bounded

What a seed decides: 3 to 5 nodes, how many clients and keys, how each client behaves, every delay
and every fault.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from dynamo.config import ClusterConfig, Limits, NodeConfig, TableConfig, Timing
from dynamo.messages import AskOutcome, Put
from dynamo.testing.checkers import check_durable, check_fenced
from dynamo.testing.client import Client
from dynamo.testing.cluster import Cluster
from dynamo.testing.convergence import agree, check_trees
from dynamo.testing.faults import KINDS, Faults
from dynamo.testing.finale import Finale
from dynamo.testing.history import KeyHistory
from dynamo.testing.store import Violation
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
    drain_timeout_ms=200,
)
TABLES = (
    TableConfig("cart", TableId(1), 3, 2, 2, "siblings", sloppy=False),
    TableConfig("session", TableId(2), 3, 2, 2, "lww", sloppy=False),
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


class Scenario:
    """A seed's run."""

    def __init__(self, seed: int, shape: Shape = DEFAULT, trace: Trace | None = None) -> None:
        self.seed, self.shape = seed, shape
        self.world = World(seed, trace)
        rng = self.world.rng("shape")
        nodes = shape.nodes or rng.choice((3, 3, 4, 5))
        self.cluster = Cluster(self.world, _config(nodes), self)
        self.counts: Counter[str] = Counter()
        self.histories = [
            KeyHistory(table.id, table.conflict_rule, b"k%d" % (i // 2))
            for i in range(shape.keys)
            for table in (TABLES[i % 2],)
        ]
        self._by_key = {(history.table, history.key): history for history in self.histories}
        self.clients = [
            Client(self.cluster, i + 1, self.counts, shape.hasty) for i in range(shape.clients)
        ]
        self.workload = Workload(self.clients, self.histories, shape.operations, shape.mix)
        self.faults = Faults(self.cluster, shape.tracks, shape.kinds)

    def run(self) -> Result:
        """Everything, from the first start to the last check."""
        violation = ""
        try:
            self._run()
        except Exception as error:  # whatever a node raises ends it, which no fault asked for
            kind = "" if isinstance(error, Violation) else f"{type(error).__name__}: "
            violation = f"at {self.world.now:.1f} ms: {kind}{error}"
        return Result(
            self.seed,
            violation,
            self.workload.begun,
            dict(self.faults.counts),
            self.faults.overlapping_max,
            dict(self.counts),
            self.world.events,
            self.world.now,
        )

    def told(self, node: NodeId, asked: Put | AskOutcome, applied: bool) -> None:
        """A node says what became of a write: are there as many disks that would remember?"""
        history = self._by_key[asked.table, asked.key]
        write = next(w for w in reversed(history.writes) if w.operation == asked.operation)
        key = self.item(history)
        disks = [
            self.cluster.machines[owner].disk.records_since(key, write.invoked_ms)
            for owner in self.clients[0].owners(history)
        ]
        if applied:
            check_durable(history, write.operation, disks, TABLES[0].w, f"{node}")
        else:
            check_fenced(history, write.operation, disks, f"{node}")

    def _run(self) -> None:
        for machine in self.cluster.machines.values():
            machine.start()
        self._until(self.cluster.is_quiet, "the cluster never starts")
        self.faults.begin([client.name for client in self.clients])
        self.workload.begin()
        self._until(lambda: self.workload.done, "the clients never finish")
        self.faults.stop()
        self._until(self.cluster.is_quiet, "the cluster never heals")
        items = [self.item(history) for history in self.histories]
        self._until(lambda: agree(self.cluster, items, TABLES[0].n), "the owners never agree")
        finale = Finale(self.cluster, self.clients[0], self.histories)
        finale.begin()
        self._until(lambda: finale.done, "the last questions are never answered")
        self._until(self.cluster.is_quiet, "the cluster never rests")
        finale.check(self.item)
        check_trees(self.cluster)

    def item(self, history: KeyHistory) -> ItemKey:
        """Under which key nodes hold an item."""
        return self.cluster.item(TableId(history.table), history.key)

    def _until(self, happened: Callable[[], bool], else_: str) -> None:
        while not happened():
            if self.world.now > LIMIT_MS:
                raise Violation(else_)
            self.world.run_until(self.world.now + STEP_MS)


def _config(nodes: int) -> ClusterConfig:
    members = tuple(NodeConfig(NodeId(f"n{i + 1}"), 7400 + i) for i in range(nodes))
    limits = Limits()
    return ClusterConfig("simulated", "local", members, TABLES, 32, limits=limits, timing=TIMING)
