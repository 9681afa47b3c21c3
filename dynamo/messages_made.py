"""Messages and effects that a node makes by the thousand, in half the time of their constructors.

A namedtuple's own constructor is a Python function that calls `tuple.__new__`, compiled or not;
here that is called at once. Elsewhere the plain constructors are used.
"""

from typing import Any, Final

from dynamo.messages import (
    PUT_DONE,
    REPLICA_DIGEST,
    REPLICA_PUT,
    REPLICA_RECORD,
    Ack,
    Broadcast,
    Message,
    PutDone,
    ReplicaDigest,
    ReplicaPut,
    ReplicaRecord,
    Send,
    Source,
)
from dynamo.types import ItemKey, NodeId, Stamp

_new: Final[Any] = tuple.__new__


def send(to: Source, message: Message) -> Send:
    """The effect `Send`."""
    made: Send = _new(Send, (to, message))
    return made


def broadcast(to: tuple[NodeId, ...], message: Message) -> Broadcast:
    """The effect `Broadcast`."""
    made: Broadcast = _new(Broadcast, (to, message))
    return made


def ack(source: Source, id: int, merged: bytes | None, whole: bool, asked_ms: float) -> Ack:
    """The store token `Ack`."""
    made: Ack = _new(Ack, (source, id, merged, whole, asked_ms))
    return made


def put_done(id: int, context: bytes, stamp: Stamp) -> PutDone:
    """The answer to a Put."""
    made: PutDone = _new(PutDone, (PUT_DONE, id, context, stamp))
    return made


def replica_put(id: int, key: ItemKey, record: bytes, base: bytes) -> ReplicaPut:
    """A coordinator's record, for a replica."""
    made: ReplicaPut = _new(ReplicaPut, (REPLICA_PUT, id, key, record, base))
    return made


def replica_record(id: int, record: bytes | None) -> ReplicaRecord:
    """A replica's record."""
    made: ReplicaRecord = _new(ReplicaRecord, (REPLICA_RECORD, id, record))
    return made


def replica_digest(id: int, digest: bytes | None) -> ReplicaDigest:
    """The digest of a replica's record."""
    made: ReplicaDigest = _new(ReplicaDigest, (REPLICA_DIGEST, id, digest))
    return made
