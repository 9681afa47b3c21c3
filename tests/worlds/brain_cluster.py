"""Whole nodes whose ring changes, joined by hand: no threads, no sockets, time when the test says.

    client ─ Put, Get, AskChange ─▶ brain n1 ─▶ wires ─▶ brain n2, n3, later n4

Whatever is sent is delivered by `settle`, in order, except to nodes that are held; whatever is
written is durable by then. Links are there between members as each side sees them.
"""

from collections import deque
from dataclasses import replace
from itertools import combinations, count
from typing import Any

from dynamo.brain import Brain, JoinsAnew, founders, recalled
from dynamo.config import ClusterConfig, NodeConfig, builtin
from dynamo.coordination.identity import Identity
from dynamo.errors import Code
from dynamo.keys import item_key
from dynamo.membership.epochs import STATE
from dynamo.membership.topology import Topology
from dynamo.messages import (
    FAILED,
    GET,
    GET_DONE,
    PUT,
    PUT_DONE,
    Broadcast,
    Event,
    Get,
    PeerDown,
    PeerUp,
    Persisted,
    Put,
    Received,
    Send,
    Source,
    Tick,
)
from dynamo.messages_members import ASK_CHANGE, CHANGE_IS, AskChange, ChangeIs
from dynamo.meters import Meters
from dynamo.repair.rebuild import MISSING, decode_partitions, encode_partitions
from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.siblings.record import operation_id
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import Instant, ItemKey, NodeId, PartitionId, TableId

WALL_MS = 1_700_000_000_000
CART = TableId(1)
CLIENT = 7
PARTITIONS = 16
N1, N2, N3, N4, N5 = (NodeId(f"n{number}") for number in range(1, 6))
KEYS = [b"key-%d" % number for number in range(40)]


def place_of(name: NodeId) -> tuple[str, int]:
    """Where a node is said to listen."""
    return "127.0.0.1", 7399 + int(name[1:])


