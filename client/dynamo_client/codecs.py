"""How values become bytes: msgpack (the default), JSON, or bytes as they are.

The store knows only bytes; which codec wrote them is agreed between the applications of a table.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack

from dynamo_client.errors import CannotDecode, CannotEncode


class Codec(NamedTuple):
    """Two functions, inverse to each other. Make one of your own for other formats.

    `encode` may raise anything for a value that it cannot write, `decode` for bytes that it did
    not write; the caller sees CannotEncode and CannotDecode.
    """

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def encoded(codec: Codec, value: Any) -> bytes:
    """The bytes of a value. Raises CannotEncode."""
    try:
        payload = codec.encode(value)
    except Exception as error:
        raise CannotEncode(f"{codec.name} cannot write the value: {error}") from error
    if type(payload) is not bytes:
        raise CannotEncode(f"{codec.name} made {type(payload).__name__} of the value, not bytes")
    return payload


def decoded(codec: Codec, payload: bytes) -> Any:
    """The value of these bytes. Raises CannotDecode."""
    try:
        return codec.decode(payload)
    except Exception as error:
        told = f"the stored value was not written with {codec.name}: {error}"
        raise CannotDecode(told) from error


def _raw(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"it is {type(value).__name__}, not bytes")
    return bytes(value)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _unpacked(payload: bytes) -> Any:
    return msgpack.unpackb(payload, strict_map_key=False)


MSGPACK = Codec("msgpack", msgpack.packb, _unpacked)
"""Whatever msgpack has: None, booleans, numbers, text, bytes, lists, dicts. Tuples return as
lists."""

JSON = Codec("json", _json, json.loads)
"""Text that other languages and people read; no bytes."""

RAW = Codec("raw", _raw, bytes)
"""Bytes, untouched."""

CODECS = {codec.name: codec for codec in (MSGPACK, JSON, RAW)}
"""Every codec by its name."""
