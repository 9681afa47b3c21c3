"""What the other side can make this one hold is bounded: by link, by all clients, and in time."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from frames_client import framed

from dynamo.wire import Callbacks, Hello, Link, LinkLimits, LinkSet, Message
from dynamo.wire.handshake import encode_hello

NODE = Hello("node", "n1", b"\x01", incarnation="a", boot=1, durability="fsync")
CLIENT = Hello("client", "cart", b"")
MIB = 1 << 20


class Server:
    """A node's side of links: who came, what they sent, why they went."""

    def __init__(self, limits: LinkLimits) -> None:
        self.opened: asyncio.Queue[Link] = asyncio.Queue()
        self.lost: asyncio.Queue[str | None] = asyncio.Queue()
        self.messages: list[Message] = []
        self.links = LinkSet(
            Callbacks(
                lambda _: NODE,
                lambda link, _: self.opened.put_nowait(link),
                lambda _, messages: self.messages.extend(messages),
                lambda _, reason: self.lost.put_nowait(reason),
            ),
            limits,
        )


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def started(stack: AsyncExitStack, limits: LinkLimits) -> tuple[Server, int]:
    server = Server(limits)
    await stack.enter_async_context(server.links)
    return server, await server.links.listen()


async def deaf_client(stack: AsyncExitStack, port: int) -> socket.socket:
    """A client that says hello and then reads nothing."""
    client = socket.socket()
    stack.callback(client.close)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, encode_hello(CLIENT))
    return client


async def soon(awaitable: object) -> object:
    return await asyncio.wait_for(awaitable, 5)  # type: ignore[arg-type]


async def test_heavy_messages_of_one_tick_are_cut_at_the_budget(stack: AsyncExitStack) -> None:
    limits = LinkLimits(outgoing_bytes_max=32 * MIB, goodbye_timeout_ms=200)
    server, port = await started(stack, limits)
    await deaf_client(stack, port)
    link = await soon(server.opened.get())
    assert isinstance(link, Link)
    most = 0
    for _ in range(250):  # fewer than an outbox takes
        link.send((10, bytes(MIB)), MIB)
        most = max(most, link.held_bytes)
    assert not link.is_open
    assert most <= 34 * MIB
    assert await soon(server.lost.get()) == "send budget exceeded"


async def test_of_many_clients_the_one_that_holds_most_goes(stack: AsyncExitStack) -> None:
    limits = LinkLimits(
        outgoing_bytes_max=32 * MIB,
        clients_bytes_max=45 * MIB,
        ping_interval_ms=20,
        goodbye_timeout_ms=200,
    )
    server, port = await started(stack, limits)
    links = []
    for parts in (2, 3, 2):  # less what the system takes
        await deaf_client(stack, port)
        link = await soon(server.opened.get())
        assert isinstance(link, Link)
        for _ in range(parts):
            link.send((10, bytes(10 * MIB)))
        links.append(link)
    assert "clients_bytes_max" in str(await soon(server.lost.get()))
    assert [link.is_open for link in links] == [True, False, True]


@pytest.mark.parametrize("trickles", [False, True])
async def test_a_client_without_a_request_is_closed(stack: AsyncExitStack, trickles: bool) -> None:
    """It answers pings, or sends a frame byte by byte: neither is a request."""
    limits = LinkLimits(ping_interval_ms=20, client_idle_timeout_ms=150, goodbye_timeout_ms=100)
    server, port = await started(stack, limits)
    client = await deaf_client(stack, port)
    await soon(server.opened.get())
    loop = asyncio.get_running_loop()
    frame = (1 << 20).to_bytes(4, "big") + b"\x02" + bytes(1004)
    pong = framed(b"\x91\x91\x02")
    lost = asyncio.ensure_future(server.lost.get())
    said = 0
    while not lost.done():
        try:
            data = frame[said : said + 1] if trickles else pong
            await loop.sock_sendall(client, data)
        except OSError:
            break
        said += 1
        await asyncio.wait([lost], timeout=0.01)
    assert "no request within 150 ms" in str(await soon(lost))
    assert server.messages == []


@pytest.mark.slow
async def test_a_client_with_requests_stays(stack: AsyncExitStack) -> None:
    limits = LinkLimits(ping_interval_ms=20, client_idle_timeout_ms=400, idle_timeout_ms=9000)
    server, port = await started(stack, limits)
    client = await deaf_client(stack, port)
    await soon(server.opened.get())
    loop = asyncio.get_running_loop()
    until = loop.time() + 1.2
    lost = asyncio.ensure_future(server.lost.get())
    while loop.time() < until:
        await loop.sock_sendall(client, framed(b"\x91\x91\x0a"))
        await asyncio.wait([lost], timeout=0.02)
    assert not lost.done()
    assert server.messages
    lost.cancel()