class BrainCluster:
    """n1 n2 n3 as founders; others when they are `added`."""

    def __init__(
        self,
        founding: int = 3,
        partitions: int = PARTITIONS,
        sloppy: bool = True,
        **timing: int,
    ) -> None:
        self.partitions = partitions
        usual = builtin(founding)
        self.config = replace(
            usual,
            partitions=partitions,
            tables=tuple(replace(table, sloppy=sloppy) for table in usual.tables),
            timing=replace(usual.timing, **timing),
        )
        members = [Member(node.name, node.name, "", 1.0) for node in self.config.nodes]
        ring = plan(members, partitions, 3).ring
        self.first = founders(ring, self.config)
        self.brains: dict[NodeId, Brain] = {}
        self.stores: dict[NodeId, MemoryEngine] = {}
        self.starts: dict[NodeId, int] = {}
        self._lives: dict[NodeId, str] = {}
        self.links: set[tuple[NodeId, NodeId]] = set()
        self.held: dict[NodeId, list[Any]] = {}
        """Nodes to which nothing is delivered now, and what waits for them."""
        self.answers: dict[int, Any] = {}
        self.now_ms = 1000.0
        self._wires: deque[tuple[NodeId, Source, Any]] = deque()
        self._ids = count(1)
        for node in self.config.nodes:
            self.start(node.name)
        self.settle()

    # nodes

    def add(self, name: NodeId) -> None:
        """A new node is started; it knows what n1 knows."""
        self.start(name, self.brains[NodeId("n1")].topology)

    def start(self, name: NodeId, first: Topology | None = None) -> None:
        """Start a node, or start it again on what its store holds."""
        fresh = name not in self.stores
        store = self.stores.setdefault(name, MemoryEngine())
        self.starts[name] = self.starts.get(name, 0) + 1
        known = recalled(store.get_meta, first or self.first, founder=fresh and first is None)
        store.put_meta(STATE, known.state.encoded())
        identity = Identity(name, self._lives.get(name, "a"), self.starts[name], 0, self.partitions)
        missing = (
            frozenset[PartitionId]() if fresh else decode_partitions(store.get_meta(MISSING) or b"")
        )
        config = self._config_of(name)
        self.brains[name] = Brain(config, identity, store, Meters(), known, missing)

    def lose_disk(self, name: NodeId, first: Topology | None = None) -> None:
        """A member's disk is gone; another life begins on an empty one, which takes the ring to be
        the `first` one that its cluster.yml says."""
        self.stop(name)
        self.stores[name] = MemoryEngine()
        self._lives[name] = chr(ord(self._lives.get(name, "a")) + 1)
        lost = (first or self.first).ring.primaries_of(name, 3)
        self.stores[name].put_meta(MISSING, encode_partitions(tuple(lost)))
        self.start(name, first)

    def stop(self, name: NodeId) -> None:
        """The node is gone; its store stays."""
        del self.brains[name]
        for one, other in sorted(self.links):
            if name in (one, other):
                self.links.discard((one, other))
        for other, brain in self.brains.items():
            if name in brain.kernel.scope.peers.up:
                self.feed(other, PeerDown(name, "stopped"))

    def _config_of(self, name: NodeId) -> ClusterConfig:
        if any(node.name == name for node in self.config.nodes):
            return self.config
        newcomer = NodeConfig(name, place_of(name)[1])
        return replace(self.config, nodes=(*self.config.nodes, newcomer))

    # time and delivery

    def feed(self, name: NodeId, event: Event) -> None:
        """Something happens at a node."""
        brain = self.brains[name]
        try:
            effects = brain.handle(event, Instant(self.now_ms, WALL_MS + int(self.now_ms)))
        except JoinsAnew:
            self.lose_disk(name, self.brains[N1].topology)
            return
        brain.kernel.validate()
        brain.kernel.validate_background()
        for effect in effects:
            if isinstance(effect, Send):
                self._send(name, effect.to, effect.message)
            else:
                assert isinstance(effect, Broadcast), f"{name}: {effect}"
                for to in effect.to:
                    self._send(name, to, effect.message)

    def _send(self, sender: NodeId, to: Source, message: Any) -> None:
        if isinstance(to, int):
            self.answers[message.id] = message
        elif (min(sender, to), max(sender, to)) in self.links:
            self._wires.append((to, sender, tuple(message)))

    def settle(self) -> None:
        """Links, disks and wires until nothing moves."""
        while self._link() or self._sync() or self._wires:
            while self._wires:
                to, sender, message = self._wires.popleft()
                if to in self.held:
                    self.held[to].append((to, sender, message))
                elif to in self.brains:
                    self.feed(to, Received(sender, (message,)))

    def hold(self, name: NodeId) -> None:
        """Deliver nothing there for now."""
        self.held[name] = []

    def release(self, name: NodeId) -> None:
        """Deliver what has waited."""
        self._wires.extend(self.held.pop(name))
        self.settle()

    def pass_ms(self, ms: float, step_ms: float = 50.0) -> None:
        """Time passes for all."""
        until_ms = self.now_ms + ms
        while self.now_ms < until_ms:
            self.now_ms = min(self.now_ms + step_ms, until_ms)
            for name in list(self.brains):
                self.feed(name, Tick())
            self.settle()

    def _link(self) -> bool:
        """Open the links that both sides want."""
        opened = False
        for one, other in combinations(sorted(self.brains), 2):
            if (one, other) in self.links:
                continue
            wanted = all(
                there in self.brains[here].topology.members
                for here, there in ((one, other), (other, one))
            )
            if wanted:
                self.links.add((one, other))
                self.feed(one, PeerUp(other))
                self.feed(other, PeerUp(one))
                opened = True
        return opened

    def _sync(self) -> bool:
        synced = False
        for name in list(self.brains):
            store = self.stores[name]
            while (group := store.take_group()) is not None:
                self.feed(name, Persisted(store.synced(group)))
                synced = True
        return synced

    # clients

    def ask(self, node: NodeId, message: Any) -> Any:
        """A client's request, settled; its answer, if there is one yet."""
        self.feed(node, Received(CLIENT, (tuple(message),)))
        self.settle()
        return self.answers.get(message.id)

    def next_id(self) -> int:
        """An id that no request has had."""
        return next(self._ids)

    def put_message(self, key: bytes, value: bytes, context: bytes | None = None) -> Put:
        """A client's write under an operation id of its own."""
        number = self.next_id()
        operation = operation_id((WALL_MS + int(self.now_ms)) << 16, 1, number)
        return Put(PUT, number, 0, 0, CART, key, b"", context, value, operation, 0)

    def put(self, node: NodeId, key: bytes, value: bytes) -> Any:
        """A write by a coordinator, under its own ring."""
        return self.ask(node, self.put_message(key, value))

    def get(self, node: NodeId, key: bytes) -> Any:
        """A read by a coordinator, under its own ring."""
        return self.ask(node, Get(GET, next(self._ids), 0, 0, CART, key, b"", 0))

    def written(self, node: NodeId, key: bytes, value: bytes) -> None:
        """A write that must succeed."""
        assert self.put(node, key, value).kind == PUT_DONE

    def read(self, node: NodeId, key: bytes) -> tuple[bytes, ...]:
        """A read that must succeed."""
        answer = self.get(node, key)
        assert answer.kind == GET_DONE, answer
        payloads: tuple[bytes, ...] = answer.payloads
        return payloads

    def order(self, node: NodeId, action: str, *fields: Any, epoch: int = 0) -> ChangeIs | None:
        """A client orders a change of members; the answer, if it is decided already."""
        epoch = epoch or self.brains[node].topology.epoch
        id = next(self._ids)
        message = AskChange(ASK_CHANGE, id, action, epoch, fields)
        answer = self.ask(node, message)
        assert answer is None or answer.kind == CHANGE_IS
        return answer

    def join(self, by: NodeId, newcomer: NodeId) -> ChangeIs | None:
        """Have a node join that was added."""
        return self.order(by, "join", newcomer, "", "", 1.0, *place_of(newcomer))

    def epochs(self) -> dict[NodeId, int]:
        """Which epoch each node serves."""
        return {name: brain.kernel.scope.ring.epoch for name, brain in self.brains.items()}

    def key_of(self, key: bytes) -> tuple[PartitionId, ItemKey]:
        """Where an item lives."""
        partition = partition_of(token_of(CART, key), self.partitions)
        return partition, item_key(partition, CART, key, b"")


def is_ring_error(answer: Any, unknown: bool) -> bool:
    """Whether the answer says that another ring is in force."""
    return bool(
        answer is not None
        and answer.kind == FAILED
        and answer.code == Code.WRONG_RING
        and answer.unknown == unknown
    )


def written_cluster() -> BrainCluster:
    """Three nodes that hold the keys, and a fourth that is started."""
    cluster = BrainCluster()
    for key in KEYS:
        cluster.written(N1, key, b"old")
    cluster.add(N4)
    return cluster


def joining_cluster() -> BrainCluster:
    """The same in the joint epoch: decided, nothing copied yet."""
    cluster = written_cluster()
    answer = cluster.join(N2, N4)
    assert answer is not None
    assert answer.verdict == "won"
    return cluster
