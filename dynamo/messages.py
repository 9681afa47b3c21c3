"""What nodes and clients say to each other, and what shells tell the kernel.

A message is a tuple whose first element is its kind, packed as one msgpack array; kinds below 10
belong to the link. `parse` checks the arity and the type of every field, so that no machine ever
meets a shape that it does not expect. Adding a field or a kind is a new protocol version.

    client -> node   Put, Get, AskOutcome, AskRepair, AskCluster, AskStatus, ReplicaGet
    node -> node     the same (a node that owns no replica forwards), ReplicaPut, ReplicaScan
    answers          PutDone, GetDone, OutcomeDone, Failed, ClusterIs, StatusIs,
                     ReplicaStored, ReplicaMerged, ReplicaRecord, ReplicaSame, ReplicaRefused
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from dynamo.errors import Code, Failure, ProtocolViolation
from dynamo.types import ItemKey, NodeId, OperationId, PartitionId, Stamp, TableId

Source: TypeAlias = NodeId | int
"""Where a message comes from or goes: a peer by name, a client connection by number."""

PUT, GET, ASK_OUTCOME, ASK_REPAIR, ASK_CLUSTER, ASK_STATUS = range(10, 16)
REPLICA_PUT, REPLICA_GET, REPLICA_SCAN = range(20, 23)
PUT_DONE, GET_DONE, FAILED, OUTCOME_DONE, CLUSTER_IS, STATUS_IS = range(30, 36)
REPLICA_STORED, REPLICA_MERGED, REPLICA_SAME, REPLICA_RECORD, REPLICA_REFUSED, REPLICA_PAGE = range(
    40, 46
)


class Put(NamedTuple):
    """Write, or delete with `payload` None. `w` 0 means the table's."""

    kind: int
    id: int
    deadline_ms: int
    epoch: int
    table: TableId
    key: bytes
    sort_key: bytes
    context: bytes | None
    payload: bytes | None
    operation: OperationId
    w: int


class Get(NamedTuple):
    """Read by this coordinator. `r` 0 means the table's."""

    kind: int
    id: int
    deadline_ms: int
    epoch: int
    table: TableId
    key: bytes
    sort_key: bytes
    r: int


class AskOutcome(NamedTuple):
    """What became of an operation on this item? Settles it if every owner answers."""

    kind: int
    id: int
    deadline_ms: int
    epoch: int
    table: TableId
    key: bytes
    sort_key: bytes
    operation: OperationId


class AskRepair(NamedTuple):
    """A reader saw the owners differ on this item. Not answered."""

    kind: int
    key: ItemKey


class AskCluster(NamedTuple):
    """Which ring, tables and limits hold?"""

    kind: int
    id: int


class AskStatus(NamedTuple):
    """How is this node?"""

    kind: int
    id: int


class ReplicaPut(NamedTuple):
    """Merge this record into yours and make it durable. `base` is the digest of the record that
    the coordinator built it on (empty: unknown): who holds that one need not look inside."""

    kind: int
    id: int
    key: ItemKey
    record: bytes
    base: bytes


class ReplicaGet(NamedTuple):
    """Your record; `known` is the digest of one the asker has: then say only Same if equal."""

    kind: int
    id: int
    key: ItemKey
    known: bytes | None


class ReplicaScan(NamedTuple):
    """Your records of a partition after a key (empty: from the start), one page."""

    kind: int
    id: int
    partition: PartitionId
    after: ItemKey


class PutDone(NamedTuple):
    """The write is durable at W replicas."""

    kind: int
    id: int
    context: bytes
    stamp: Stamp


class GetDone(NamedTuple):
    """The live values (none: not found) and the context that covers them."""

    kind: int
    id: int
    payloads: tuple[bytes, ...]
    context: bytes
    stamp: Stamp


