"""A value with the checksum that shows whether it is still what was written, and under which key.

    sealed(key, value) = value · crc32(value, crc32(key)), little-endian

Law: the crc32 of anything followed by its own crc32 is one constant, whatever it was begun with. So
opening takes one pass over the bytes as they lie, and a value read from under another key fails.
"""

from zlib import crc32

from dynamo.errors import CorruptData

_CHECKSUM_BYTES = 4
_RESIDUE = 0x2144DF1C


def sealed(key: bytes, value: bytes) -> bytes:
    """The value as the checkpoint table keeps it."""
    return value + crc32(value, crc32(key)).to_bytes(_CHECKSUM_BYTES, "little")


def opened(key: bytes, data: bytes | memoryview) -> bytes:
    """The value that was sealed under `key`, copied once. Raises CorruptData, naming the key."""
    if crc32(data, crc32(key)) != _RESIDUE:
        raise CorruptData(f"the value under {key!r} is not what was written")
    return bytes(data[:-_CHECKSUM_BYTES])


def unopened(data: bytes | memoryview, size: int) -> bytes:
    """The first `size` bytes of the value, whether or not it is what was written."""
    return bytes(data[: min(size, len(data) - _CHECKSUM_BYTES)])
