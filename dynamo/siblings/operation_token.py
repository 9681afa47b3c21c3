"""Operation ids as clients see them: one word that says which write on which item.

    url-safe base64, unpadded, of:  format 01 · table (4) · key length (2) · key
                                    · sort key length (2) · sort key · operation (20)

Numbers are big-endian. The word names its item, so that `outcome` needs nothing else, and the
layout is fixed, so that a client in any language can make an id before its first attempt.
"""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

from dynamo.errors import InvalidRequest, KeyTooLarge
from dynamo.types import OperationId, TableId

OPERATION_BYTES = 20
KEY_BYTES_MAX = 16 << 10
"""No configuration allows longer keys."""
TOKEN_CHARS_MAX = 48 << 10
"""Above the longest id of two such keys; a longer word is refused unread."""

_HEAD = struct.Struct(">BIH")
_LENGTH = struct.Struct(">H")
_FORMAT = 1


class OperationToken(NamedTuple):
    """The parts of an operation id."""

    table: TableId
    key: bytes
    sort_key: bytes
    operation: OperationId


def encode_operation(table: int, key: bytes, sort_key: bytes, operation: bytes) -> str:
    """The word for one write. Raises KeyTooLarge if a key is longer than any item's."""
    if max(len(key), len(sort_key)) > KEY_BYTES_MAX:
        longest = max(len(key), len(sort_key))
        raise KeyTooLarge(f"a key has {longest} bytes, none has above {KEY_BYTES_MAX}")
    assert len(operation) == OPERATION_BYTES, "an operation has 20 bytes"
    head = _HEAD.pack(_FORMAT, table, len(key))
    body = b"".join((head, key, _LENGTH.pack(len(sort_key)), sort_key, operation))
    return urlsafe_b64encode(body).rstrip(b"=").decode()


def decode_operation(text: str) -> OperationToken:
    """The inverse. Raises InvalidRequest for any word that `encode_operation` did not make."""
    try:
        token = _decoded(text)
        if encode_operation(*token) == text:
            return token
    except (ValueError, struct.error):
        pass
    raise InvalidRequest(f"{text[:40]!r} is not an operation id")


def _decoded(text: str) -> OperationToken:
    if len(text) > TOKEN_CHARS_MAX:
        raise ValueError("longer than any operation id")
    data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    form, table, size = _HEAD.unpack_from(data)
    start = _HEAD.size + size
    sort_size, *_ = _LENGTH.unpack_from(data, start)
    end = start + _LENGTH.size + sort_size
    if form != _FORMAT or len(data) != end + OPERATION_BYTES:
        raise ValueError("another format or length")
    key, sort_key = data[_HEAD.size : start], data[start + _LENGTH.size : end]
    return OperationToken(TableId(table), key, sort_key, OperationId(data[end:]))
