"""The handshake: who speaks, for which cluster, in which protocol versions.

    dialer                                   acceptor
      | -- DYNM len {versions, role, ...} --> |  agree() or refuse
      | <-- DYNM len {versions, role, ...} -- |
      | <========= frames both ways ========> |

Each side sends one Hello, the acceptor after it has read the dialer's, so that it can say which
boot of that very peer it remembers. Instead of a Hello the acceptor may send a Refusal, a
sentence for whoever reads the dialer's log. The envelope (magic, length, msgpack map, unknown
keys ignored) stays the same in all protocol versions; only what follows may change.
"""

from typing import Any, Final, Literal, NamedTuple, cast, get_args

import msgpack

from dynamo.errors import IncompatiblePeer, ProtocolViolation, WrongCluster

PROTOCOL_MIN: Final = 6
PROTOCOL_MAX: Final = 6
"""The protocol versions this code speaks."""

MAGIC: Final = b"DYNM"
HELLO_BYTES_MAX: Final = 8192
TEXT_MAX: Final = 256
"""The longest name, incarnation or fingerprint."""
REASON_MAX: Final = 1024

Role = Literal["node", "client"]
Durability = Literal["", "fsync", "interval", "memory"]

_HTTP: Final = (b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"CONN", b"PATC")
_HTTP_ANSWER: Final = b"HTTP"
_GRPC: Final = b"PRI "
_GRPC_ANSWER: Final = (b"\x00\x00", b"\x04")
"""How an HTTP/2 server begins: a SETTINGS frame, of less than 256 bytes."""
_TLS: Final = b"\x16\x03"
_PREFIX_BYTES: Final = len(MAGIC) + 2


class Hello(NamedTuple):
    """What each side says of itself, once."""

    role: Role
    name: str
    cluster: bytes
    """The cluster's fingerprint. A client may leave it empty (any) and learns it from the node."""
    version_min: int = PROTOCOL_MIN
    version_max: int = PROTOCOL_MAX
    incarnation: str = ""
    boot: int = 0
    durability: Durability = ""
    """Promises P1, P5 and P7 hold among `fsync` nodes only. Empty for a client."""
    boot_remembered: int | None = None
    """A number above the other side's boot if its disk was set back as this side remembers it: then
    the other must rebuild."""


class Refusal(NamedTuple):
    """The acceptor's answer to a dialer that it will not talk to."""

    reason: str


def encode_hello(hello: Hello) -> bytes:
    """The first bytes on a connection."""
    return _envelope(hello._asdict())


def encode_refusal(reason: str) -> bytes:
    """The first and last bytes on a connection that is refused."""
    return _envelope({"refused": reason[:REASON_MAX]})


def agree(mine: Hello, theirs: Hello) -> int:
    """The protocol version both speak: the highest. Raises WrongCluster or IncompatiblePeer."""
    version = min(mine.version_max, theirs.version_max)
    if version < max(mine.version_min, theirs.version_min):
        raise IncompatiblePeer(
            f"{theirs.role} {theirs.name!r} speaks protocol {_span(theirs)}, we speak {_span(mine)}"
        )
    if mine.cluster and theirs.cluster and mine.cluster != theirs.cluster:
        raise WrongCluster(
            f"{theirs.role} {theirs.name!r} is of cluster {theirs.cluster.hex()},"
            f" we are of {mine.cluster.hex()}"
        )
    if mine.role == theirs.role == "client":
        raise ProtocolViolation(f"two clients, {mine.name!r} and {theirs.name!r}, cannot talk")
    return version


