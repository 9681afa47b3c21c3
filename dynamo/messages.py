"""What nodes and clients say to each other, and what shells tell the kernel.

A message is a tuple whose first element is its kind, packed as one msgpack array; kinds below 10
belong to the link. `parse` checks the arity and the type of every field, so that no machine ever
meets a shape that it does not expect. Adding a field or a kind is a new protocol version.

    client -> node   Put, Get, AskOutcome, AskRepair, AskCluster, AskStatus, ReplicaGet,
                     AskExchange
    node -> node     the same (a node that owns no replica forwards), ReplicaPut, ReplicaScan,
                     HintPut, and what two owners say while they compare (dynamo.messages_exchange)
    about members    those of dynamo.messages_members
    answers          PutDone, GetDone, OutcomeDone, Failed, ClusterIs, StatusIs,
                     ReplicaStored, ReplicaMerged, ReplicaRecord, ReplicaSame, ReplicaDigest,
                     ReplicaRefused, ReplicaPage
    who is there     those of dynamo.messages_detection
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from dynamo.errors import Code, Failure, ProtocolViolation
from dynamo.keys import ITEM_KEY_BYTES_MIN
from dynamo.messages_detection import DETECTION, DetectionMessage
from dynamo.messages_exchange import EXCHANGE, ExchangeMessage
from dynamo.messages_members import MEMBERS, MembersMessage
from dynamo.types import ItemKey, NodeId, OperationId, PartitionId, Stamp, TableId

Source: TypeAlias = NodeId | int
"""Where a message comes from or goes: a peer by name, a client connection by number."""

PUT, GET, ASK_OUTCOME, ASK_REPAIR, ASK_CLUSTER, ASK_STATUS = range(10, 16)
REPLICA_PUT, REPLICA_GET, REPLICA_SCAN = range(20, 23)
PUT_DONE, GET_DONE, FAILED, OUTCOME_DONE, CLUSTER_IS, STATUS_IS = range(30, 36)
REPLICA_STORED, REPLICA_MERGED, REPLICA_SAME, REPLICA_RECORD = range(40, 44)
REPLICA_REFUSED, REPLICA_PAGE, REPLICA_DIGEST = range(44, 47)
HINT_PUT = 60

BARRED = frozenset((REPLICA_PUT, REPLICA_GET, HINT_PUT))
"""What may be asked of a node's copies only by who has heard of the newest joint epoch."""

DIGEST_ONLY = b""
"""As `known` in a ReplicaGet: answer with the digest alone."""


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
    strict: bool = False
    """Only owners may count, also where the table is sloppy."""
    retried: bool = False
    """An earlier attempt of this operation may have been applied, or may yet be."""


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
    strict: bool = False
    """As for a Put."""


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
    """Your record. `known` is the digest of one the asker has: then say only Same if equal; or
    DIGEST_ONLY."""

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


class HintPut(NamedTuple):
    """Keep this record durably for `owner`, which is absent, and hand it over when it is back (the
    paper's section 4.6). Otherwise as ReplicaPut."""

    kind: int
    id: int
    key: ItemKey
    record: bytes
    base: bytes
    owner: NodeId


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
    target: tuple[Any, ...]
    """The ring that a change under way leads to; empty if there is none."""


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


class ReplicaDigest(NamedTuple):
    """The digest of my record, None if I hold nothing."""

    kind: int
    id: int
    digest: bytes | None


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
    | HintPut
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
    | ReplicaDigest
    | ReplicaRefused
    | ReplicaPage
    | DetectionMessage
    | ExchangeMessage
    | MembersMessage
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


def parse(raw: tuple[Any, ...]) -> Message:
    """The message in a decoded array. Raises ProtocolViolation for any other shape."""
    try:
        make, shapes, check = _KINDS[raw[0]]
    except (KeyError, IndexError, TypeError) as error:
        raise ProtocolViolation(f"no message is of kind {raw[:1]!r}") from error
    if tuple(map(type, raw)) not in shapes or (check is not None and not check(raw)):
        raise ProtocolViolation(f"malformed {make.__name__}")
    message: Message = _new(make, raw)
    return message


_new: Any = tuple.__new__
"""Half of what a namedtuple's own `_make` takes; the number of fields has been looked at."""


OWNER_CHARS_MAX = 63


def _holds_key(raw: tuple[Any, ...]) -> bool:
    return len(raw[2]) >= ITEM_KEY_BYTES_MIN


def _holds_hint(raw: tuple[Any, ...]) -> bool:
    return len(raw[2]) >= ITEM_KEY_BYTES_MIN and 0 < len(raw[5]) <= OWNER_CHARS_MAX


