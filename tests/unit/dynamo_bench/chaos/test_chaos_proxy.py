"""The proxy knows who dials, and what it does to their bytes happens on real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from dynamo.wire import Hello, encode_hello
from dynamo_bench.chaos.flow import WAITING_BYTES_MAX
from dynamo_bench.chaos.proxy import HOST, Proxy
from dynamo_bench.chaos.weather import CLIENTS, Weather

N1 = encode_hello(Hello("node", "n1", b"cluster", durability="fsync"))
CLIENT = encode_hello(Hello("client", "python 1", b""))
PATIENCE_S = 5.0


class Behind:
    """A node of sorts behind the proxy: keeps what it is told, says what a test wants."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Behind":
        self.server = await asyncio.start_server(self._accepted, HOST, 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.front = free_port()
        self.weather = Weather(["n1", "n2"])
        self.proxy = Proxy(self.weather, {"n2": (self.front, self.port)})
        await self.proxy.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.proxy.__aexit__(None, None, None)
        self.server.close()
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):  # the proxy may have reset it
                await writer.wait_closed()
        await self.server.wait_closed()

    async def dial(self, hello: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Through the front."""
        reader, writer = await asyncio.open_connection(HOST, self.front)
        self._writers.append(writer)
        writer.write(hello)
        return reader, writer

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self.connections.put((reader, writer))


@pytest.fixture
async def behind() -> AsyncIterator[Behind]:
    async with Behind() as made, asyncio.timeout(PATIENCE_S):
        yield made


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


async def test_bytes_pass_both_ways(behind: Behind) -> None:
    reader, writer = await behind.dial(N1)
    there, back = await behind.connections.get()
    assert await there.readexactly(len(N1)) == N1
    writer.write(b"question")
    assert await there.readexactly(8) == b"question"
    back.write(b"answer")
    assert await reader.readexactly(6) == b"answer"


async def test_what_is_held_is_delivered_when_the_weather_clears(behind: Behind) -> None:
    reader, writer = await behind.dial(N1)
    there, back = await behind.connections.get()
    await there.readexactly(len(N1))
    behind.weather.way("n1", "n2").held = True
    behind.weather.changed()
    writer.write(b"held")
    back.write(b"passes")
    assert await reader.readexactly(6) == b"passes"
    assert there._buffer == b""  # type: ignore[attr-defined]
    behind.weather.clear()
    assert await there.readexactly(4) == b"held"


async def test_a_way_is_of_one_pair_only(behind: Behind) -> None:
    behind.weather.way("n1", "n2").cut = True
    behind.weather.changed()
    reader, _ = await behind.dial(N1)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    _, writer = await behind.dial(CLIENT)
    there, _ = await behind.connections.get()
    assert await there.readexactly(len(CLIENT)) == CLIENT
    writer.close()


async def test_a_cut_resets_what_is_open(behind: Behind) -> None:
    reader, _ = await behind.dial(CLIENT)
    there, _ = await behind.connections.get()
    await there.readexactly(len(CLIENT))
    behind.weather.way("n2", CLIENTS).cut = True
    behind.weather.changed()
    for side in (reader, there):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await side.readexactly(1)
    assert not behind.proxy.crossings


async def test_an_end_is_passed_on_and_the_other_direction_lives(behind: Behind) -> None:
    reader, writer = await behind.dial(N1)
    there, back = await behind.connections.get()
    writer.write_eof()
    assert await there.read() == N1
    back.write(b"last words")
    back.close()
    assert await reader.read() == b"last words"
    while behind.proxy.crossings:
        await asyncio.sleep(0)


async def test_the_end_of_a_held_direction_is_learned_when_the_hold_ends(behind: Behind) -> None:
    _, writer = await behind.dial(N1)
    there, _ = await behind.connections.get()
    await there.readexactly(len(N1))
    behind.weather.way("n1", "n2").held = True
    behind.weather.changed()
    writer.close()
    await writer.wait_closed()
    assert not there.at_eof()
    behind.weather.clear()
    assert await there.read() == b""


async def test_who_says_no_hello_is_sent_away(behind: Behind) -> None:
    reader, _ = await behind.dial(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    assert behind.connections.empty()


async def test_a_dead_node_is_told_by_the_end_of_the_connection(behind: Behind) -> None:
    behind.server.close()
    await behind.server.wait_closed()
    reader, _ = await behind.dial(N1)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)


async def test_a_held_direction_pushes_back_on_its_sender(behind: Behind) -> None:
    _, writer = await behind.dial(N1)
    there, _ = await behind.connections.get()
    await there.readexactly(len(N1))
    behind.weather.way("n1", "n2").held = True
    behind.weather.changed()
    (crossing,) = behind.proxy.crossings
    flow = crossing.near.flow
    assert flow is not None
    piece = b"x" * WAITING_BYTES_MAX
    while not flow.is_full:
        writer.write(piece)
        await asyncio.sleep(0)
    at_most = 2 * WAITING_BYTES_MAX + (1 << 20)
    for _ in range(200):
        await asyncio.sleep(0)
    assert flow.waiting_bytes <= at_most
    behind.weather.clear()
    assert await there.readexactly(len(piece)) == piece
    writer.transport.abort()
