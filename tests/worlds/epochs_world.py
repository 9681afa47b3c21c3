"""Nodes that decide epochs over a network and disks that misbehave, all from one seed.

Words are lost, doubled and overtake each other; nodes crash and keep only what their disks had
synced; disks are lost, and their nodes come back as another life. Checked at every step: no two
nodes ever adopt different topologies of one epoch.
"""

from collections.abc import Callable, Iterable
from functools import cache
from heapq import heappop, heappush
from random import Random

from dynamo.membership.epochs import (
    Adopted,
    Decision,
    Epochs,
    Keep,
    Say,
    State,
    Told,
    stored_state,
)
from dynamo.membership.paxos import Voter
from dynamo.membership.topology import Topology, founding
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member, Ring
from dynamo.types import NodeId

NAMES = tuple(NodeId(f"n{number}") for number in range(1, 6))


@cache
def ring_of(names: tuple[NodeId, ...]) -> Ring:
    """A tiny ring of these members."""
    return plan([Member(name, name, "", 1.0) for name in names], 4, 1).ring


class Machine:
    """One node: its life, its disk, and the machine while it runs."""

    def __init__(self, name: NodeId) -> None:
        self.name, self.life, self.boot = name, "1", 0
        self.founder = True
        self.disk: bytes | None = None
        self.disk_free_ms = 0.0
        self.epochs: Epochs | None = None

    def voter(self) -> Voter:
        return Voter(self.name, "" if self.founder else self.life)


