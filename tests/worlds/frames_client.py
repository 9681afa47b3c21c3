"""A client without manners: says whatever a test wants on a node's frames port, and listens.

async with FramesClient(port) as client:
    answer = await client.ask(message)      # the answer with the message's id
    await client.say(b"any bytes")
    assert "malformed" in await client.farewell()
"""

import asyncio
import time
from itertools import count
from types import TracebackType
from typing import Any

import msgpack

from dynamo.messages import GET, PUT, Get, Message, Put, parse
from dynamo.siblings.record import operation_id
from dynamo.types import TableId
from dynamo.wire import FrameDecoder, FrameEncoder, Hello, HelloDecoder, Refusal, encode_hello
from dynamo.wire.frames import FRAME_FORMAT
from dynamo.wire.link import KIND_GOODBYE, KIND_PING, KIND_PONG

ANSWER_S = 10.0
CART, SESSION, CATALOG = TableId(1), TableId(2), TableId(3)
CLIENT = Hello("client", "a test", b"")


def framed(body: bytes, form: int = FRAME_FORMAT) -> bytes:
    """A frame of any bytes, which says nothing of when it was sent."""
    return (5 + len(body)).to_bytes(4, "big") + bytes((form, 0, 0, 0, 0)) + body


class FramesClient:
    """One connection. Pings are answered as long as somebody waits for an answer."""

    def __init__(self, port: int, hello: Hello | None = CLIENT) -> None:
        """`hello` None: nothing is said at first."""
        self._port, self._hello = port, hello
        self._decoder, self._encoder = FrameDecoder(), FrameEncoder()
        self._waiting: list[tuple[Any, ...]] = []
        self._ids = count(1)
        self.theirs: Hello | Refusal | None = None

    async def __aenter__(self) -> "FramesClient":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        if self._hello is not None:
            self._writer.write(encode_hello(self._hello))
            self.theirs, rest = await self.greeting()
            self._waiting += self._decoder.feed(rest)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()

    async def greeting(self) -> tuple[Hello | Refusal | None, bytes]:
        """What the node says first, and the bytes behind it; None if it says nothing."""
        decoder = HelloDecoder()
        async with asyncio.timeout(ANSWER_S):
            while data := await self._reader.read(1 << 16):
                if (theirs := decoder.feed(data)) is not None:
                    return theirs, decoder.rest
        return None, b""

    def say(self, data: bytes) -> None:
        """Any bytes."""
        self._writer.write(data)

    def send(self, *messages: Any) -> None:
        """A frame of messages, or of what is none."""
        self._writer.writelines(self._encoder.frames([*messages], False))

    async def ask(self, message: Any) -> Any:
        """Send a message under an id of its own; its answer."""
        id = next(self._ids)
        self.send(message._replace(id=id))
        async with asyncio.timeout(ANSWER_S):
            while True:
                answer = await self.next()
                assert answer is not None, "the node hung up"
                if answer.id == id:  # type: ignore[union-attr]
                    return answer

    async def next(self) -> Message | None:
        """The next message of the store; None at the end."""
        while (raw := await self._raw()) is not None:
            if raw[0] == KIND_PING:
                self.send((KIND_PONG,))
            elif raw[0] != KIND_PONG:
                return None if raw[0] == KIND_GOODBYE else parse(raw)
        return None

    async def farewell(self) -> str:
        """The words with which the node ends the connection; empty if it ended without any."""
        async with asyncio.timeout(ANSWER_S):
            while (raw := await self._raw()) is not None:
                if raw[0] == KIND_GOODBYE:
                    return str(raw[1])
        return ""

    async def _raw(self) -> tuple[Any, ...] | None:
        while not self._waiting:
            try:
                data = await self._reader.read(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self._waiting += self._decoder.feed(data)
        return self._waiting.pop(0)


def put(key: bytes, value: bytes | None = b"\xa1v", /, **changes: Any) -> Put:
    """A write of a new operation."""
    stamp = (time.time_ns() // 1_000_000) << 16
    operation = operation_id(stamp, 99, next(_sequence))
    message = Put(PUT, 0, 5000, 0, CART, key, b"", None, value, operation, 0)
    return message._replace(**changes)


def get(key: bytes, /, **changes: Any) -> Get:
    """A read."""
    return Get(GET, 0, 5000, 0, CART, key, b"", 0)._replace(**changes)


def packed(value: Any) -> bytes:
    """As the default codec of the client has it."""
    data: bytes = msgpack.packb(value)
    return data


_sequence = count(1)
