"""Frames: how messages lie on a connection, all of one loop tick together.

    frame   = length (4 bytes, big-endian) + format (1 byte) + body
    length  = 1 + len(body)
    body    = msgpack array of messages
    message = msgpack array [kind, ...], kind an integer: 0-9 for the link, from 10 for others

Law: whatever the cut of the bytes, decode(encode(messages)) == messages; and for any other bytes
`feed` raises ProtocolViolation or waits for more, never anything else.

There is no checksum here. TCP has one, records carry their own digest from the writer to every
disk and back, and a CRC-32 costs 0.24-0.46 µs per KiB at each end (measured with zlib), where a
whole 1 KiB message costs about 1 µs.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgpack

from dynamo.errors import ProtocolViolation, ValueTooLarge

Message = tuple[Any, ...]
"""One message, its kind first. What follows is for the codec of that kind to judge."""

FRAME_FORMAT: Final = 1
HEADER_BYTES: Final = 5
KIND_APPLICATION_MIN: Final = 10
"""Kinds below it belong to the link itself."""

FRAME_BYTES_TARGET: Final = 1 << 20
"""A frame is closed when the next message would take it beyond. Higher: fewer, longer frames and
longer stalls behind one; lower: more system calls under load. A single message may exceed it."""

FRAME_BYTES_MAX: Final = 24 << 20
"""No frame is longer. Above the largest legal record (8 MiB) with room for merged ones; a higher
value lets one peer hold that much memory here, a lower one refuses large merged records."""

ELEMENTS_MAX: Final = 1 << 16
"""The most elements of one array or map, and of messages in a frame: five bytes may claim 2³²."""

_ARRAY_HEADER_BYTES: Final = 5
_FORMAT_BYTE: Final = bytes((FRAME_FORMAT,))

_packer = msgpack.Packer(autoreset=True)
_unpackb = msgpack.unpackb


def pack_message(message: Message) -> bytes:
    """The message's bytes, once for however many peers it goes to."""
    packed: bytes = _packer.pack(message)
    return packed


class FrameEncoder:
    """Packed messages in, frames out; each frame is copied once."""

    __slots__ = ("_message_bytes_max", "_target")

    def __init__(
        self, frame_bytes_max: int = FRAME_BYTES_MAX, frame_bytes_target: int = FRAME_BYTES_TARGET
    ) -> None:
        assert frame_bytes_target <= frame_bytes_max < 1 << 32, "target <= max < 4 GiB"
        self._message_bytes_max = frame_bytes_max - HEADER_BYTES - _ARRAY_HEADER_BYTES
        self._target = frame_bytes_target

    @property
    def message_bytes_max(self) -> int:
        """The longest packed message that fits in a frame."""
        return self._message_bytes_max

    def frames(self, packed: Sequence[bytes], size: int) -> list[bytes]:
        """The frames that carry `packed`, in order; `size` is the sum of their lengths.

        Raises ValueTooLarge if a message fits in no frame.
        """
        if size <= self._target and len(packed) <= ELEMENTS_MAX:
            return [_frame(packed, size)]
        return [_frame(part, sum(map(len, part))) for part in self._parts(packed)]

    def _parts(self, packed: Sequence[bytes]) -> list[list[bytes]]:
        parts: list[list[bytes]] = [[]]
        part_bytes = 0
        for data in packed:
            if len(data) > self._message_bytes_max:
                raise too_large(len(data), self._message_bytes_max)
            part = parts[-1]
            if part and (part_bytes + len(data) > self._target or len(part) == ELEMENTS_MAX):
                parts.append([])
                part_bytes = 0
            parts[-1].append(data)
            part_bytes += len(data)
        return parts


class FrameDecoder:
    """Bytes in, messages out; bytes of an unfinished frame are kept, at most one frame's.

    After a ProtocolViolation the decoder is of no more use: nobody knows where a frame begins.
    """

    __slots__ = ("_frame_bytes_max", "_needed", "_rest", "frames")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._rest = bytearray()
        self._needed = HEADER_BYTES
        self.frames = 0
        """Frames decoded so far."""

    @property
    def buffered_bytes(self) -> int:
        """What is kept of an unfinished frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes, in order. Raises ProtocolViolation only."""
        rest = self._rest
        if rest:
            rest += data  # amortized: a large frame in small pieces is not copied at each
            if len(rest) < self._needed:
                return []
            self._rest = bytearray()
            return self._take(rest)
        return self._take(data)

    def _take(self, data: bytes | bytearray) -> list[Message]:
        messages: list[Message] = []
        view, offset, end = memoryview(data), 0, len(data)
        self._needed = HEADER_BYTES
        while end - offset >= HEADER_BYTES:
            stop = offset + 4 + self._checked_length(view, offset)
            if stop > end:
                self._needed = stop - offset
                break
            messages += _unpack(view[offset + HEADER_BYTES : stop])
            self.frames += 1
            offset = stop
        if offset < end:
            self._rest += view[offset:]
        return messages

    def _checked_length(self, view: memoryview, offset: int) -> int:
        length = int.from_bytes(view[offset : offset + 4], "big")
        if view[offset + 4] != FRAME_FORMAT:
            raise ProtocolViolation(
                f"frame format {view[offset + 4]} is not known here, only {FRAME_FORMAT}"
            )
        if length < 2:
            raise ProtocolViolation(f"a frame of length {length} has no body")
        if length + 4 > self._frame_bytes_max:
            raise ProtocolViolation(
                f"a frame of {length + 4} bytes is over the maximum of {self._frame_bytes_max}"
            )
        return length


def too_large(size: int, size_max: int) -> ValueTooLarge:
    """The error of a message that fits in no frame."""
    return ValueTooLarge(f"a message of {size} bytes is over the maximum of {size_max}")


def _frame(packed: Sequence[bytes], size: int) -> bytes:
    count = len(packed)
    if count < 16:
        array = bytes((0x90 | count,))
    elif count < 1 << 16:
        array = b"\xdc" + count.to_bytes(2, "big")
    else:
        array = b"\xdd" + count.to_bytes(4, "big")
    length = (1 + len(array) + size).to_bytes(4, "big")
    return b"".join((length, _FORMAT_BYTE, array, *packed))


def _unpack(body: memoryview) -> tuple[Message, ...]:
    try:
        batch = _unpackb(
            body,
            use_list=False,
            strict_map_key=False,
            max_array_len=ELEMENTS_MAX,
            max_map_len=ELEMENTS_MAX,
            max_ext_len=0,
            ext_hook=_refuse_extension,
        )
    except Exception as wrong:  # msgpack has no root exception: some are ValueError, some are not
        raise ProtocolViolation(f"a frame's body is not msgpack: {_told(wrong)}") from wrong
    if type(batch) is not tuple:
        raise ProtocolViolation(f"a frame's body is not an array but {type(batch).__name__}")
    for message in batch:
        if type(message) is not tuple or not message or type(message[0]) is not int:
            raise ProtocolViolation("a message is not an array that begins with its kind")
    return batch


def _refuse_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code} is not used here")


def _told(wrong: Exception) -> str:
    return f"{type(wrong).__name__} {str(wrong)[:200]}".rstrip()
