"""A TCP proxy in front of every node that knows who dials, and lets bytes pass as the weather is.

    n1 ──dials──▶ front of n2 ──▶ n2 (listens elsewhere: `listen_port`)
    client ─────▶ front of n2 ──▶ n2

One front per node is enough, and one cluster.yml for all: who dials says so in the first bytes of
the handshake (`Hello`), and so every connection is of an ordered pair of parties. Both directions
of it have their own weather.

A stream that ends here ends there after all that was under way; one that was reset is reset. What
happens to a connection behind a held direction is learned only when the hold ends, as over a real
broken network.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import cast

from dynamo.errors import ProtocolViolation
from dynamo.wire import Hello, HelloDecoder
from dynamo_bench.chaos.flow import Flow
from dynamo_bench.chaos.sites import HOST
from dynamo_bench.chaos.weather import CLIENTS, Weather

Place = tuple[int, int]
"""(front port, the node's own port)"""


class Proxy:
    """All fronts of one cluster, open inside the context."""

    def __init__(self, weather: Weather, places: Mapping[str, Place]) -> None:
        self.weather, self._places = weather, places
        self.crossings: dict[Crossing, None] = {}
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> "Proxy":
        loop = asyncio.get_running_loop()
        for node, (front, own) in self._places.items():
            server = await loop.create_server(self._accepting(node, own), HOST, front)
            self._servers.append(server)
        self.weather.changed = self._changed
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        for crossing in list(self.crossings):
            crossing.abort()
        for server in self._servers:
            await server.wait_closed()

    def _accepting(self, node: str, port: int) -> Callable[[], asyncio.Protocol]:
        return lambda: Crossing(self, node, port).near

    def _changed(self) -> None:
        for crossing in list(self.crossings):
            crossing.weather_changed()


class Crossing:
    """One connection through the proxy: the side that dialed, and the side of the node."""

    def __init__(self, proxy: Proxy, node: str, port: int) -> None:
        self._proxy, self._node, self._port = proxy, node, port
        self.near, self.far = Side(self), Side(self)
        self.near.other, self.far.other = self.far, self.near
        self._greeter = HelloDecoder()
        self._said = b""
        self._dialing: asyncio.Task[None] | None = None
        proxy.crossings[self] = None

    def arrived(self, side: "Side", data: bytes) -> None:
        """Bytes of one side; until the dialer is known they wait here."""
        if side.flow is not None:
            side.take_in(data)
            return
        self._said += data
        try:
            hello = self._greeter.feed(data) if self._dialing is None else None
        except ProtocolViolation:
            self.abort()
            return
        if isinstance(hello, Hello):
            self._dialing = asyncio.get_running_loop().create_task(self._dial(hello))

    def weather_changed(self) -> None:
        """Break if the way is cut now; else let pass what may pass now."""
        for side in (self.near, self.far):
            if side.flow is not None and side.flow.way.cut:
                self.abort()
                return
        for side in (self.near, self.far):
            side.pump()

    def abort(self) -> None:
        """Reset both sides."""
        self._proxy.crossings.pop(self, None)
        if self._dialing is not None:
            self._dialing.cancel()
        for side in (self.near, self.far):
            side.abort()

    def ended(self) -> None:
        """Both sides are gone."""
        self._proxy.crossings.pop(self, None)

    async def _dial(self, hello: Hello) -> None:
        """Connect to the node, now that it is known for whom."""
        dialer = CLIENTS if hello.role == "client" else hello.name
        weather = self._proxy.weather
        to, back = weather.way(dialer, self._node), weather.way(self._node, dialer)
        if to.cut or back.cut:
            self.abort()
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.far, HOST, self._port)
        except OSError:
            self.abort()
            return
        if self.far.has_ended:
            self.abort()
            return
        self.near.flow, self.far.flow = Flow(to), Flow(back)
        said, self._said = self._said, b""
        self.near.take_in(said)


class Side(asyncio.Protocol):
    """One of the two connections of a crossing."""

    other: "Side"

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._transport: asyncio.Transport | None = None
        self.flow: Flow | None = None
        """What came in here, on its way to the other side."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_blocked = self._is_paused = self._was_reset = False
        self.has_ended = self.is_lost = False
        """`has_ended`: it will say no more. `is_lost`: it is gone."""
        self._is_finished = False
        """Whether it was told that the other side has ended."""

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes for the other side."""
        self._crossing.arrived(self, data)

    def eof_received(self) -> bool:
        """No more from here; the other direction lives on."""
        self.has_ended = True
        self._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """This side is gone: closed, or reset."""
        self.has_ended = self.is_lost = True
        self._was_reset = exc is not None
        self._end()
        if self.other.is_lost or self.other._transport is None:
            self._crossing.ended()

    def pause_writing(self) -> None:
        """Who listens here is too slow."""
        self._is_blocked = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_blocked = False
        self.other.pump()

    # the crossing's side

    def take_in(self, data: bytes) -> None:
        """Put bytes under way; empty ones are the end."""
        assert self.flow is not None, "the dialer is known"
        self.flow.push(data, asyncio.get_running_loop().time())
        self.pump()

    def pump(self) -> None:
        """Hand on what may go on now, and see to the rest."""
        flow, other = self.flow, self.other
        if flow is None or other._is_blocked:
            return
        now = asyncio.get_running_loop().time()
        data, ended = flow.take(now)
        if data and other._transport is not None and not other.is_lost:
            other._transport.write(data)
        if ended:
            other.finish(self._was_reset, self.is_lost)
        self._throttle(flow)
        self._wait(flow.due(), now)

    def finish(self, was_reset: bool, is_lost: bool) -> None:
        """The other side has ended: so does this one, in the same way."""
        transport = self._transport
        self._is_finished = True
        if transport is None or transport.is_closing():
            return
        if was_reset:
            transport.abort()
        elif is_lost:
            transport.close()
        else:
            with suppress(OSError):  # it was reset meanwhile, of which we are about to hear
                transport.write_eof()
            self.close_if_over()
            self.other.close_if_over()

    def close_if_over(self) -> None:
        """Close once both directions have ended."""
        if self._is_finished and self.has_ended and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Reset this side."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        if self.flow is not None:
            self.take_in(b"")
        elif self._crossing.near is self:
            self._crossing.abort()

    def _throttle(self, flow: Flow) -> None:
        transport = self._transport
        if transport is None or self.is_lost or transport.is_closing():
            return
        if flow.is_full != self._is_paused:
            self._is_paused = flow.is_full
            if self._is_paused:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _wait(self, due: float | None, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(due, now), self.pump)