class EpochsWorld:
    """The cluster under one seed."""

    def __init__(self, seed: int, size: int = 3, loss: float = 0.1, double: float = 0.1) -> None:
        self.random = Random(seed)
        self.now_ms = 0.0
        self.loss, self.double = loss, double
        self.first = founding(ring_of(NAMES[:size]))
        self.machines = {name: Machine(name) for name in NAMES}
        for name in NAMES[size:]:
            self.machines[name].founder = False
        self.decided = {1: self.first.encoded()}
        self.wanted: dict[int, Topology] = {}
        self.told: dict[int, Told] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        for name in NAMES:
            self.start(name)

    # what happens to nodes

    def start(self, name: NodeId) -> None:
        """The node starts with what its disk has."""
        machine = self.machines[name]
        if machine.epochs is None:
            machine.epochs = Epochs(Voter(name, machine.life), self.kept(name), lambda *_: True)
            self.link_all(name)

    def kept(self, name: NodeId) -> State:
        """What the node's disk has."""
        machine = self.machines[name]
        return stored_state(machine.disk, self.first, machine.founder)

    def crash(self, name: NodeId) -> None:
        """The node stops; what was not synced is gone."""
        machine = self.machines[name]
        machine.boot += 1
        machine.epochs = None

    def lose_disk(self, name: NodeId) -> None:
        """The node crashes and its disk is empty: it will be another life."""
        self.crash(name)
        machine = self.machines[name]
        machine.disk, machine.founder = None, False
        machine.life = str(int(machine.life) + 1)

    def link_all(self, name: NodeId) -> None:
        """Links of the node open anew, both ways."""
        for other in NAMES:
            mine, theirs = self.machines[name].epochs, self.machines[other].epochs
            if other != name and mine is not None and theirs is not None:
                self.perform(name, mine.linked(other))
                self.perform(other, theirs.linked(name))

    def running(self, name: NodeId) -> Epochs:
        """The machine of a node that runs."""
        epochs = self.machines[name].epochs
        assert epochs is not None, "the node is stopped"
        return epochs

    def propose(self, name: NodeId, members: Iterable[NodeId], patience_ms: float = 2000.0) -> int:
        """The node proposes an epoch of these members; the ticket under which it is told."""
        epochs = self.running(name)
        names = tuple(sorted(members))
        ring = ring_of(names).at(epochs.topology.epoch + 1)
        voters = tuple(self.machines[node].voter() for node in names)
        wanted = Topology(ring, None, voters, f"proposal {len(self.wanted) + 1}")
        return self.propose_topology(name, wanted, patience_ms)

    def propose_topology(self, name: NodeId, wanted: Topology, patience_ms: float = 2000.0) -> int:
        """The same for any topology."""
        epochs, ticket = self.running(name), len(self.wanted) + 1
        self.wanted[ticket] = wanted
        until_ms = self.now_ms + patience_ms
        self.perform(name, epochs.propose(ticket, wanted, until_ms, self.now_ms))
        return ticket

    # the world's clockwork

    def run(self, for_ms: float) -> None:
        """Let time pass."""
        end_ms = self.now_ms + for_ms
        while self._heap and self._heap[0][0] <= end_ms:
            self.now_ms, _, action = heappop(self._heap)
            action()
        self.now_ms = end_ms

    def at(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self._order += 1
        heappush(self._heap, (self.now_ms + delay_ms, self._order, action))

    def perform(self, name: NodeId, decisions: list[Decision]) -> None:
        """Do what a node's machine decided."""
        machine = self.machines[name]
        for decision in decisions:
            if isinstance(decision, Say):
                self._send(name, decision)
            elif isinstance(decision, Keep):
                self._keep(machine, decision)
            elif isinstance(decision, Adopted):
                self._check(decision.topology)
            else:
                self._tell(decision)
        if machine.epochs is not None:
            machine.epochs.validate()
            self._wake(machine)

    def _wake(self, machine: Machine) -> None:
        assert machine.epochs is not None
        due_ms = machine.epochs.deadline()
        if due_ms is None:
            return
        boot = machine.boot

        def expire() -> None:
            if machine.boot == boot and machine.epochs is not None:
                made = machine.epochs.expire(self.now_ms)
                if made or machine.epochs.deadline() != due_ms:
                    self.perform(machine.name, made)

        self.at(max(due_ms - self.now_ms, 0.0) + 0.001, expire)

    def _send(self, name: NodeId, say: Say) -> None:
        copies = 1 if name == say.to else int(self.random.random() >= self.loss)
        copies += self.random.random() < self.double
        for _ in range(copies):
            self.at(self.random.expovariate(0.2), lambda: self._deliver(name, say))

    def _deliver(self, name: NodeId, say: Say) -> None:
        epochs = self.machines[say.to].epochs
        if epochs is not None:
            self.perform(say.to, epochs.handle(name, say.word, self.now_ms))

    def _keep(self, machine: Machine, keep: Keep) -> None:
        """One sync after the other; a crash forgets those that were under way."""
        boot, data = machine.boot, keep.state.encoded()
        start_ms = max(machine.disk_free_ms, self.now_ms)
        machine.disk_free_ms = start_ms + self.random.expovariate(0.5)

        def synced() -> None:
            if machine.boot == boot:
                machine.disk = data
                for say in keep.then:
                    self._send(machine.name, say)

        self.at(machine.disk_free_ms - self.now_ms, synced)

    def _check(self, topology: Topology) -> None:
        known = self.decided.setdefault(topology.epoch, topology.encoded())
        assert known == topology.encoded(), f"two topologies of epoch {topology.epoch}"

    def _tell(self, told: Told) -> None:
        assert told.ticket not in self.told, "told twice"
        self.told[told.ticket] = told
        wanted = self.wanted[told.ticket]
        decided = self.decided.get(wanted.epoch)
        if told.verdict == "won":
            assert decided == wanted.encoded(), "a winner that was not decided"
        elif told.verdict == "lost":
            assert decided is not None
            assert decided != wanted.encoded(), "a loser that was decided"

    # what is true at the end

    def check_agreement(self) -> None:
        """P10: whatever epoch a node holds, member or not, it holds what was decided for it."""
        for machine in self.machines.values():
            if machine.epochs is not None:
                self._check(machine.epochs.topology)

    def latest(self) -> Topology:
        """The newest epoch that any node has adopted."""
        return Topology.decoded(self.decided[max(self.decided)])

    def can_decide(self) -> bool:
        """Whether a majority of the latest voters still live the lives that vote."""
        voters = self.latest().voters
        alive = sum(self.machines[voter.node].voter() == voter for voter in voters)
        return 2 * alive > len(voters)
