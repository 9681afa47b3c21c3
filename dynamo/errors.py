"""Everything that can go wrong, by whose fault it is, in one table for every interface.

The world's wrongs travel as values (`Failure`, with its counts); an edge turns one into the
exception of the same row. The gRPC status beside each row is the only such table: the server
renders with it, other clients read it.

    whose fault      exception             a retry elsewhere may help
    caller           InvalidRequest        no
    world            Unavailable           yes
    disk             CorruptData           yes (another replica)
    peer             ProtocolViolation     no
"""

from enum import IntEnum
from typing import NamedTuple


class DynamoError(Exception):
    """The root of all errors of this product; `kind` is a short stable word for scripts."""

    kind = "error"


class InvalidRequest(DynamoError):
    """The caller asked for what cannot be; nothing was changed."""

    kind = "invalid request"


class UnknownTable(InvalidRequest):
    """No table has that name or id."""

    kind = "unknown table"


class KeyTooLarge(InvalidRequest):
    """A partition key or sort key is over its limit (1 KiB each), or a partition key is empty."""

    kind = "key too large"


class ValueTooLarge(InvalidRequest):
    """The value, or the record it would make, is over its limit."""

    kind = "value too large"


class TooManySiblings(InvalidRequest):
    """The record holds the maximum of siblings: read it, merge them, write with the context."""

    kind = "too many siblings"


class InvalidContext(InvalidRequest):
    """The context was not made by this cluster for this table, or was altered."""

    kind = "invalid context"


class InvalidQuorum(InvalidRequest):
    """R or W is below one or above N."""

    kind = "invalid quorum"


class Unavailable(DynamoError):
    """The world is in the way; `outcome` says what became of a write."""

    kind = "unavailable"

    def __init__(self, failure: "Failure") -> None:
        super().__init__(failure.sentence())
        self.failure = failure

    @property
    def outcome(self) -> str:
        """`not applied` or `unknown`."""
        return "unknown" if self.failure.unknown else "not applied"


class QuorumNotReached(Unavailable):
    """Fewer replicas answered than needed: `failure` has needed, got, asked and causes."""

    kind = "quorum not reached"


class DeadlineExceeded(Unavailable):
    """The time the caller gave ran out."""

    kind = "deadline exceeded"


class Overloaded(Unavailable):
    """A bound was reached; try again after `failure.retry_after_ms`."""

    kind = "overloaded"


class CorruptData(DynamoError):
    """Bytes on a disk are not what was written there."""

    kind = "corrupt data"


class StorageFailed(DynamoError):
    """The disk refused; after a failed fsync the process must end."""

    kind = "storage failed"


class ProtocolViolation(DynamoError):
    """A peer sent what no peer may send."""

    kind = "protocol violation"


class IncompatiblePeer(ProtocolViolation):
    """The other side shares no protocol version with us."""

    kind = "incompatible peer"


class WrongCluster(ProtocolViolation):
    """The other side belongs to another cluster."""

    kind = "wrong cluster"


class Code(IntEnum):
    """A failure's number on the wire; never renumbered."""

    QUORUM_NOT_REACHED = 1
    DEADLINE_EXCEEDED = 2
    OVERLOADED = 3
    INVALID_REQUEST = 4
    UNKNOWN_TABLE = 5
    KEY_TOO_LARGE = 6
    VALUE_TOO_LARGE = 7
    TOO_MANY_SIBLINGS = 8
    INVALID_CONTEXT = 9
    INVALID_QUORUM = 10
    WRONG_RING = 11
    CORRUPT_DATA = 12
    NOT_SERVING = 13
    WRITE_TOO_OLD = 14


class Failure(NamedTuple):
    """Why a request was not answered as asked, with its counts (a value, not an exception)."""

    code: Code
    message: str = ""
    needed: int = 0
    got: int = 0
    asked: int = 0
    causes: tuple[tuple[str, str], ...] = ()
    """(node, cause) for each replica that did not answer well."""
    unknown: bool = False
    """Whether a replica may hold the write all the same."""
    retry_after_ms: int = 0

    def sentence(self) -> str:
        """The failure in one line for a person."""
        text = self.message or self.code.name.lower().replace("_", " ")
        if self.needed:
            text += f": needed {self.needed}, got {self.got} of {self.asked} asked"
        if self.causes:
            text += " (" + ", ".join(f"{node}: {cause}" for node, cause in self.causes) + ")"
        return text

    def error(self) -> DynamoError:
        """The exception of this failure's row."""
        kind = ERRORS[self.code]
        return kind(self) if issubclass(kind, Unavailable) else kind(self.sentence())


ERRORS: dict[Code, type[DynamoError]] = {
    Code.QUORUM_NOT_REACHED: QuorumNotReached,
    Code.DEADLINE_EXCEEDED: DeadlineExceeded,
    Code.OVERLOADED: Overloaded,
    Code.INVALID_REQUEST: InvalidRequest,
    Code.UNKNOWN_TABLE: UnknownTable,
    Code.KEY_TOO_LARGE: KeyTooLarge,
    Code.VALUE_TOO_LARGE: ValueTooLarge,
    Code.TOO_MANY_SIBLINGS: TooManySiblings,
    Code.INVALID_CONTEXT: InvalidContext,
    Code.INVALID_QUORUM: InvalidQuorum,
    Code.WRONG_RING: Unavailable,
    Code.CORRUPT_DATA: CorruptData,
    Code.NOT_SERVING: Unavailable,
    Code.WRITE_TOO_OLD: Unavailable,
}

GRPC_STATUS: dict[Code, str] = {
    Code.QUORUM_NOT_REACHED: "UNAVAILABLE",
    Code.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    Code.OVERLOADED: "RESOURCE_EXHAUSTED",
    Code.INVALID_REQUEST: "INVALID_ARGUMENT",
    Code.UNKNOWN_TABLE: "NOT_FOUND",
    Code.KEY_TOO_LARGE: "INVALID_ARGUMENT",
    Code.VALUE_TOO_LARGE: "INVALID_ARGUMENT",
    Code.TOO_MANY_SIBLINGS: "FAILED_PRECONDITION",
    Code.INVALID_CONTEXT: "INVALID_ARGUMENT",
    Code.INVALID_QUORUM: "INVALID_ARGUMENT",
    Code.WRONG_RING: "ABORTED",
    Code.CORRUPT_DATA: "DATA_LOSS",
    Code.NOT_SERVING: "UNAVAILABLE",
    Code.WRITE_TOO_OLD: "ABORTED",
}
"""The status names of grpc, as words, so that this floor needs no grpc."""
