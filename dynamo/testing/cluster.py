"""The machines of a simulated cluster: what outlives a process, and everything that may befall it.

start ─▶ running ─▶ kill · power loss · failed sync · clean stop ─▶ down ─▶ start ...
            └─▶ paused ─▶ running            the disk may be lost while down
"""

from functools import lru_cache
from random import Random

from dynamo.brain import founders
from dynamo.config import ClusterConfig, TableConfig
from dynamo.keys import item_key, partition_of_key, table_of_key
from dynamo.membership.epochs import STATE, State
from dynamo.membership.paxos import Voter
from dynamo.membership.topology import Topology
from dynamo.repair.boot import IDENTITY, decode_identity
from dynamo.repair.rebuild import MISSING
from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member, Ring
from dynamo.storage.files import DiskFull
from dynamo.storage.port import EngineOptions
from dynamo.testing.disk import PowerLost
from dynamo.testing.network import DIALER, Network
from dynamo.testing.node import JOINS_ANEW, Process, Watcher
from dynamo.testing.store import OPTIONS, Disk, Image, Violation
from dynamo.testing.world import WallClock, World
from dynamo.types import ItemKey, NodeId, TableId

START_MS = 20.0
KILL_NOTICE_MS = 5.0
"""A killed process's connections are reset by its kernel."""
SUPERVISOR_MS = (50.0, 500.0)
"""A process that ended by itself is started again after so long."""
START_CALLS_MAX = 12
"""A power loss during a start happens at one of its first so many disk calls."""


class Machine:
    """A host: its name, disk, clock, and the process on it, if any."""

    def __init__(self, cluster: "Cluster", name: NodeId) -> None:
        self.cluster, self.name = cluster, name
        self.disk = Disk(cluster.world, name, cluster.options)
        self.clock = WallClock(cluster.world)
        self.process: Process | None = None
        self._rng: Random = cluster.world.rng(f"machine {name}")
        self._bootstrapped = False
        self.starts = 0
        self.unclean_starts = 0
        self.ends: list[str] = []
        """Why each process ended."""

    def start(self) -> None:
        """Start the daemon; it serves a little later."""
        if self.process is not None:
            return
        self.starts += 1
        self.cluster.world.note(f"{self.name} starts")
        self.process = Process(self.cluster, self.name, self.disk, self.clock, self._ended)
        delay = START_MS * (0.5 + self._rng.random())
        self.cluster.world.at(delay, self._serve, self.process)

    def kill(self) -> None:
        """kill -9: what was written is still in the kernel's cache."""
        self._end("killed", (KILL_NOTICE_MS, KILL_NOTICE_MS))
        self.disk.files.process_crash()

    def lose_power(self) -> None:
        """The power fails, in the middle of whatever the disk does; peers find out by silence."""
        process = self.process
        silence = self.cluster.config.timing.idle_timeout_ms * self._rng.random()
        self._end("lost power", (silence, silence))
        if process is not None:
            if process.kernel is None:
                self._fail_while_starting(process)
            else:
                process.store.stop_mid_job(self._rng)
        self.disk.files.power_loss(self._rng)

    def owners(self, key: ItemKey) -> tuple[NodeId, ...]:
        """Those of an item by the ring that its process goes by."""
        kernel = None if self.process is None else self.process.kernel
        assert kernel is not None, "only a process that runs removes hints"
        n = self.cluster.table(table_of_key(key)).n
        return kernel.scope.rings.owners(partition_of_key(key), n)

    def lose_disk(self, image: Image | None = None) -> None:
        """The machine fails with its disk; an empty one, or an old image of it, stands there."""
        self.lose_power()
        self.ends[-1:] = ["lost disk"]
        self.disk.replace(image)

    def pause(self) -> None:
        """SIGSTOP: nothing runs, everything waits; peers may give up on it meanwhile."""
        process = self.process
        if process is not None and not process.paused:
            process.paused = True
            self.cluster.world.note(f"{self.name} is paused")
            idle = self.cluster.config.timing.idle_timeout_ms
            self.cluster.world.at(idle, self._given_up, process)

    def resume(self) -> None:
        """SIGCONT."""
        if self.process is not None and self.process.paused:
            self.cluster.world.note(f"{self.name} goes on")
            self.process.resume()

    def stop(self) -> None:
        """SIGTERM."""
        if self.process is not None and self.process.kernel is not None:
            self.process.drain()

    def is_whole(self) -> bool:
        """Whether this disk durably holds all it should: it is not being rebuilt, nor old, nor
        damaged, and knows the newest ring, by which it votes."""
        disk = self.disk
        state = disk.promised.get(STATE)
        if IDENTITY not in disk.promised or disk.promised.get(MISSING) or state is None:
            return False
        if disk.is_old or disk.damaged:
            return False
        known, voters = State.decoded(state), self.cluster.topology.voters
        me = Voter(self.name, decode_identity(disk.promised[IDENTITY])[0])
        votes = any(life in voters for life in known.lives(me))
        return votes and known.topology.epoch == self.cluster.topology.epoch

    def is_serving(self) -> bool:
        """Whether the node is up, linked to all others, and has rebuilt everything."""
        process = self.process
        return (
            process is not None
            and process.accepts()
            and process.links.reach_all()
            and process.kernel is not None
            and process.kernel.missing_partitions() == 0
            and process.kernel.scope.ring.epoch == self.cluster.topology.epoch
        )

    def _serve(self, process: Process) -> None:
        if not process.alive:
            return
        try:
            process.start(bootstrap=not self._bootstrapped)
        except DiskFull:
            self._ended(process, "found its disk full")
            return
        self._bootstrapped = True
        boot = process.boot
        assert boot is not None, "a started node knows who it is"
        self.unclean_starts += boot.unclean_epoch == boot.epoch
        self.cluster.world.note(f"{self.name} serves as {boot.incarnation} epoch {boot.epoch}")

    def _fail_while_starting(self, process: Process) -> None:
        files = self.disk.files
        files.power_fails_at = files.calls + self._rng.randint(1, START_CALLS_MAX)
        try:
            process.alive = True
            process.start(bootstrap=not self._bootstrapped)
        except (PowerLost, DiskFull):
            pass
        process.alive = False
        process.store.stop()

    def _given_up(self, process: Process) -> None:
        """Peers have heard nothing from a paused process for too long."""
        if process.paused and process.alive:
            self.cluster.break_links(self.name, "silent for too long", (0.0, 0.0))

    def _end(self, reason: str, notice_ms: tuple[float, float]) -> None:
        """The process is gone without a word."""
        process, self.process = self.process, None
        self.ends.append(reason)
        self.cluster.world.note(f"{self.name} {reason}")
        if process is not None:
            process.alive = False
            process.store.stop()
        for connection in self.cluster.network.of(self.name):
            connection.break_(reason, notice_ms)

    def _ended(self, process: Process, reason: str) -> None:
        """The process ended by itself: a clean stop, or a sync that failed."""
        if self.process is process:
            self._end(reason, (KILL_NOTICE_MS, KILL_NOTICE_MS))
            self.disk.files.process_crash()
            if reason == JOINS_ANEW:
                self.disk.replace()
            self.cluster.world.at(self._rng.uniform(*SUPERVISOR_MS), self.start)


