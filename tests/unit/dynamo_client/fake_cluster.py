"""A cluster in this process for tests of the client: real kernels over memory, real loopback
sockets to the client, and a say in what each node does with what it is asked.

    node.rule(PUT, silent)          nothing is answered
    node.rule(PUT, lost_answer)     it is done, but the answer never arrives
    node.rule(PUT, hang_up)         the connection ends instead
    node.rule(PUT, refuse(failure)) the failure is the answer
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from dynamo.config import ClusterConfig, builtin
from dynamo.coordination.identity import Identity
from dynamo.errors import Failure
from dynamo.kernel import Kernel
from dynamo.messages import (
    Broadcast,
    ClientGone,
    PeerDown,
    PeerUp,
    Persisted,
    Received,
    Send,
    Tick,
    failed,
)
from dynamo.meters import Meters
from dynamo.ring import Member, Ring, partition_of, plan, token_of
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import Instant, NodeId, TableId
from dynamo.wire import Callbacks, Hello, Link, LinkSet
from dynamo_client import Database

Raw = tuple[Any, ...]
Rule = Callable[["FakeNode", Link, Raw], None]


def silent(node: "FakeNode", link: Link, message: Raw) -> None:
    """As a stopped node: nothing."""


def hang_up(node: "FakeNode", link: Link, message: Raw) -> None:
    """As a killed node: the connection ends."""
    link.abort("killed")


def lost_answer(node: "FakeNode", link: Link, message: Raw) -> None:
    """Done, but the connection ends before the answer."""
    node.deaf.add(message[1])
    node.feed_later(Received(node.number(link), (message,)))
    link.abort("killed")


def refuse(failure: Failure) -> Rule:
    """The failure is the answer."""

    def answer(node: "FakeNode", link: Link, message: Raw) -> None:
        link.send(failed(message[1], failure))

    return answer


def reply(*answer: Any) -> Rule:
    """(kind, fields after the id …) is the answer."""

    def answering(node: "FakeNode", link: Link, message: Raw) -> None:
        link.send((answer[0], message[1], *answer[1:]))

    return answering


class FakeNode:
    """One node: a kernel, a listener, the rules, and all that clients asked."""

    def __init__(self, cluster: "FakeCluster", name: NodeId) -> None:
        self.cluster, self.name = cluster, name
        self.asked: list[Raw] = []
        self.deaf: set[int] = set()
        """Request ids whose answers are dropped."""
        self._rules: dict[int, list[tuple[Rule, int]]] = {}
        self._links: dict[int, Link] = {}
        self.engine = MemoryEngine()
        ring = cluster.ring
        identity = Identity(name, "1", 1, 0, ring.partitions)
        self.kernel = Kernel(cluster.config, ring, identity, self.engine, Meters())
        callbacks = Callbacks(self._hello, self._opened, self._received, self._lost)
        self._set = LinkSet(callbacks)
        self.port = 0
        self.is_up = False

    def rule(self, kind: int, rule: Rule, times: int = 1 << 30) -> None:
        """Treat the next `times` requests of this kind so; rules of a kind follow one another."""
        self._rules.setdefault(kind, []).append((rule, times))

    def clear(self) -> None:
        """Behave again."""
        self._rules.clear()

    def requests(self, kind: int) -> list[Raw]:
        """What clients asked of that kind."""
        return [message for message in self.asked if message[0] == kind]

    async def start(self, port: int = 0) -> None:
        """Listen."""
        await self._set.__aenter__()
        self.port = await self._set.listen(port=port or self.port)
        self.is_up = True

    async def stop(self) -> None:
        """Die: connections end, the others notice."""
        if not self.is_up:
            return
        self.is_up = False
        for link in list(self._links.values()):
            link.abort("killed")
        await self._set.close("killed")
        self._set = LinkSet(Callbacks(self._hello, self._opened, self._received, self._lost))
        for other in self.cluster.nodes.values():
            if other is not self and other.is_up:
                other.feed(PeerDown(self.name, "killed"))
                self.feed(PeerDown(other.name, "killed"))

    def number(self, link: Link) -> int:
        """The client connection's number."""
        assert isinstance(link.tag, int), "numbered when it opened"
        return link.tag

    def feed_later(self, event: Any) -> None:
        """Hand an event to the kernel at the end of the tick."""
        asyncio.get_running_loop().call_soon(self.feed, event)

    def feed(self, event: Any) -> None:
        """Hand an event to the kernel and perform what it wants."""
        self._perform(self.kernel.handle(event, _now()))
        while (group := self.engine.take_group()) is not None:
            group.run()
            self._perform(self.kernel.handle(Persisted(self.engine.synced(group)), _now()))
        if self.kernel.deadline() is not None:
            asyncio.get_running_loop().call_later(0.005, self._tick)

    def _tick(self) -> None:
        if self.is_up and self.kernel.deadline() is not None:
            self._perform(self.kernel.handle(Tick(), _now()))

    def _perform(self, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send(effect.to, effect.message)
            elif isinstance(effect, Broadcast):
                for to in effect.to:
                    self._send(to, effect.message)
            else:
                self._links[effect.to].close(effect.reason)

    def _send(self, to: Any, message: Any) -> None:
        if isinstance(to, int):
            link = self._links.get(to)
            if link is not None and message.id not in self.deaf:
                link.send(message)
            return
        other = self.cluster.nodes[to]
        if other.is_up:
            other.feed_later(Received(self.name, (tuple(message),)))

    def _hello(self, theirs: Hello | None) -> Hello:
        return Hello("node", self.name, self.cluster.config.fingerprint(), durability="memory")

    def _opened(self, link: Link, hello: Hello) -> None:
        link.tag = self.cluster.next_number()
        self._links[link.tag] = link

    def _received(self, link: Link, messages: list[Raw]) -> None:
        for message in messages:
            self.asked.append(message)
            rules = self._rules.get(message[0])
            if rules:
                rule, times = rules[0]
                rules[0] = (rule, times - 1)
                if times <= 1:
                    rules.pop(0)
                rule(self, link, message)
            else:
                self.feed(Received(self.number(link), (message,)))

    def _lost(self, link: Link, reason: str | None) -> None:
        if isinstance(link.tag, int) and self._links.pop(link.tag, None) and self.is_up:
            self.feed(ClientGone(link.tag))


class FakeCluster:
    """Nodes n1, n2, … with the built-in tables."""

    def __init__(self, nodes: int, **tables: Any) -> None:
        config = builtin(nodes, id="00" * 8)
        self.config: ClusterConfig = replace(
            config, tables=tuple(replace(table, **tables) for table in config.tables)
        )
        self.ring = _ring(nodes)
        self._last_number = 0
        self.nodes = {node.name: FakeNode(self, node.name) for node in config.nodes}

    def __getitem__(self, name: str) -> FakeNode:
        return self.nodes[NodeId(name)]

    @property
    def seeds(self) -> str:
        """As `connect` takes them."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes.values())

    def next_number(self) -> int:
        """For a client connection."""
        self._last_number += 1
        return self._last_number

    def requests(self, kind: int) -> list[Raw]:
        """What clients asked of that kind, at all nodes."""
        return [message for node in self.nodes.values() for message in node.requests(kind)]

    async def start(self) -> None:
        """All nodes listen, know each other, and say where they are."""
        for node in self.nodes.values():
            await node.start()
        told = tuple(replace(node, port=self.nodes[node.name].port) for node in self.config.nodes)
        object.__setattr__(self.config, "nodes", told)
        for one in self.nodes.values():
            for other in self.nodes.values():
                if one is not other:
                    one.feed(PeerUp(other.name))

    async def stop(self) -> None:
        """All nodes die."""
        for node in self.nodes.values():
            await node.stop()


@asynccontextmanager
async def fake_cluster(nodes: int = 3, **tables: Any) -> AsyncIterator[FakeCluster]:
    """A running cluster; `tables` replaces fields of every table."""
    cluster = FakeCluster(nodes, **tables)
    await cluster.start()
    try:
        yield cluster
    finally:
        await cluster.stop()


async def linked(db: Database) -> None:
    """Until the client is linked with all nodes."""
    assert db._router is not None, "the database is open"
    while any(peer.link is None for peer in db._router.links.peers.values()):
        await asyncio.sleep(0)


async def noticed(db: Database, *nodes: FakeNode) -> None:
    """Until the client knows that these nodes are down."""
    assert db._router is not None, "the database is open"
    for node in nodes:
        peer = db._router.links.peers[node.name]
        while peer.link is not None or not peer.reason:
            await asyncio.sleep(0)


def owners_of(cluster: FakeCluster, table: int, key: bytes) -> list[FakeNode]:
    """The key's preference list."""
    partition = partition_of(token_of(TableId(table), key), cluster.ring.partitions)
    return [cluster.nodes[node] for node in cluster.ring.preference_list(partition, 3)]


@cache
def _ring(nodes: int) -> Ring:
    """Planning costs more than a test."""
    names = [node.name for node in builtin(nodes).nodes]
    members = tuple(Member(name, name, "", 1.0) for name in names)
    return plan(members, builtin(nodes).partitions, min(3, nodes)).ring


def _now() -> Instant:
    loop_ms = asyncio.get_running_loop().time() * 1000
    return Instant(loop_ms, time.time_ns() // 1_000_000)
