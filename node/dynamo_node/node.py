"""A node on asyncio: kernel, store and links joined; it decides nothing.

    link ─ messages ─▶ kernel.handle ─▶ effects ─▶ links
                             ▲ │
                   Persisted │ ▼ writes
                          store driver

Whatever happens is handed to the kernel in one call with one reading of the clocks, and its
effects are performed at once; a message for several peers is packed once.
"""

import asyncio
import time
from itertools import count
from typing import Any

import structlog

from dynamo.brain import Brain, JoinsAnew
from dynamo.config import ClusterConfig, TableConfig
from dynamo.errors import Code, CorruptData, DynamoError, StorageFailed
from dynamo.kernel import Kernel
from dynamo.messages import (
    Broadcast,
    ClientGone,
    Disconnect,
    Effect,
    Event,
    Failed,
    GetDone,
    PeerDown,
    PeerUp,
    Persisted,
    Received,
    ReplicaMerged,
    ReplicaPage,
    ReplicaRecord,
    Send,
    Source,
    Tick,
)
from dynamo.meters import Meters
from dynamo.repair.boot import ROLLED_BACK, Boot
from dynamo.storage.port import Engine
from dynamo.types import Instant, NodeId
from dynamo.wire.frames import pack_message
from dynamo.wire.handshake import Hello
from dynamo.wire.link import Link
from dynamo_node.boots import Boots
from dynamo_node.door import Answer, Request
from dynamo_node.storing import StoreDriver

TICK_S = 0.005
"""How precisely deadlines are kept while there are any. Lower: more wake-ups under load."""

MESSAGES_AT_ONCE_MAX = 32
"""Of a longer frame, so many messages are answered before it is seen whether the answers are taken.
Higher: a client that reads nothing makes this node hold more for a moment (at worst so many records
of the largest size); lower: more calls of the kernel under load."""

RETRY_MS = 20
"""Between two tries of a local call that a ring change interrupts."""

LOCAL_CALLS = 0
"""The source of requests that come through this node's own door."""

log = structlog.get_logger()