def _holds_ids(raw: tuple[Any, ...]) -> bool:
    return all(type(id) is int for id in raw[1])


def _holds_payloads(raw: tuple[Any, ...]) -> bool:
    return all(type(payload) is bytes for payload in raw[2])


def _holds_causes(raw: tuple[Any, ...]) -> bool:
    return all(
        type(cause) is tuple and len(cause) == 2 and type(cause[0]) is str and type(cause[1]) is str
        for cause in raw[7]
    )


def _holds_items(raw: tuple[Any, ...]) -> bool:
    return all(
        type(item) is tuple
        and len(item) == 2
        and type(item[0]) is bytes
        and type(item[1]) is bytes
        and len(item[0]) >= ITEM_KEY_BYTES_MIN
        for item in raw[2]
    )


class _Kind(NamedTuple):
    """How a message of one kind must look."""

    make: type[Message]
    shapes: frozenset[tuple[type, ...]]
    """The exact types of its fields, in every allowed combination."""
    check: Callable[[tuple[Any, ...]], bool] | None
    """What types alone do not say about its parts."""


def _kind(
    make: type[Message], *fields: Any, check: Callable[[tuple[Any, ...]], bool] | None = None
) -> _Kind:
    """Fields are types, or a pair of a type and None for one that may be absent."""
    choices = [(field[0], type(None)) if isinstance(field, tuple) else (field,) for field in fields]
    return _Kind(make, frozenset(product((int,), *choices)), check)


_OPTIONAL = (bytes, None)
_KINDS: dict[int, _Kind] = {
    PUT: _kind(Put, int, int, int, int, bytes, bytes, _OPTIONAL, _OPTIONAL, bytes, int, bool, bool),
    GET: _kind(Get, int, int, int, int, bytes, bytes, int, bool),
    ASK_OUTCOME: _kind(AskOutcome, int, int, int, int, bytes, bytes, bytes),
    ASK_REPAIR: _kind(AskRepair, bytes, check=lambda raw: len(raw[1]) >= ITEM_KEY_BYTES_MIN),
    ASK_CLUSTER: _kind(AskCluster, int),
    ASK_STATUS: _kind(AskStatus, int),
    REPLICA_PUT: _kind(ReplicaPut, int, bytes, bytes, bytes, check=_holds_key),
    REPLICA_GET: _kind(ReplicaGet, int, bytes, _OPTIONAL, check=_holds_key),
    REPLICA_SCAN: _kind(ReplicaScan, int, int, bytes, check=lambda raw: 0 <= raw[2] < 1 << 16),
    HINT_PUT: _kind(HintPut, int, bytes, bytes, bytes, str, check=_holds_hint),
    PUT_DONE: _kind(PutDone, int, bytes, int),
    GET_DONE: _kind(GetDone, int, tuple, bytes, int, check=_holds_payloads),
    FAILED: _kind(Failed, int, int, str, int, int, int, tuple, bool, int, check=_holds_causes),
    OUTCOME_DONE: _kind(OutcomeDone, int, str),
    CLUSTER_IS: _kind(ClusterIs, int, tuple, tuple, tuple, dict, int, tuple),
    STATUS_IS: _kind(StatusIs, int, dict),
    REPLICA_STORED: _kind(ReplicaStored, tuple, bool, check=_holds_ids),
    REPLICA_MERGED: _kind(ReplicaMerged, int, bytes),
    REPLICA_SAME: _kind(ReplicaSame, int),
    REPLICA_RECORD: _kind(ReplicaRecord, int, _OPTIONAL),
    REPLICA_DIGEST: _kind(ReplicaDigest, int, _OPTIONAL),
    REPLICA_REFUSED: _kind(ReplicaRefused, int, str),
    REPLICA_PAGE: _kind(ReplicaPage, int, tuple, bool, bool, check=_holds_items),
    **{kind: _kind(make, *fields, check=check) for kind, make, fields, check in EXCHANGE},
    **{kind: _kind(make, *fields, check=check) for kind, make, fields, check in DETECTION},
    **{kind: _kind(make, *fields, check=check) for kind, make, fields, check in MEMBERS},
}


class Ack(NamedTuple):
    """A store token: whom to tell when the record is durable."""

    source: Source
    id: int
    merged: bytes | None
    whole: bool
    asked_ms: float = 0.0


class Received(NamedTuple):
    """Event: one frame's messages, as decoded arrays."""

    source: Source
    messages: Sequence[tuple[Any, ...]]
    age_ms: float = 0.0
    """How long they were under way, as far as can be told."""


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
