"""One kernel by itself: its store in memory, its peers and clients played by the test."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any

from dynamo.config import ClusterConfig, builtin
from dynamo.coordination.identity import Identity
from dynamo.kernel import Kernel
from dynamo.keys import item_key
from dynamo.messages import (
    GET,
    PUT,
    Broadcast,
    Effect,
    Event,
    Get,
    Message,
    PeerUp,
    Persisted,
    Put,
    Received,
    Send,
    Source,
    Tick,
)
from dynamo.meters import Meters
from dynamo.ring.hashing import partition_of, token_of
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member, Ring
from dynamo.siblings.record import operation_id
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.storage.port import EngineOptions
from dynamo.types import Instant, ItemKey, NodeId, PartitionId, TableId

WALL_MS = 1_700_000_000_000
CART, SESSION, CATALOG = TableId(1), TableId(2), TableId(3)


def with_limits(config: ClusterConfig, **limits: int) -> ClusterConfig:
    """The configuration with other `NodeLimits` on every node."""
    nodes = tuple(replace(node, limits=replace(node.limits, **limits)) for node in config.nodes)
    return replace(config, nodes=nodes)


class KernelWorld:
    """Node n1 of a small cluster. Effects are kept; nothing is delivered by itself."""

    def __init__(
        self,
        nodes: int = 3,
        config: ClusterConfig | None = None,
        *,
        rebuilding: bool = False,
        memory_bytes_max: int = 0,
        epoch: int = 1,
    ) -> None:
        self.config = config or builtin(nodes)
        self.ring = _ring(tuple(node.name for node in self.config.nodes), self.config.partitions)
        self.me = NodeId("n1")
        options = EngineOptions(durability="memory", memory_bytes_max=memory_bytes_max)
        self.store = MemoryEngine(options)
        self.identity = Identity(self.me, "a", epoch, 0, self.ring.partitions)
        self.meters = Meters()
        mine = frozenset(self.ring.primaries_of(self.me, 3)) if rebuilding else frozenset()
        self.kernel = Kernel(self.config, self.ring, self.identity, self.store, self.meters, mine)
        self.now_ms = 1000.0
        self._ids = count(1)

    @property
    def peers(self) -> list[NodeId]:
        """The other members."""
        return [node.name for node in self.config.nodes if node.name != self.me]

    def link_all(self) -> None:
        for peer in self.peers:
            self.feed(PeerUp(peer))

    def feed(self, event: Event) -> list[Effect]:
        effects = self.kernel.handle(event, Instant(self.now_ms, WALL_MS + int(self.now_ms)))
        self.kernel.validate()
        self.kernel.validate_background()
        return effects

    def hear(self, source: Source, *messages: Any) -> list[Effect]:
        """A frame of messages (or of arrays that are none) arrives."""
        return self.feed(Received(source, tuple(tuple(message) for message in messages)))

    def persist(self) -> list[Effect]:
        """What waits becomes durable."""
        effects: list[Effect] = []
        while (group := self.store.take_group()) is not None:
            effects += self.feed(Persisted(self.store.synced(group)))
        return effects

    def pass_ms(self, ms: float) -> list[Effect]:
        """Time passes, with a tick at its end."""
        self.now_ms += ms
        return self.feed(Tick())

    def put(
        self,
        key: bytes,
        value: bytes | None = b"value",
        *,
        table: TableId = CART,
        context: bytes | None = None,
        w: int = 0,
        deadline_ms: int = 0,
        id: int | None = None,
    ) -> Put:
        """A client's message; each is a new operation."""
        number = next(self._ids)
        operation = operation_id((WALL_MS + int(self.now_ms)) << 16, 1, number)
        sort_key, id = b"", number if id is None else id
        return Put(PUT, id, deadline_ms, 0, table, key, sort_key, context, value, operation, w)

    def get(self, key: bytes, *, table: TableId = CART, r: int = 0, deadline_ms: int = 0) -> Get:
        return Get(GET, next(self._ids), deadline_ms, 0, table, key, b"", r)

    def place(self, key: bytes, table: TableId = CART) -> tuple[PartitionId, ItemKey]:
        partition = partition_of(token_of(table, key), self.ring.partitions)
        return partition, item_key(partition, table, key, b"")

    def some_keys(self, *, owned: bool = True, table: TableId = CART) -> Iterable[bytes]:
        """Keys of which n1 holds a copy, or holds none."""
        for number in count():
            key = b"key-%d" % number
            owners = self.ring.preference_list(self.place(key, table)[0], 3)
            if (self.me in owners) == owned:
                yield key


@cache
def _ring(names: tuple[NodeId, ...], partitions: int) -> Ring:
    members = tuple(Member(name, name, "", 1.0) for name in names)
    return plan(members, partitions, 3).ring


def sent(effects: Iterable[Effect], kind: type[Any], to: Source | None = None) -> list[Any]:
    """Messages of one kind among the effects, each as often as it has receivers."""
    found: list[Message] = []
    for effect in effects:
        if isinstance(effect, Broadcast):
            found += [effect.message for node in effect.to if to in (None, node)]
        elif isinstance(effect, Send) and to in (None, effect.to):
            found.append(effect.message)
    return [message for message in found if isinstance(message, kind)]
