"""A simulated process's connections: one link to each peer, and its clients.

    n1 dials n2, n3 · n2 dials n3        the lower name dials, with backoff, until a link is open
    hello ─▶ accepted? ─▶ hello back, open ─▶ open        `is your disk an old copy?` with it
    a newer link ─▶ the older one is cut, and nothing arrives from it any more

What a peer's starts mean is decided by `dynamo.repair.lives`, as in the daemon.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from dynamo.config import ClusterConfig
from dynamo.messages import ClientGone, Event, PeerDown, PeerUp, Source
from dynamo.repair.boot import ROLLED_BACK, Boot
from dynamo.repair.lives import Lives, decode_lives, encode_lives, met
from dynamo.testing.network import ACCEPTOR, DIALER, Connection, End, Messages, Network
from dynamo.testing.store import Store
from dynamo.testing.world import World
from dynamo.types import NodeId

HELLO = 1
"""Kind of the first message from an acceptor: (HELLO, incarnation, boot, is the dialer's disk an
old copy)."""
LIVES = "boots"
"""The name under which a node keeps what it remembers of its peers' starts."""


class Neighbours(Protocol):
    """Where other processes are found."""

    world: World
    network: Network
    config: ClusterConfig

    def accepting(self, name: NodeId) -> "Owner | None":
        """The process on that machine that takes connections now, if any."""


class Owner(End, Protocol):
    """The process that has the links."""

    name: NodeId
    alive: bool
    draining: bool
    boot: Boot | None
    store: Store
    links: "Links"

    def feed(self, event: Event) -> None:
        """Hand an event to the kernel."""

    def knows(self, name: NodeId) -> bool:
        """Whether another is a member, as far as this one knows."""

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Run a call in the process's loop."""

    def drain(self) -> None:
        """Stop."""