class Node:
    """The running node: reports of links and store go in, what the kernel wants comes out."""

    def __init__(
        self,
        config: ClusterConfig,
        brain: Brain,
        engine: Engine,
        boot: Boot,
        me: NodeId,
        meters: Meters,
    ) -> None:
        self.brain, self.engine, self.me, self.meters = brain, engine, me, meters
        self.config, self._boot = config, boot
        self._boots = Boots(engine)
        self._old_copies: dict[NodeId, int] = {}
        self._links: dict[Source, Link] = {}
        self._numbers = count(1)
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._call_numbers = count(1)
        self._ticking = False
        self._alarm: asyncio.TimerHandle | None = None
        self._epoch = brain.topology.epoch
        self.members_changed = asyncio.Event()
        """Set when an epoch with other members may be in force."""
        self.link_lost = asyncio.Event()
        """Set when the next link to a member is lost; another one takes its place then."""
        self._rebuilding = brain.kernel.missing_partitions()
        self._loop = asyncio.get_running_loop()
        self.driver: StoreDriver | None = None
        self._drained: asyncio.Event | None = None
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Ends with the error that ends the node."""

    @property
    def kernel(self) -> Kernel:
        """That of the present epoch."""
        return self.brain.kernel

    # links

    def hello(self, theirs: Hello | None) -> Hello:
        """This node's introduction."""
        return Hello(
            role="node",
            name=self.me,
            cluster=self.config.fingerprint(),
            incarnation=self._boot.incarnation,
            boot=self._boot.number,
            durability=self.config.node(self.me).durability,
            boot_remembered=None
            if theirs is None
            else self._boots.above(theirs.name, theirs.incarnation, theirs.boot),
        )

    def hello_to(self, peer: NodeId) -> Hello:
        """The introduction to a peer that this node dials: also, if its disk turned out to be an
        old copy, word of the later start, so that it can rebuild."""
        return self.hello(None)._replace(boot_remembered=self._old_copies.pop(peer, None))

    def opened(self, link: Link, hello: Hello) -> None:
        """A link is open: a peer takes the place of its older link, a client gets a number."""
        if self._drained is not None:
            link.close(f"{self.me} is stopping")
        elif hello.role == "client":
            link.tag = next(self._numbers)
            self._links[link.tag] = link
        else:
            self._peer_opened(link, hello)

    def received(self, link: Link, messages: list[Any]) -> None:
        """A frame's messages."""
        for first in range(0, len(messages), MESSAGES_AT_ONCE_MAX):
            if link.tag is None or not link.is_open:
                return
            part = messages
            if len(messages) > MESSAGES_AT_ONCE_MAX:
                part = messages[first : first + MESSAGES_AT_ONCE_MAX]
            self.feed(Received(link.tag, part, link.age_ms))  # type: ignore[arg-type]

    def lost(self, link: Link, reason: str | None) -> None:
        """A link has ended."""
        source = link.tag
        if source is None or self._links.get(source) is not link:  # type: ignore[call-overload]
            return
        del self._links[source]  # type: ignore[arg-type]
        if isinstance(source, int):
            if reason is not None and not reason.startswith("goodbye"):
                log.info("client cut off", address=link.address, reason=reason)
            self.feed(ClientGone(source))
            return
        lost, self.link_lost = self.link_lost, asyncio.Event()
        lost.set()
        log.info("peer lost", peer=source, reason=reason)
        self.feed(PeerDown(NodeId(str(source)), reason or "link lost"))

    def is_linked(self, node: NodeId) -> bool:
        """Whether a link to the member is open."""
        return node in self._links

    def is_serving(self) -> bool:
        """Whether requests are taken and all partitions count."""
        return self._drained is None and not self.kernel.missing_partitions()

    def links(self) -> dict[Source, Link]:
        """All open links, for metrics."""
        return self._links

    # events and effects

    def feed(self, event: Event) -> None:
        """Hand an event to the kernel and perform what it wants; nothing once the node failed."""
        if self.failed.done():
            if self._drained is not None:
                self._drained.set()
            return
        now = Instant(self._loop.time() * 1000, time.time_ns() // 1_000_000)
        try:
            effects = self.brain.handle(event, now)
        except (CorruptData, StorageFailed, JoinsAnew) as error:
            # Damage not of a record, which the kernel bears, but of a whole table, or no answer at
            # all from the disk: a node that went on would fail every link that asks for anything.
            self.fail(error)
            return
        self._perform(effects)
        if self.brain.topology.epoch != self._epoch:
            self._epoch = self.brain.topology.epoch
            log.info("ring changed", epoch=self._epoch, change=self.brain.topology.change)
            self.members_changed.set()
        if self.driver is not None:
            self.driver.kick()
        if self._drained is not None and not self.kernel.in_flight():
            self._drained.set()
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_S, self._tick)

    def persisted(self, tokens: list[Any]) -> None:
        """The store made a group durable."""
        self.feed(Persisted(tokens))

    def fail(self, error: BaseException) -> None:
        """Something happened after which the node must end."""
        if not self.failed.done():
            self.failed.set_exception(error)

    async def drained(self) -> None:
        """Take nothing new; return when every operation in flight is answered."""
        self._drained = asyncio.Event()
        self.brain.drain()
        self.feed(Tick())
        await self._drained.wait()

    async def call(self, message: Request, deadline_ms: int) -> Answer:
        """Ask this node as its own client (`Door`); the kernel keeps the deadline. What a ring
        change has interrupted is asked again: a write under its own id is one write."""
        until_s = self._loop.time() + (deadline_ms or self.config.timing.request_timeout_ms) / 1000
        while True:
            left_ms = int((until_s - self._loop.time()) * 1000)
            answer = await self._call(message, max(left_ms, 1))
            if type(answer) is not Failed or answer.code != Code.WRONG_RING or left_ms <= RETRY_MS:
                return answer
            await asyncio.sleep(RETRY_MS / 1000)

    async def _call(self, message: Request, deadline_ms: int) -> Answer:
        id = next(self._call_numbers)
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._calls[id] = answer
        try:
            raw = tuple(message._replace(id=id, deadline_ms=deadline_ms))
            self.feed(Received(LOCAL_CALLS, (raw,)))
            return await answer
        finally:
            del self._calls[id]

    def part_with_strangers(self) -> None:
        """Close the links to who is no member any more."""
        members = self.brain.topology.members
        for source, link in list(self._links.items()):
            if isinstance(source, str) and source not in members:
                link.close(f"{source} is no member any more")

    def table_by_name(self, name: str) -> TableConfig | None:
        """The table called `name`, if any."""
        return self.config.table(name)

    def _perform(self, effects: list[Effect]) -> None:
        links = self._links
        for effect in effects:
            if type(effect) is Send:
                if effect.to == LOCAL_CALLS:
                    self._answer_call(effect.message)
                elif (link := links.get(effect.to)) is not None:
                    link.send(effect.message, _weight(effect.message))
            elif type(effect) is Broadcast:
                packed = pack_message(effect.message)
                for to in effect.to:
                    if (link := links.get(to)) is not None:
                        link.send_packed(packed)
            else:
                assert type(effect) is Disconnect, f"an unknown effect {effect}"
                if (link := links.get(effect.to)) is not None:
                    log.warning("protocol violation", source=effect.to, reason=effect.reason)
                    link.close(effect.reason)

    def _answer_call(self, message: Any) -> None:
        answer = self._calls.get(message.id)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _tick(self) -> None:
        """Time passes, as long as somebody waits for it and the store is there. An idle node sleeps
        until its next deadline; an event before that looks again, it may have made an earlier one.
        """
        self._ticking = False
        if self._rebuilding and not self.kernel.missing_partitions():
            log.info("rebuilt; this node counts for reads again", partitions=self._rebuilding)
            self._rebuilding = 0
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due_ms = self.kernel.deadline()
        if due_ms is None or (self.driver is not None and self.driver.is_closing):
            return
        left_s = due_ms / 1000 - self._loop.time()
        if left_s <= 0:
            self.feed(Tick())
        else:
            self._alarm = self._loop.call_later(max(left_s, TICK_S), self._woken)

    def _woken(self) -> None:
        if not self._ticking:
            self._tick()

    def _peer_opened(self, link: Link, hello: Hello) -> None:
        """A member introduces itself: check that neither disk is an old copy, then link it."""
        node = NodeId(hello.name)
        if node == self.me or node not in self.brain.topology.members:
            link.close(f"{node} is not another member of this cluster")
            return
        if hello.boot_remembered is not None and hello.boot_remembered > self._boot.number:
            self.engine.put_meta(ROLLED_BACK, b"1", None)
            self.fail(RolledBack(f"{node} remembers a later start of {self.me} than this disk"))
            return
        if not self._boots.remember(node, hello.incarnation, hello.boot):
            above = self._boots.above(node, hello.incarnation, hello.boot)
            assert above is not None, "an old copy is below some start"
            self._old_copies[node] = above
            link.close(f"this disk of {node} is older than one that {self.me} has met")
            return
        older = self._links.get(node)
        link.tag = node
        self._links[node] = link
        if older is not None:
            older.abort("replaced by a newer link")
            self.feed(PeerDown(node, "replaced by a newer link"))
        log.info("peer linked", peer=node, address=link.address)
        self.feed(PeerUp(node))


class RolledBack(DynamoError):
    """This node's disk is an old copy; after a restart it rebuilds from the others."""

    kind = "rolled back"


def _weight(message: Any) -> int:
    """Of messages that may be large: about how many bytes they take."""
    kind = type(message)
    if kind is ReplicaRecord or kind is ReplicaMerged:
        return len(message.record or b"")
    if kind is GetDone:
        return sum(map(len, message.payloads))
    if kind is ReplicaPage:
        return sum(len(key) + len(record) for key, record in message.items)
    return 0