class Failed(NamedTuple):
    """A `Failure` on the wire."""

    kind: int
    id: int
    code: int
    message: str
    needed: int
    got: int
    asked: int
    causes: tuple[tuple[str, str], ...]
    unknown: bool
    retry_after_ms: int


class OutcomeDone(NamedTuple):
    """`state` is one of `applied`, `not applied`, `unknown`."""

    kind: int
    id: int
    state: str


class ClusterIs(NamedTuple):
    """Ring, tables and limits as values (dynamo.ring, dynamo.config), and the node's wall clock."""

    kind: int
    id: int
    ring: tuple[Any, ...]
    tables: tuple[Any, ...]
    limits: tuple[Any, ...]
    addresses: dict[str, tuple[str, int]]
    wall_ms: int


class StatusIs(NamedTuple):
    """Plain words and numbers for `dynamo status`."""

    kind: int
    id: int
    status: dict[str, Any]


class ReplicaStored(NamedTuple):
    """These records are durable here, byte for byte. All of one log group in one message;
    `whole` unless this replica is rebuilding their partitions."""

    kind: int
    ids: tuple[int, ...]
    whole: bool


class ReplicaMerged(NamedTuple):
    """Durable here, but this replica knew more: the merged record."""

    kind: int
    id: int
    record: bytes


class ReplicaSame(NamedTuple):
    """My record has the digest that you know."""

    kind: int
    id: int


class ReplicaRecord(NamedTuple):
    """My record, None if I hold nothing."""

    kind: int
    id: int
    record: bytes | None


class ReplicaRefused(NamedTuple):
    """I do not count for this request, and why."""

    kind: int
    id: int
    cause: str


class ReplicaPage(NamedTuple):
    """Records in key order; `last` when the partition ends here; `whole` unless this replica is
    itself rebuilding the partition."""

    kind: int
    id: int
    items: tuple[tuple[ItemKey, bytes], ...]
    last: bool
    whole: bool


Message: TypeAlias = (
    Put
    | Get
    | AskOutcome
    | AskRepair
    | AskCluster
    | AskStatus
    | ReplicaPut
    | ReplicaGet
    | ReplicaScan
    | PutDone
    | GetDone
    | Failed
    | OutcomeDone
    | ClusterIs
    | StatusIs
    | ReplicaStored
    | ReplicaMerged
    | ReplicaSame
    | ReplicaRecord
    | ReplicaRefused
    | ReplicaPage
)


def failed(request: int, failure: Failure) -> Failed:
    """The answer that carries `failure`."""
    return Failed(FAILED, request, *failure)


def failure_of(message: Failed) -> Failure:
    """The inverse of `failed`; a code of a later version is an unavailability."""
    try:
        code = Code(message.code)
    except ValueError:
        code = Code.NOT_SERVING
    return Failure(code, *message[3:])


_BYTES_OR_NONE = (bytes, type(None))
_KINDS: dict[int, tuple[type[Message], tuple[Any, ...]]] = {
    PUT: (Put, (int, int, int, int, int, bytes, bytes, _BYTES_OR_NONE, _BYTES_OR_NONE, bytes, int)),
    GET: (Get, (int, int, int, int, int, bytes, bytes, int)),
    ASK_OUTCOME: (AskOutcome, (int, int, int, int, int, bytes, bytes, bytes)),
    ASK_REPAIR: (AskRepair, (int, bytes)),
    ASK_CLUSTER: (AskCluster, (int, int)),
    ASK_STATUS: (AskStatus, (int, int)),
    REPLICA_PUT: (ReplicaPut, (int, int, bytes, bytes, bytes)),
    REPLICA_GET: (ReplicaGet, (int, int, bytes, _BYTES_OR_NONE)),
    REPLICA_SCAN: (ReplicaScan, (int, int, int, bytes)),
    PUT_DONE: (PutDone, (int, int, bytes, int)),
    GET_DONE: (GetDone, (int, int, tuple, bytes, int)),
    FAILED: (Failed, (int, int, int, str, int, int, int, tuple, bool, int)),
    OUTCOME_DONE: (OutcomeDone, (int, int, str)),
    CLUSTER_IS: (ClusterIs, (int, int, tuple, tuple, tuple, dict, int)),
    STATUS_IS: (StatusIs, (int, int, dict)),
    REPLICA_STORED: (ReplicaStored, (int, tuple, bool)),
    REPLICA_MERGED: (ReplicaMerged, (int, int, bytes)),
    REPLICA_SAME: (ReplicaSame, (int, int)),
    REPLICA_RECORD: (ReplicaRecord, (int, int, _BYTES_OR_NONE)),
    REPLICA_REFUSED: (ReplicaRefused, (int, int, str)),
    REPLICA_PAGE: (ReplicaPage, (int, int, tuple, bool, bool)),
}


