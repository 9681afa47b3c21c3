"""Links to the nodes: one each, redialed when lost.

    lost ──▶ dial at once ──refused──▶ wait (jittered, doubling) ──▶ dial …
      ▲                   ──open─────▶ up ──┐
      └─────────────────────────────────────┘

A link that dies young is redialed only after the wait, so that a node which accepts and then hangs
up is not besieged.
"""

import asyncio
import os
from collections.abc import Iterable
from random import Random
from types import TracebackType
from typing import Protocol

from dynamo.errors import ProtocolViolation, WrongCluster
from dynamo.messages_members import CLIENT_EPOCH
from dynamo.types import NodeId
from dynamo.wire import Callbacks, Hello, Link, LinkLimits, LinkSet, Message
from dynamo_client.peer import Peer
from dynamo_client.seeds import Seed, reason_of

RECONNECT_MS_MIN = 20.0
RECONNECT_MS_MAX = 1000.0
YOUNG_S = 1.0

JITTER = Random()
"""Not the application's own `random`, which it may have seeded for a purpose."""


class Listener(Protocol):
    """Who is told what happens on the links."""

    def received(self, peer: Peer, messages: list[Message]) -> None:
        """One frame's messages."""

    def lost(self, peer: Peer, reason: str) -> None:
        """Nothing asked of this peer before will be answered."""

    def changed(self) -> None:
        """A link came up, or it is now known that it will not for a while."""


class Links:
    """Every link of one client."""

    def __init__(self, listener: Listener, cluster: bytes, dial_timeout_ms: int) -> None:
        """`cluster`: its fingerprint; empty: that of the first node that answers."""
        self.cluster = cluster
        self.peers: dict[NodeId, Peer] = {}
        self._epoch = 0
        self._listener = listener
        self._keepers: dict[NodeId, asyncio.Task[None]] = {}
        self._lost: dict[NodeId, asyncio.Event] = {}
        self._decided: dict[NodeId, asyncio.Event] = {}
        limits = LinkLimits(handshake_timeout_ms=dial_timeout_ms, goodbye_timeout_ms=200)
        callbacks = Callbacks(self._hello, self._on_open, self._on_messages, self._on_lost)
        self._set = LinkSet(callbacks, limits)

    async def __aenter__(self) -> "Links":
        self._loop = asyncio.get_running_loop()
        await self._set.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        keepers = list(self._keepers.values())
        self._keepers.clear()
        for keeper in keepers:
            keeper.cancel()
        if keepers:
            await asyncio.wait(keepers)
        await self._set.close("the client closes")

    async def greet(self, seed: Seed) -> Peer:
        """Link whoever is there. Raises OSError, ProtocolViolation."""
        peer = await self._dial(seed.host, seed.port)
        if (seed.host, seed.port) not in peer.addresses:
            peer.addresses.append((seed.host, seed.port))
        return peer

    def keep(self, node: NodeId, address: tuple[str, int]) -> Peer:
        """See to it, from now on, that there is a link to the node."""
        peer = self.peers.setdefault(node, Peer(node))
        if address in peer.addresses:
            peer.addresses.remove(address)
        peer.addresses.insert(0, address)
        if node not in self._keepers:
            peer.reason = ""  # what was said before somebody cared for the link is no verdict
            self._decided[node] = asyncio.Event()
            name = f"link to {node}"
            self._keepers[node] = self._loop.create_task(self._keep(peer), name=name)
        return peer

    def drop(self, nodes: Iterable[NodeId]) -> None:
        """These nodes are no members any more."""
        for node in list(nodes):
            peer = self.peers.pop(node)
            if (keeper := self._keepers.pop(node, None)) is not None:
                keeper.cancel()
            if peer.link is not None:
                peer.link.close("no member of the ring")

    def speak_for(self, epoch: int) -> None:
        """Say on every link, now and when it is opened, by which ring replicas are read."""
        self._epoch = epoch
        for peer in self.peers.values():
            if peer.link is not None:
                peer.link.send((CLIENT_EPOCH, epoch))

    async def decided(self, peer: Peer) -> None:
        """Wait for the end of the first attempt to link this peer."""
        await self._decided[peer.node].wait()

    def is_kept(self, node: NodeId) -> bool:
        """Whether `keep` was called for the node."""
        return node in self._keepers

    async def _keep(self, peer: Peer) -> None:
        """Have a link to the peer, until cancelled."""
        delay_ms, turn = RECONNECT_MS_MIN, 0
        while True:
            if peer.link is None:
                await self._try(peer, turn)
                turn += 1
            if peer.link is not None:
                opened_at = self._loop.time()
                await self._lost_event(peer).wait()
                if self._loop.time() - opened_at > YOUNG_S:
                    delay_ms = RECONNECT_MS_MIN
                    continue
            await asyncio.sleep(JITTER.uniform(0.5, 1.0) * delay_ms / 1000)
            delay_ms = min(delay_ms * 2, RECONNECT_MS_MAX)

    async def _try(self, peer: Peer, turn: int) -> None:
        host, port = peer.addresses[turn % len(peer.addresses)]
        try:
            other = await self._dial(host, port)
        except (OSError, ProtocolViolation) as error:
            peer.reason = reason_of(error)
        else:
            if other is not peer and peer.link is None:
                peer.reason = f"{other.node} answers at {host}:{port}"
        self._decided[peer.node].set()
        self._listener.changed()

    async def _dial(self, host: str, port: int) -> Peer:
        link = await self._set.dial(host, port)
        theirs = link.their_hello
        if theirs is not None and theirs.cluster != self.cluster:
            mine = self.cluster.hex()
            raise WrongCluster(f"{theirs.name} is of cluster {theirs.cluster.hex()}, not {mine}")
        if isinstance(link.tag, Peer) and link.tag.link is not None:
            return link.tag
        raise ConnectionError(link.reason or "the node hung up")

    def _lost_event(self, peer: Peer) -> asyncio.Event:
        return self._lost.setdefault(peer.node, asyncio.Event())

    def _hello(self, theirs: Hello | None) -> Hello:
        # Without the fingerprint: the node's hello tells it, and it is judged here.
        return Hello("client", f"python {os.getpid()}", b"")

    def _on_open(self, link: Link, hello: Hello) -> None:
        if self.cluster and hello.cluster != self.cluster:
            link.close("this client is of another cluster")
            return
        self.cluster = hello.cluster
        node = NodeId(hello.name)
        link.tag = peer = self.peers.setdefault(node, Peer(node))
        if peer.link is not None:
            # The other one is the same node; its requests in flight are not disturbed.
            link.close("linked already")
            return
        peer.link, peer.reason, peer.waiting_since_ms = link, "", 0.0
        peer.linked_since_s = self._loop.time()
        self._lost_event(peer).clear()
        if self._epoch:
            link.send((CLIENT_EPOCH, self._epoch))

    def _on_messages(self, link: Link, messages: list[Message]) -> None:
        peer = link.tag
        assert isinstance(peer, Peer), "an open link has a peer"
        self._listener.received(peer, messages)

    def _on_lost(self, link: Link, reason: str | None) -> None:
        peer = link.tag
        if not isinstance(peer, Peer) or peer.link is not link:
            return
        peer.link = None
        told = reason or "the link was lost"
        # An old link is redialed at once: until then nobody knows whether the node is there.
        old = self._loop.time() - peer.linked_since_s > YOUNG_S
        peer.reason = "" if old and self.is_kept(peer.node) else told
        self._lost_event(peer).set()
        self._listener.lost(peer, told)
