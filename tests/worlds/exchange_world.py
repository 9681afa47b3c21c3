"""Owners that compare: store, trees and `Exchange` of each, joined by hand; nothing else of a node.

    world.put("n1", b"k", 2) ─▶ store of n1          pass_ms ─▶ slices, questions, answers, pushes

Everything sent arrives at once and its packed bytes are counted; time passes in ticks.
"""

from collections import Counter, deque
from dataclasses import replace
from itertools import count
from typing import Any

from records import item, record

from dynamo.config import PRESETS, TableConfig
from dynamo.messages import (
    Broadcast,
    Disconnect,
    Message,
    ReplicaPage,
    ReplicaPut,
    Send,
    Source,
    parse,
)
from dynamo.meters import Meters
from dynamo.repair.exchange import Exchange
from dynamo.repair.knowledge import knowledge
from dynamo.replica.replica import Replica
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member, Ring
from dynamo.siblings.record import Window
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import Actor, Instant, ItemKey, NodeId, PartitionId, TableId
from dynamo.wire.frames import pack_message

TICK_MS = 5.0
TIMING = replace(PRESETS["test"], exchange_interval_ms=3000)
WINDOW = Window(64, 10_000)


class OneWriter:
    """Who issues no dots: records are made by hand."""

    def __init__(self, node: NodeId) -> None:
        self.node, self.actor = node, Actor(f"{node}/a")

    def issued(self, partition: PartitionId) -> int:
        """None."""
        return 0


class Owner:
    """One node's part of it."""

    def __init__(
        self, name: NodeId, ring: Ring, tables: tuple[TableConfig, ...], first: int
    ) -> None:
        self.name, self.engine, self.meters = name, MemoryEngine(), Meters()
        self.ready = {PartitionId(partition) for partition in range(ring.partitions)}
        known = knowledge(self.engine, ring, OneWriter(name), tables)
        self.trees = known.trees
        by_id = {table.id: table for table in tables}
        replica = Replica(
            *(self.trees, by_id, WINDOW, self.ready, self.meters, lambda _, history: history),
            known.settled,
        )
        self.replica = replica
        ids = count(first)
        self.exchange = Exchange(
            known, TIMING, self.ready, replica.absorb, lambda: next(ids), self.meters
        )
        self.handlers = self.exchange.handlers()
        self.up: set[NodeId] = set()


class ExchangeWorld:
    """A few owners of a small ring."""

    def __init__(self, nodes: int = 2, partitions: int = 16, n: int = 0) -> None:
        names = [NodeId(f"n{i + 1}") for i in range(nodes)]
        self.partitions = partitions
        members = tuple(Member(name, name, "", 1.0) for name in names)
        copies = n or min(3, nodes)
        self.ring = plan(members, partitions, copies).ring
        tables = (TableConfig("cart", TableId(1), copies, 1, 1),)
        self.owners = {
            name: Owner(name, self.ring, tables, 1000 * i) for i, name in enumerate(names, 1)
        }
        self.now_ms = 1000.0
        self.bytes = 0
        self.sent: Counter[str] = Counter()
        self.heard: list[tuple[NodeId, Source, Message]] = []
        self.disconnected: list[str] = []
        self.silent: set[NodeId] = set()
        """Nodes that hear everything and whose answers get lost."""
        self._wires: deque[tuple[NodeId, Source, Message]] = deque()

    def __getitem__(self, name: str) -> Owner:
        return self.owners[NodeId(name)]

    def key(self, key: bytes) -> ItemKey:
        return item(self.partitions, key)

    def put(self, name: str, key: bytes, counter: int = 1, payload: bytes = b"value") -> None:
        """A node holds a record, whoever wrote it."""
        self[name].trees.put(self.key(key), record(counter, payload), None)

    def put_everywhere(
        self, keys: list[bytes], counter: int = 1, payload: bytes = b"value"
    ) -> None:
        for key in keys:
            for name in self.ring.preference_list(*self.tree_of(key)):
                self.put(name, key, counter, payload)

    def tree_of(self, key: bytes) -> tuple[PartitionId, int]:
        return PartitionId(int.from_bytes(self.key(key)[:2], "big")), self.ring.n_max

    def held(self, name: str) -> dict[ItemKey, bytes]:
        """Everything a node holds."""
        return dict(self[name].engine.scan(ItemKey(b""), ItemKey(b"\xff" * 9), 1 << 30))

    def link(self) -> None:
        for one in self.owners:
            for other in self.owners:
                if one != other:
                    self.owners[one].up.add(other)

    def cut(self, one: str, other: str) -> None:
        """The link between two is lost, with all that was on it."""
        for a, b in ((NodeId(one), NodeId(other)), (NodeId(other), NodeId(one))):
            self.owners[a].up.discard(b)
            self.owners[a].exchange.lost(b, "cut", self.now_ms)
        self._wires = deque(w for w in self._wires if {w[0], w[1]} != {one, other})

    def grow(self) -> None:
        """All trees are made."""
        for owner in self.owners.values():
            while owner.trees.ungrown():
                owner.trees.grow()

    def ask(self, name: str, message: Any, source: Source = 7) -> list[Any]:
        """What a node says to a message that is not part of a story."""
        owner = self[name]
        raw = parse(tuple(message))
        return owner.handlers[type(raw)](source, raw, Instant(self.now_ms, 0))

    def pass_ms(self, ms: float) -> None:
        until = self.now_ms + ms
        while self.now_ms < until:
            self.now_ms = min(until, self.now_ms + TICK_MS)
            for owner in self.owners.values():
                due_ms = owner.exchange.deadline()
                if due_ms is None or due_ms <= self.now_ms:
                    self._perform(owner.name, owner.exchange.advance(owner.up, self.now_ms))
            while self._wires:
                self._deliver(*self._wires.popleft())

    def pass_until_in_sync(self, most_ms: float = 60_000) -> None:
        """Until every owner has found every tree equal since `link` or the last question."""
        until = self.now_ms + most_ms
        while not all(map(self.in_sync, self.owners)):
            assert self.now_ms < until, "the owners never agree"
            self.pass_ms(100)

    def in_sync(self, name: str) -> bool:
        found = self[name].exchange.status(self.now_ms)["in_sync"].values()
        return all(told["in_sync"] == told["trees"] for told in found)

    def _perform(self, name: NodeId, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Disconnect):
                self.disconnected.append(effect.reason)
                self.cut(name, str(effect.to))
                continue
            assert isinstance(effect, Send | Broadcast)
            for to in (effect.to,) if isinstance(effect, Send) else effect.to:
                if to in self.owners[name].up and name not in self.silent:
                    self.bytes += len(pack_message(effect.message))
                    self.sent[type(effect.message).__name__] += 1
                    self._wires.append((name, to, effect.message))

    def _deliver(self, source: NodeId, to: Source, message: Message) -> None:
        owner = self.owners[NodeId(str(to))]
        now = Instant(self.now_ms, 0)
        message = parse(tuple(message))
        self.heard.append((source, to, message))
        if isinstance(message, ReplicaPut):
            owner.replica.put(source, message)
            return
        if isinstance(message, ReplicaPage):
            made = owner.exchange.answer(source, message, now)
        else:
            made = owner.handlers[type(message)](source, message, now)
        self._perform(owner.name, made)