def parse(raw: tuple[Any, ...]) -> Message:
    """The message in a decoded array. Raises ProtocolViolation for any other shape."""
    try:
        make, types = _KINDS[raw[0]]
    except (KeyError, IndexError, TypeError) as error:
        raise ProtocolViolation(f"no message is of kind {raw[:1]!r}") from error
    if len(raw) != len(types) or not all(map(isinstance, raw, types)):
        raise ProtocolViolation(f"malformed {make.__name__}")
    check = _CHECKS.get(raw[0])
    if check is not None and not check(raw):
        raise ProtocolViolation(f"malformed {make.__name__}")
    return make._make(raw)


ITEM_KEY_BYTES_MIN = 8


def _holds_key(raw: tuple[Any, ...]) -> bool:
    return len(raw[2]) >= ITEM_KEY_BYTES_MIN


def _holds_ids(raw: tuple[Any, ...]) -> bool:
    return all(type(id) is int for id in raw[1])


def _holds_items(raw: tuple[Any, ...]) -> bool:
    return all(
        type(item) is tuple
        and len(item) == 2
        and type(item[0]) is bytes
        and type(item[1]) is bytes
        and len(item[0]) >= ITEM_KEY_BYTES_MIN
        for item in raw[2]
    )


_CHECKS: dict[int, Callable[[tuple[Any, ...]], bool]] = {
    ASK_REPAIR: lambda raw: len(raw[1]) >= ITEM_KEY_BYTES_MIN,
    REPLICA_PUT: _holds_key,
    REPLICA_GET: _holds_key,
    REPLICA_SCAN: lambda raw: 0 <= raw[2] < 1 << 16,
    REPLICA_STORED: _holds_ids,
    REPLICA_PAGE: _holds_items,
}
"""What types alone do not say about the parts of a message."""


class Received(NamedTuple):
    """Event: one frame's messages, as decoded arrays."""

    source: Source
    messages: tuple[tuple[Any, ...], ...]


class Persisted(NamedTuple):
    """Event: the store made the writes behind these tokens durable."""

    tokens: list[Any]


class PeerUp(NamedTuple):
    """Event: a link to a member is open."""

    node: NodeId


class PeerDown(NamedTuple):
    """Event: the link to a member is lost; what was asked of it will not be answered."""

    node: NodeId
    reason: str


class ClientGone(NamedTuple):
    """Event: a client connection is closed; its answers go nowhere."""

    source: int


class Tick(NamedTuple):
    """Event: a deadline has come."""


Event: TypeAlias = Received | Persisted | PeerUp | PeerDown | ClientGone | Tick


class Send(NamedTuple):
    """Effect: hand a message to a link."""

    to: Source
    message: Message


class Broadcast(NamedTuple):
    """Effect: hand one message to several peers; it is packed once."""

    to: tuple[NodeId, ...]
    message: Message


class Disconnect(NamedTuple):
    """Effect: this peer or client broke the protocol; close its link with the reason."""

    to: Source
    reason: str


Effect: TypeAlias = Send | Broadcast | Disconnect
