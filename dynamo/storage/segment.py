r"""A log segment's bytes: a header block, then groups of writes, each at a sector's start.

    | header block, 512 bytes | group | ... | group | zeros, or groups of an older generation |

    group  =  magic (4) · generation (8) · number (8) · synced (8) · length (4) · checksum (4)
              · payload, a msgpack map {key: record or nil}; a str for a key is a node's own state

Law: a group is read as current only if the checksum over its payload and every header field holds
and its generation is the one in the file's name. Recycled segments are full of sound groups of
older generations; the generation is what keeps them from being read again.

`number` is the log sequence number, rising by one from group to group across segments; `synced` is
the highest number known to be on the disk when the group was written: the promise by which
recovery tells damage (at or below a synced number) from a torn tail (above all of them).

Groups begin at sector starts so that writing one never touches a sector with synced data, and so
that recovery can look for sound groups behind a bad one.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

import msgpack

from dynamo.errors import CorruptData, StorageFailed
from dynamo.storage.files import SECTOR_BYTES

FORMAT = 2
"""Raised when the bytes below, or the records in them, change their meaning; stands in every
segment and every group."""

HEADER_BYTES = SECTOR_BYTES

Writes = dict[bytes | str, bytes | None]
"""What one group says: the newest record, or None for its removal, under each key."""

_GROUP = struct.Struct(">4sQQQI")
_CHECKSUM = struct.Struct(">I")
_MAGIC = b"dkg" + bytes([FORMAT])
_SEGMENT_MAGIC = b"dynamo-kv log\n"
GROUP_HEADER_BYTES = _GROUP.size + _CHECKSUM.size


class LoggedGroup(NamedTuple):
    """A sound group found in a segment."""

    number: int
    synced: int
    payload: bytes
    end: int
    """Where the next group would start."""


def header_block(size: int) -> bytes:
    """The first sector of every segment: what the file is, in which format, and how long."""
    text = _SEGMENT_MAGIC + FORMAT.to_bytes(2, "big") + size.to_bytes(8, "big")
    block = text.ljust(HEADER_BYTES - _CHECKSUM.size, b"\x00")
    return block + _CHECKSUM.pack(crc32(block))


def header_is_sound(data: bytes) -> bool:
    """Whether a segment's header block reads well; raises StorageFailed for another format."""
    block, checksum = data[: HEADER_BYTES - 4], data[HEADER_BYTES - 4 : HEADER_BYTES]
    sound = block.startswith(_SEGMENT_MAGIC) and checksum == _CHECKSUM.pack(crc32(block))
    found = int.from_bytes(block[len(_SEGMENT_MAGIC) :][:2], "big")
    if sound:
        require_format(found)
    return sound


def is_cut(data: bytes) -> bool:
    """Whether a segment with a sound header block has another length than it was made with (the
    first ones did not say). It was allocated and synced before a group was written: damage."""
    told = int.from_bytes(data[len(_SEGMENT_MAGIC) + 2 :][:8], "big")
    return told not in (0, len(data))


def require_format(found: int) -> None:
    """Raise StorageFailed for data of another version: it is no damage, and nothing to rebuild."""
    if found != FORMAT:
        raise StorageFailed(f"the data is in format {found}, this program reads {FORMAT} only")


def encode_writes(writes: Writes) -> bytes:
    """A group's payload."""
    packed: bytes = msgpack.packb(writes)
    return packed


def decode_writes(payload: bytes) -> Writes:
    """The inverse of `encode_writes`; raises CorruptData for what it never made."""
    try:
        writes = msgpack.unpackb(payload, max_bin_len=len(payload))
    except (ValueError, msgpack.UnpackException) as error:
        raise CorruptData(f"a group of the log does not decode: {error}") from error
    if not isinstance(writes, dict):
        raise CorruptData("a group of the log holds something else than writes")
    found: Writes = writes
    return found


def encode_group(generation: int, number: int, synced: int, payload: bytes, checksum: int) -> bytes:
    """The group as it is written; `checksum` is the crc32 of the payload alone.

    The payload's checksum comes first, so that the costly part is made before the generation is
    known, which only the log's thread decides.
    """
    header = _GROUP.pack(_MAGIC, generation, number, synced, len(payload))
    return header + _CHECKSUM.pack(crc32(header, checksum)) + payload


def aligned(offset: int) -> int:
    """The first sector start at or after `offset`."""
    return -(-offset // SECTOR_BYTES) * SECTOR_BYTES


def group_at(data: bytes, offset: int, generation: int) -> LoggedGroup | None:
    """The sound group of this generation at `offset`, or None for anything else."""
    start = offset + GROUP_HEADER_BYTES
    if start > len(data):
        return None
    magic, found, number, synced, length = _GROUP.unpack_from(data, offset)
    if magic != _MAGIC or found != generation or start + length > len(data):
        return None
    payload = data[start : start + length]
    (checksum,) = _CHECKSUM.unpack_from(data, start - _CHECKSUM.size)
    if crc32(data[offset : offset + _GROUP.size], crc32(payload)) != checksum:
        return None
    return LoggedGroup(number, synced, payload, aligned(start + length))


def sound_groups(data: bytes, generation: int) -> Iterator[LoggedGroup]:
    """All sound groups of a segment in order, those behind a bad one included."""
    mark = _MAGIC + generation.to_bytes(8, "big")
    offset = HEADER_BYTES
    while offset >= 0:
        group = group_at(data, offset, generation)
        if group is not None:
            yield group
            offset = group.end
        else:
            offset = _next_mark(data, mark, offset + SECTOR_BYTES)


def _next_mark(data: bytes, mark: bytes, offset: int) -> int:
    """The next sector start that begins with `mark`, or -1."""
    found = data.find(mark, offset)
    while found >= 0 and found % SECTOR_BYTES:
        found = data.find(mark, found + 1)
    return found
