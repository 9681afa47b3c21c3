"""The yardstick's connections: msgpack messages, everything of one loop tick in one write.

A request is (number, verb, key, value), its reply (number, value). One side of a connection only
asks, the other only answers, so a message needs no mark of what it is.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgpack

Done = Callable[[Any], object]


STORE, FETCH, PUT, GET = range(4)
"""What is asked: of a replica about its own store, or of a coordinator about all.

Plain numbers, because a member of an enumeration costs more to look up than the whole comparison.
"""


class Wire(asyncio.Protocol):
    """Either end of a connection; `received` is given every message of a read, in order."""

    def __init__(self, received: "Callable[[Wire, Iterator[Any]], None]") -> None:
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._incoming = msgpack.Unpacker(strict_map_key=False, max_buffer_size=1 << 28)
        self._outgoing = msgpack.Packer(autoreset=False)
        self._flush_due = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._incoming.feed(data)
        self._received(self, self._incoming)

    def send(self, message: tuple[Any, ...]) -> None:
        """Queue a message for the end of this loop tick."""
        self._outgoing.pack(message)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._transport.write(self._outgoing.bytes())
        self._outgoing.reset()


class Asker:
    """The asking end: remembers who waits for which reply."""

    def __init__(self) -> None:
        self._waiting: dict[int, Done] = {}
        self._number = 0

    async def connect(self, port: int) -> None:
        """Open the connection; repeats until the other side listens."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, self._wire = await loop.create_connection(
                    lambda: Wire(self._answered), "127.0.0.1", port
                )
                return
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)

    def ask(self, verb: int, key: bytes, value: bytes | None, done: Done) -> None:
        """Send a request; `done` gets the reply's value."""
        self._number = number = self._number + 1
        self._waiting[number] = done
        self._wire.send((number, verb, key, value))

    def _answered(self, _: Wire, replies: Iterator[Any]) -> None:
        claim = self._waiting.pop
        for number, value in replies:
            claim(number)(value)