class Links:
    """Connections by whom they come from, and the way back."""

    def __init__(self, around: Neighbours, owner: Owner, rng: Random) -> None:
        self._around, self._owner, self._rng = around, owner, rng
        self._network, self._timing = around.network, around.config.timing
        self._of: dict[Source, tuple[Connection, int]] = {}
        self._sources: dict[Connection, Source] = {}
        self._dialing: dict[NodeId, Connection] = {}
        self._sought: set[NodeId] = set()
        """Peers that are dialed again and again now."""
        self._old_copies: set[NodeId] = set()
        """Peers that accepted a connection and turned out to stand on an old copy of their disk:
        the next hello says so."""
        self._clients = 0

    def seek_all(self) -> None:
        """Dial every member that is this node's to dial and has no link."""
        for peer in self._around.config.nodes:
            self._seek(peer.name)

    def source(self, connection: Connection) -> Source | None:
        """Who speaks there; None once another link has taken its place."""
        return self._sources.get(connection)

    def send(self, to: Source, messages: Messages) -> None:
        """On the link to a peer or client, if there is one."""
        link = self._of.get(to)
        if link is not None:
            link[0].send(link[1], messages)

    def reach_all(self) -> bool:
        """Whether a link to every other member is open."""
        names = (member.name for member in self._around.config.nodes)
        members = (name for name in names if self._owner.knows(name))
        return all(name == self._owner.name or name in self._of for name in members)

    def part_with_strangers(self) -> None:
        """Close the links to who is no member any more."""
        for source, (connection, side) in list(self._of.items()):
            if isinstance(source, str) and not self._owner.knows(source):
                del self._of[source]
                del self._sources[connection]
                connection.close(side, f"{source} is no member any more")
                self._owner.feed(PeerDown(source, "no member any more"))

    def accept_client(self, connection: Connection) -> None:
        """A client is connected; it gets a number."""
        self._clients += 1
        self._register(connection, ACCEPTOR, self._clients)

    def close(self, reason: str) -> None:
        """Close all; what was sent before still arrives."""
        for connection, side in self._of.values():
            connection.close(side, reason)
        self._of.clear()
        self._sources.clear()

    def lost(self, connection: Connection, reason: str) -> None:
        """A connection has ended."""
        source = self._sources.pop(connection, None)
        if source is None:
            return
        del self._of[source]
        if isinstance(source, int):
            self._owner.feed(ClientGone(source))
        else:
            self._owner.feed(PeerDown(source, reason))
            self._seek(source)

    def greet(self, connection: Connection, name: NodeId, theirs: Boot, i_am_old: bool) -> None:
        """A peer says hello: answer with this node's own, and open the link, unless the peer knows
        that this node's disk is an old copy."""
        mine = self._owner.boot
        assert mine is not None, "only a started node accepts"
        if i_am_old:
            self._start_over()
            return
        known = self._lives().get(name)
        old = known is not None and known.shows_old_copy(theirs.incarnation, theirs.number)
        answer = (HELLO, mine.incarnation, mine.number, old)
        connection.send(ACCEPTOR, (answer,), exactly=True)
        self._open(connection, ACCEPTOR, name, (theirs.incarnation, theirs.number))

    def hello_answered(self, connection: Connection, messages: Messages) -> None:
        """The first word on a connection that this node has dialed, if it is that."""
        kind, *said = messages[0]
        if kind != HELLO or connection.names[DIALER] != self._owner.name:
            return  # from a link that a newer one has replaced
        incarnation, number, old = said
        if old:
            self._start_over()
            return
        peer = NodeId(connection.names[ACCEPTOR])
        self._open(connection, DIALER, peer, (incarnation, number))

    def _seek(self, peer: NodeId) -> None:
        """Dial a peer until there is a link to it, if that is this node's to do."""
        if self._owner.name < peer and peer not in self._sought:
            self._sought.add(peer)
            self._dial_after(peer, float(self._timing.reconnect_delay_ms_min))

    def _dial_after(self, peer: NodeId, delay_ms: float) -> None:
        wait_ms = self._rng.uniform(0.5, 1.0) * delay_ms
        self._around.world.at(wait_ms, self._owner.post, self._dial, peer, delay_ms)

    def _dial(self, peer: NodeId, delay_ms: float) -> None:
        """One attempt, and the next one later if it comes to nothing."""
        owner, network = self._owner, self._network
        if owner.draining or peer in self._of or not owner.knows(peer):
            self._sought.discard(peer)
            return
        if self._dialing.get(peer) not in network.connections:
            delay_ms = min(delay_ms * 2, float(self._timing.reconnect_delay_ms_max))
            if network.reaches(owner.name, peer):
                latency = network.latency_ms(network.route(owner.name, peer))
                self._around.world.at(latency, self._knock, peer)
        self._dial_after(peer, delay_ms)

    def _knock(self, peer: NodeId) -> None:
        """This node's hello is at the peer's door."""
        owner, other = self._owner, self._around.accepting(peer)
        if not self._network.reaches(owner.name, peer):
            return  # cut while the hello was on its way
        if other is not None and not other.knows(owner.name):
            return  # a stranger, for it
        if other is not None and owner.alive and owner.boot is not None:
            connection = self._network.connect((owner.name, peer), (owner, other))
            self._dialing[peer] = connection
            is_old = peer in self._old_copies
            self._old_copies.discard(peer)
            other.links.greet(connection, owner.name, owner.boot, is_old)

    def _open(
        self, connection: Connection, side: int, name: NodeId, start: tuple[str, int]
    ) -> None:
        """A peer takes the place of its older link, unless its disk is an old copy."""
        lives = self._lives()
        known = met(lives.get(name), *start)
        if known is None:
            if side == DIALER:
                self._old_copies.add(name)
            connection.close(side, f"this disk of {name} is older than one met before")
            return
        if known != lives.get(name):
            value = encode_lives({**lives, name: known})
            self._owner.store.engine.put_meta(LIVES, value)
        older = self._of.get(name)
        if older is not None:
            del self._sources[older[0]]
            older[0].abort(older[1])
        self._register(connection, side, name)
        if older is not None:
            self._owner.feed(PeerDown(name, "replaced by a newer link"))
        self._owner.feed(PeerUp(name))

    def _start_over(self) -> None:
        """This node's disk is an old copy: stop, and start as somebody else."""
        self._owner.store.engine.put_meta(ROLLED_BACK, b"1")
        self._owner.drain()

    def _register(self, connection: Connection, side: int, source: Source) -> None:
        self._of[source] = (connection, side)
        self._sources[connection] = source

    def _lives(self) -> dict[str, Lives]:
        return decode_lives(self._owner.store.engine.get_meta(LIVES))