class HelloDecoder:
    """Bytes in, one Hello or Refusal out; bytes beyond it are in `rest`."""

    __slots__ = ("_buffer", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        self.rest = b""
        """What came behind the Hello: the first frames."""

    def feed(self, data: bytes) -> Hello | Refusal | None:
        """None as long as bytes are missing. Raises ProtocolViolation only."""
        self._buffer += data  # bounded by HELLO_BYTES_MAX plus one read, so never quadratic
        buffer = self._buffer
        if not buffer.startswith(MAGIC[: len(buffer)]):
            raise ProtocolViolation(_told_stranger(buffer))
        if len(buffer) < _PREFIX_BYTES:
            return None
        length = int.from_bytes(buffer[len(MAGIC) : _PREFIX_BYTES], "big")
        if length > HELLO_BYTES_MAX:
            raise ProtocolViolation(f"a hello of {length} bytes is over {HELLO_BYTES_MAX}")
        if len(buffer) < _PREFIX_BYTES + length:
            return None
        self._buffer, self.rest = b"", buffer[_PREFIX_BYTES + length :]
        return _decode(buffer[_PREFIX_BYTES : _PREFIX_BYTES + length])


def _envelope(fields: dict[str, Any]) -> bytes:
    body: bytes = msgpack.packb(fields)
    assert len(body) <= HELLO_BYTES_MAX, f"a hello of {len(body)} bytes is too long"
    return MAGIC + len(body).to_bytes(2, "big") + body


def _decode(body: bytes) -> Hello | Refusal:
    try:
        fields = msgpack.unpackb(body)
    except Exception as wrong:  # msgpack has no root exception
        raise ProtocolViolation(f"a hello is not msgpack: {type(wrong).__name__}") from wrong
    if type(fields) is not dict:
        raise ProtocolViolation("a hello is not a map")
    if "refused" in fields:
        return Refusal(_text(fields, "refused", REASON_MAX))
    hello = Hello(
        role=cast(Role, _word(fields, "role", get_args(Role))),
        name=_text(fields, "name", TEXT_MAX),
        cluster=_fingerprint(fields),
        version_min=_number(fields, "version_min"),
        version_max=_number(fields, "version_max"),
        incarnation=_text(fields, "incarnation", TEXT_MAX),
        boot=_number(fields, "boot"),
        durability=cast(Durability, _word(fields, "durability", get_args(Durability))),
        boot_remembered=(
            None if fields.get("boot_remembered") is None else _number(fields, "boot_remembered")
        ),
    )
    if hello.version_min > hello.version_max:
        raise ProtocolViolation(f"a hello offers protocol {_span(hello)}")
    if hello.role == "node" and not (hello.cluster and hello.name and hello.durability):
        raise ProtocolViolation("a node's hello lacks its cluster, name or durability")
    return hello


def _text(fields: dict[Any, Any], name: str, length_max: int) -> str:
    value = fields.get(name)
    if type(value) is not str or len(value) > length_max:
        raise ProtocolViolation(f"a hello's {name} is not text of at most {length_max} characters")
    return value


def _word(fields: dict[Any, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = fields.get(name)
    if type(value) is not str or value not in allowed:
        raise ProtocolViolation(f"a hello's {name} is none of {allowed}")
    return value


def _number(fields: dict[Any, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ProtocolViolation(f"a hello's {name} is not a number")
    return value


def _fingerprint(fields: dict[Any, Any]) -> bytes:
    value = fields.get("cluster")
    if type(value) is not bytes or len(value) > TEXT_MAX:
        raise ProtocolViolation(f"a hello's cluster is not at most {TEXT_MAX} bytes")
    return value


def _span(hello: Hello) -> str:
    return f"{hello.version_min}-{hello.version_max}"


def _told_stranger(first: bytes) -> str:
    if first.startswith(_GRPC):
        return "this port speaks dynamo frames, not HTTP/2; gRPC is on port+100"
    if first.startswith(_HTTP):
        return "this port speaks dynamo frames, not HTTP; metrics are on port+200, gRPC on port+100"
    if first.startswith(_HTTP_ANSWER):
        return "that port speaks HTTP, not dynamo frames; for metrics, frames are on port-200"
    if (first[:2], first[3:4]) == _GRPC_ANSWER:
        return "that port speaks HTTP/2, not dynamo frames; for gRPC, frames are on port-100"
    if first.startswith(_TLS):
        return "this port speaks dynamo frames in the clear, not TLS"
    return f"the connection began with {first[:8]!r}, not with a hello"
