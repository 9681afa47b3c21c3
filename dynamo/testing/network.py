"""The simulated network: connections as TCP gives them, over routes as a data centre gives them.

    dialer ──connect, hello──▶ acceptor      open at both ends, FIFO each way
           ══ messages ═════▶                each delayed by its route
           ──── break ─────▶ ✗               what is in flight vanishes; each end notices later

A connection that breaks loses an unknown last part of what each side sent, which is all that TCP
loses. While one of its ways is silent, what is sent that way waits. Stronger than TCP, for the sake
of the machines: while a fault asks for it, a message arrives twice, or overtakes those before it on
the same connection. What arrives went through the bytes of the wire.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from msgpack import packb, unpackb

from dynamo.testing.world import World

Messages = tuple[Any, ...]

DIALER, ACCEPTOR = 0, 1


class End(Protocol):
    """Whoever holds one end of a connection."""

    def received(self, connection: "Connection", messages: Messages, sent_ms: float) -> None:
        """What one tick of the other side sent, in order, as decoded arrays; and when."""

    def lost(self, connection: "Connection", reason: str) -> None:
        """The connection ended; said once, and nothing arrives after it."""


class Route:
    """How it is to send from one machine to another, now."""

    __slots__ = ("blocked", "delay_ms", "duplicate", "reorder", "rng", "silent")

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.delay_ms = 0.0
        """Extra delay, on the average."""
        self.duplicate = self.reorder = 0.0
        """Probabilities per message."""
        self.blocked = 0
        """How many faults cut this route: nobody connects."""
        self.silent = 0
        """How many faults swallow what is sent here; it is sent again when none does any more."""


class Network:
    """All routes and connections between machines, clients included."""

    def __init__(self, world: World, base_ms: float) -> None:
        """`base_ms`: how long a message takes on a quiet network, on the average."""
        self.world, self._base_ms = world, base_ms
        self._routes: dict[tuple[str, str], Route] = {}
        self.connections: dict[Connection, None] = {}
        self.counts: Counter[str] = Counter()
        """Messages that were duplicated, reordered or lost."""

    def route(self, sender: str, receiver: str) -> Route:
        """The one-way path between two machines."""
        route = self._routes.get((sender, receiver))
        if route is None:
            route = self._routes[sender, receiver] = Route(
                self.world.rng(f"route {sender} {receiver}")
            )
        return route

    def reaches(self, sender: str, receiver: str) -> bool:
        """Whether packets go both ways."""
        there, back = self.route(sender, receiver), self.route(receiver, sender)
        return not (there.blocked or back.blocked)

    def silence(self, sender: str, receiver: str) -> None:
        """Nothing passes this way any more; what is sent waits, and nobody connects."""
        route = self.route(sender, receiver)
        route.blocked += 1
        route.silent += 1

    def unsilence(self, sender: str, receiver: str) -> None:
        """One reason less for this silence; after the last, what has waited arrives."""
        route = self.route(sender, receiver)
        route.blocked -= 1
        route.silent -= 1
        if not route.silent:
            for connection in self.between(sender, receiver):
                connection.send_again()

    def latency_ms(self, route: Route) -> float:
        """How long the next message takes."""
        chance = route.rng.random()
        if route.delay_ms:
            return self._base_ms * (0.5 + chance) + route.delay_ms * 2 * route.rng.random()
        return self._base_ms * (0.5 + chance)

    def connect(self, names: tuple[str, str], ends: tuple[End, End]) -> "Connection":
        """A connection that is open at both ends (handshakes are their owners' business)."""
        connection = Connection(self, names, ends)
        self.connections[connection] = None
        return connection

    def between(self, one: str, other: str) -> "list[Connection]":
        """The connections between two machines that are not broken."""
        pair = {one, other}
        return [c for c in self.connections if set(c.names) == pair]

    def of(self, name: str) -> "list[Connection]":
        """All connections of a machine that are not broken."""
        return [c for c in self.connections if name in c.names]


class Connection:
    """One connection; sides are DIALER and ACCEPTOR."""

    __slots__ = (
        *("_broken", "_ends", "_last", "_network", "_open", "_routes", "_waiting"),
        "names",
    )

    def __init__(self, network: Network, names: tuple[str, str], ends: tuple[End, End]) -> None:
        self._network, self.names, self._ends = network, names, ends
        self._routes = (network.route(*names), network.route(names[1], names[0]))
        self._open = [True, True]
        self._last = [0.0, 0.0]
        self._broken = False
        self._waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        """What arrives only when its route is silent no more."""

    def send(self, side: int, messages: Messages, *, exactly: bool = False) -> None:
        """Send from that side; silently nothing when it has ended, as on a network.

        `exactly`: as TCP does it, whatever faults ask for (what opens a connection).
        """
        if not self._open[side] or self._broken:
            return
        messages = unpackb(packb(messages), use_list=False, strict_map_key=False)
        network, route, world = self._network, self._routes[side], self._network.world
        due = max(world.now + network.latency_ms(route), self._last[side])
        if route.reorder and not exactly and route.rng.random() < route.reorder:
            network.counts["reordered"] += 1
            due += network.latency_ms(route) * 4
        else:
            self._last[side] = due
        world.at(due - world.now, self._arrive, 1 - side, messages, world.now)
        if route.duplicate and not exactly and route.rng.random() < route.duplicate:
            network.counts["duplicated"] += 1
            later = due - world.now + network.latency_ms(route)
            world.at(later, self._arrive, 1 - side, messages, world.now)

    def close(self, side: int, reason: str) -> None:
        """End it from one side: what was sent before still arrives, then the news."""
        if self._open[side]:
            self._open[side] = False
            world, due = self._network.world, self._last[side]
            latency = self._network.latency_ms(self._routes[side])
            world.at(max(due - world.now, 0.0) + latency, self._end, 1 - side, reason)

    def break_(self, reason: str, notice_ms: tuple[float, float]) -> None:
        """It breaks now: what is in flight is lost; each side notices after its own delay."""
        if self._broken:
            return
        self._broken = True
        self._network.connections.pop(self, None)
        for side in (DIALER, ACCEPTOR):
            if self._open[side]:
                self._network.world.at(notice_ms[side], self._end, side, reason)

    def abort(self, side: int) -> None:
        """This side lets go at once and hears nothing more; the other notices soon."""
        self._open[side] = False
        latency = self._network.latency_ms(self._routes[side])
        self.break_("reset by the other side", (latency, latency))

    def send_again(self) -> None:
        """Routes are silent no more: TCP sends again what has not arrived, in its order."""
        waiting, self._waiting = self._waiting, []
        for call, arguments in waiting:
            call(*arguments)

    def give_up_if_silent(self, after_ms: float) -> None:
        """Break it if one of its ways is silent so much later: nothing was heard for too long."""
        self._network.world.at(after_ms, self._give_up)

    def _give_up(self) -> None:
        if any(route.silent for route in self._routes):
            latencies = [self._network.latency_ms(route) for route in self._routes]
            self.break_("silent for too long", (latencies[0], latencies[1]))

    def _arrive(self, side: int, messages: Messages, sent_ms: float) -> None:
        if self._broken:
            self._network.counts["lost"] += 1
        elif self._routes[1 - side].silent:
            self._waiting.append((self._arrive, (side, messages, sent_ms)))
        elif self._open[side]:
            self._ends[side].received(self, messages, sent_ms)

    def _end(self, side: int, reason: str) -> None:
        """One side learns of the end."""
        if self._routes[1 - side].silent and not self._broken:
            self._waiting.append((self._end, (side, reason)))
            return
        self._network.connections.pop(self, None)
        if self._open[side]:
            self._open[side] = False
            self._ends[side].lost(self, reason)