class Cluster:
    """All machines, the network between them, and the configuration that they share."""

    def __init__(
        self,
        world: World,
        config: ClusterConfig,
        watcher: Watcher,
        options: EngineOptions = OPTIONS,
        spares: int = 0,
    ) -> None:
        """`spares`: so many of the nodes, the last ones, are no members at first."""
        self.world, self.config, self.watcher, self.options = world, config, watcher, options
        self.network = Network(world, base_ms=0.3)
        self.ring = _ring(
            *(len(config.nodes) - spares, config.partitions),
            max(table.n for table in config.tables),
        )
        """That of the founders."""
        self.topology = founders(self.ring, config)
        """The newest that any node has adopted."""
        self._decided = {1: self.topology.encoded()}
        self.machines = {node.name: Machine(self, node.name) for node in config.nodes}
        disks: dict[str, Disk] = {name: machine.disk for name, machine in self.machines.items()}
        for machine in self.machines.values():
            machine.disk.others = disks
            machine.disk.owners = machine.owners

    def adopted(self, topology: Topology) -> None:
        """A node has adopted an epoch: P10 says that all others have the same of it."""
        encoded = topology.encoded()
        if self._decided.setdefault(topology.epoch, encoded) != encoded:
            raise Violation(f"there are two rings of epoch {topology.epoch}")
        if topology.epoch > self.topology.epoch:
            self.topology = topology

    def members(self) -> list[Machine]:
        """The machines of the newest epoch."""
        return [self.machines[name] for name in self.topology.members]

    def accepting(self, name: NodeId) -> Process | None:
        """The process on that machine that takes connections now, if any."""
        process = self.machines[name].process
        return process if process is not None and process.accepts() else None

    def table(self, id: int) -> TableConfig:
        """The table with that number."""
        table = self.config.table_by_id(TableId(id))
        assert table is not None, "histories are of tables that there are"
        return table

    def item(self, table: TableId, key: bytes) -> ItemKey:
        """Under which key nodes hold an item."""
        partition = partition_of(token_of(table, key), self.ring.partitions)
        return item_key(partition, table, key, b"")

    def keeps_hints(self) -> bool:
        """Whether any disk keeps a hint."""
        return any(machine.disk.hints() for machine in self.machines.values())

    def was_hinted(self, item: ItemKey) -> bool:
        """Whether a hint of the item was ever kept anywhere."""
        return any(item in machine.disk.hinted for machine in self.machines.values())

    def break_links(self, name: NodeId, reason: str, notice_ms: tuple[float, float]) -> None:
        """Every link of a node to its peers breaks (its clients hold on)."""
        for connection in self.network.of(name):
            if connection.names[DIALER] in self.machines:
                connection.break_(reason, notice_ms)

    def is_quiet(self) -> bool:
        """Whether every member serves and nothing is under way."""
        return not self.topology.is_joint and all(
            machine.is_serving() and _rests(machine) for machine in self.members()
        )


def _rests(machine: Machine) -> bool:
    process = machine.process
    if process is None or process.kernel is None:
        return False
    if process.brain is None or process.brain.council.deadline() is not None:
        return False  # it still proposes an epoch, or watches a change
    status = process.kernel.status()
    idle = not status["operations_in_flight"] and not status["repairs_queued"]
    return idle and not status["hints"]


@lru_cache
def _ring(nodes: int, partitions: int, n_max: int) -> Ring:
    members = tuple(Member(NodeId(f"n{i + 1}"), f"n{i + 1}", "", 1.0) for i in range(nodes))
    return plan(members, partitions, n_max).ring
