"""Endpoints: the one spot where listeners and connections are made.

Security will go here: `listen` and `dial` take TLS contexts then, and nothing else in the product
opens a socket for frames. Until then the network must be trusted; the default host is loopback.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final

from dynamo.wire.handshake import Hello
from dynamo.wire.limits import LinkLimits
from dynamo.wire.link import Callbacks, Link

LOOPBACK: Final = "127.0.0.1"
ACCEPT_BACKLOG: Final = 256


class LinkSet:
    """All links of one process: one bound, one keepalive timer, one goodbye.

    async with LinkSet(callbacks, limits) as links:
        port = await links.listen("127.0.0.1", 7400)
        link = await links.dial("127.0.0.1", 7401)
    """

    def __init__(self, callbacks: Callbacks, limits: LinkLimits | None = None) -> None:
        self.limits = limits or LinkLimits()
        self.accepted: dict[Link, None] = {}
        """In the order in which they came (as are the dialed ones)."""
        self.dialed: dict[Link, None] = {}
        self._callbacks = callbacks._replace(on_lost=self._lost)
        self._on_lost = callbacks.on_lost
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    async def __aenter__(self) -> "LinkSet":
        self._loop = asyncio.get_running_loop()
        self._beaten_at = self._loop.time()
        self._timer = self._loop.call_later(self.limits.ping_interval_ms / 1000, self._beat)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close("shutting down")

    async def listen(self, host: str = LOOPBACK, port: int = 0) -> int:
        """Accept links there; returns the port, chosen by the system if it was 0."""
        server = await asyncio.get_running_loop().create_server(
            self._accepting, host, port, backlog=ACCEPT_BACKLOG
        )
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def dial(self, host: str, port: int, hello: Hello | None = None) -> Link:
        """An open link, its `on_open` already called; `hello` is ours if it is for this peer only.

        Raises OSError (nobody there: TimeoutError, ConnectionRefusedError, ...; a refusal or an
        early goodbye: ConnectionError with its words) or ProtocolViolation (not one of us). In
        these cases too `on_lost` is called if a connection was made.
        """
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Link] = loop.create_future()
        link = Link(self._dialing(opened, hello), self.limits, dialing=True, among=self.dialed)
        try:
            async with asyncio.timeout(self.limits.handshake_timeout_ms / 1000):
                await loop.create_connection(lambda: link, host, port)
                return await opened
        except BaseException as error:
            opened.cancel()
            if link in self.dialed:
                link.abort("dialing was given up")
            if opened.done() and not opened.cancelled():
                opened.exception()  # taken note of, lest the loop complain
            if isinstance(error, UnicodeError):  # a label that is empty or too long
                raise OSError(f"no host can have this name: {error}") from error
            raise

    async def close(self, reason: str) -> None:
        """Say goodbye on every link, and wait until all are gone (bounded by their timeout)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for server in self._servers:
            server.close()
        while self.accepted or self.dialed:
            for link in [*self.accepted, *self.dialed]:
                link.close(reason)
            self._emptied.clear()
            # A connection that was just being made is only found in the next round.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.limits.goodbye_timeout_ms / 1000):
                    await self._emptied.wait()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    def _accepting(self) -> Link:
        return Link(self._callbacks, self.limits, dialing=False, among=self.accepted)

    def _dialing(self, opened: "asyncio.Future[Link]", hello: Hello | None) -> Callbacks:
        callbacks = self._callbacks

        def on_open(link: Link, theirs: Hello) -> None:
            callbacks.on_open(link, theirs)
            if not opened.done():
                opened.set_result(link)

        def on_lost(link: Link, reason: str | None) -> None:
            if not opened.done():
                ended = ConnectionError(reason or "the other side left during the handshake")
                opened.set_exception(link.violation or ended)
            callbacks.on_lost(link, reason)

        ours = callbacks.hello if hello is None else lambda _: hello
        return callbacks._replace(hello=ours, on_open=on_open, on_lost=on_lost)

    def _lost(self, link: Link, reason: str | None) -> None:
        self._on_lost(link, reason)
        if not self.accepted and not self.dialed:
            self._emptied.set()

    def _beat(self) -> None:
        """One timer for all links, so that an idle process with many of them stays idle."""
        interval_ms = self.limits.ping_interval_ms
        now = self._loop.time()
        # If we ourselves stood still, our peers' words are in the sockets, unread: a long step of
        # the clock counts as one interval, lest our own pause look like everybody's silence.
        elapsed_ms = min((now - self._beaten_at) * 1000, interval_ms)
        self._beaten_at = now
        for link in [*self.accepted, *self.dialed]:
            link.beat(elapsed_ms)
        self._shed()
        self._timer = self._loop.call_later(interval_ms / 1000, self._beat)

    def _shed(self) -> None:
        """While all clients together hold too much here, cut off the one that holds most."""
        held = {link: link.held_bytes for link in self.accepted if link.is_client}
        excess = sum(held.values()) - self.limits.clients_bytes_max
        for link in sorted(held, key=held.__getitem__, reverse=True):
            if excess <= 0:
                return
            link.abort("all clients together hold more than clients_bytes_max, this one most")
            excess -= held[link]
