"""Frames: how messages lie on a connection, all of one loop tick together.

    frame   = length (4 bytes, big-endian) + format (1 byte) + stamp (4 bytes) + body
    length  = 5 + len(body)
    stamp   = when it was sent, in ms of the sender's own clock, or 0 (dynamo.wire.ages)
    body    = msgpack array of messages
    message = msgpack array [kind, ...], kind an integer: 0-9 for the link, from 10 for others

Law: whatever the cut of the bytes, decode(encode(messages)) == messages; and for any other bytes
`feed` raises ProtocolViolation or waits for more, never anything else.

There is no checksum here. TCP has one, records carry their own digest from the writer to every
disk and back, and a CRC-32 costs 0.24-0.46 µs per KiB at each end (measured with zlib), where a
whole 1 KiB message costs about 1 µs.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

import msgpack

from dynamo.errors import ProtocolViolation, ValueTooLarge

Message = tuple[Any, ...]
"""One message, its kind first. What follows is for the codec of that kind to judge."""

FRAME_FORMAT: Final = 2
HEADER_BYTES: Final = 9
_BEHIND_LENGTH: Final = HEADER_BYTES - 4
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

_pack = msgpack.Packer(autoreset=True).pack
_unpackb = msgpack.unpackb
_read_header = Struct(">IBI").unpack_from
_write_header = Struct(">IBI").pack


def pack_message(message: Message) -> bytes:
    """The message's bytes, once for however many peers it goes to."""
    packed: bytes = _pack(message)
    return packed


class FrameEncoder:
    """Messages in, frames out, as buffers for one `writelines`: two for each frame."""

    __slots__ = ("_target", "message_bytes_max")

    def __init__(
        self, frame_bytes_max: int = FRAME_BYTES_MAX, frame_bytes_target: int = FRAME_BYTES_TARGET
    ) -> None:
        assert frame_bytes_target <= frame_bytes_max < 1 << 32, "target <= max < 4 GiB"
        self._target = frame_bytes_target
        self.message_bytes_max = frame_bytes_max - HEADER_BYTES - _ARRAY_HEADER_BYTES
        """The longest packed message that fits in a frame."""

    def frames(
        self, messages: Sequence[Message | bytes], some_packed: bool, stamp: int = 0
    ) -> list[bytes]:
        """The frames that carry `messages` (bytes: packed already, if `some_packed`), in order,
        sent at `stamp`.

        Raises ValueTooLarge if a message fits in no frame, and what msgpack raises for values
        that it cannot pack; then nothing is encoded.
        """
        if not some_packed and len(messages) <= ELEMENTS_MAX:
            # One call for the whole tick costs 0.6 of one call for each message.
            body = _pack(messages)
            if len(body) <= self._target:
                return [_header(len(body), stamp), body]
        packed = [data if type(data) is bytes else _pack(data) for data in messages]
        buffers: list[bytes] = []
        for part in self._parts(packed):
            body = b"".join(part)
            array = _array_header(len(part))
            buffers += (_header(len(array) + len(body), stamp) + array, body)
        return buffers

    def _parts(self, packed: list[bytes]) -> list[list[bytes]]:
        if sum(map(len, packed)) <= self._target and len(packed) <= ELEMENTS_MAX:
            return [packed]
        parts: list[list[bytes]] = [[]]
        part_bytes = 0
        for data in packed:
            if len(data) > self.message_bytes_max:
                raise too_large(len(data), self.message_bytes_max)
            if parts[-1] and (
                part_bytes + len(data) > self._target or len(parts[-1]) == ELEMENTS_MAX
            ):
                parts.append([])
                part_bytes = 0
            parts[-1].append(data)
            part_bytes += len(data)
        return parts


class FrameDecoder:
    """Bytes in, messages out; bytes of an unfinished frame are kept, at most one frame's.

    After a ProtocolViolation the decoder is of no more use: nobody knows where a frame begins.
    """

    __slots__ = ("_length_max", "_needed", "_rest", "cuts", "frames", "has_control", "stamp")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._length_max = frame_bytes_max - 4
        self._rest = bytearray()
        self._needed = HEADER_BYTES
        self.frames = 0
        """Frames decoded so far."""
        self.has_control = False
        """Whether the last `feed` brought messages of the link's own kinds."""
        self.stamp = 0
        """Of the first frame that the last `feed` completed, if any."""
        self.cuts: list[tuple[int, int]] = []
        """Where the later frames of the last `feed` begin among its messages, and their stamps."""

    @property
    def buffered_bytes(self) -> int:
        """What is kept of an unfinished frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes, in order. Raises ProtocolViolation only."""
        self.has_control = False
        if self.cuts:
            self.cuts = []
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
            length, form, stamp = _read_header(data, offset)
            if form != FRAME_FORMAT or not _BEHIND_LENGTH < length <= self._length_max:
                raise self._wrong_header(length, form)
            stop = offset + 4 + length
            if stop > end:
                self._needed = stop - offset
                break
            batch = _unpack(view[offset + HEADER_BYTES : stop])
            if not _plain(batch):
                self.has_control = _checked_control(batch) or self.has_control
            if messages:
                self.cuts.append((len(messages), stamp))
            else:
                self.stamp = stamp
            messages += batch
            self.frames += 1
            offset = stop
        if offset < end:
            self._rest += view[offset:]
        return messages

    def _wrong_header(self, length: int, form: int) -> ProtocolViolation:
        if form != FRAME_FORMAT:
            return ProtocolViolation(f"frame format {form} is not known here, only {FRAME_FORMAT}")
        if length <= _BEHIND_LENGTH:
            return ProtocolViolation(f"a frame of length {length} has no body")
        return ProtocolViolation(
            f"a frame of {length + 4} bytes is over the maximum of {self._length_max + 4}"
        )


def too_large(size: int, size_max: int) -> ValueTooLarge:
    """The error of a message that fits in no frame."""
    return ValueTooLarge(f"a message of {size} bytes is over the maximum of {size_max}")


def _header(body_bytes: int, stamp: int) -> bytes:
    return _write_header(_BEHIND_LENGTH + body_bytes, FRAME_FORMAT, stamp)


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def _unpack(body: memoryview) -> tuple[Any, ...]:
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
    return batch


def _plain(batch: tuple[Any, ...]) -> bool:
    """Whether all are well-formed messages of application kinds, at 40 ns each."""
    for message in batch:
        if type(message) is not tuple or not message:
            return False
        kind = message[0]
        if type(kind) is not int or kind < KIND_APPLICATION_MIN:
            return False
    return True


def _checked_control(batch: tuple[Any, ...]) -> bool:
    for message in batch:
        if type(message) is not tuple or not message or type(message[0]) is not int:
            raise ProtocolViolation("a message is not an array that begins with its kind")
    return True


def _refuse_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code} is not used here")


def _told(wrong: Exception) -> str:
    return f"{type(wrong).__name__} {str(wrong)[:200]}".rstrip()
