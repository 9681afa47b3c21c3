"""From a client's write and the coordinator's own record to the record that is shipped."""

from collections.abc import Callable
from typing import NamedTuple

from dynamo.config import TableConfig
from dynamo.coordination.recent import Composition
from dynamo.coordination.scope import Scope
from dynamo.errors import Code, CorruptData, Failure, InvalidContext
from dynamo.hlc import stamp_ms
from dynamo.messages import Put
from dynamo.ports import MEMORY_FULL
from dynamo.siblings.codec import (
    DIGEST_BYTES,
    decode_context,
    decode_record,
    encode_context,
    encode_record,
)
from dynamo.siblings.record import (
    OPERATION_BYTES,
    UNSEEN,
    VOID,
    Record,
    Seen,
    Value,
    fate,
    forgotten,
    highest_stamp,
    operation_stamp,
    seen_by_reader,
    seen_by_writer,
    siblings,
    tried_again,
    written,
)
from dynamo.types import ItemKey, OperationId, PartitionId, Stamp

COUNTER_MAX = 1 << 62
"""Of a dot: 2**30 starts of a node away."""


class Composed(NamedTuple):
    """What is shipped, and what the client learns once W replicas have it."""

    data: bytes
    context: bytes
    stamp: Stamp
    gaps: int
    """The largest number of gaps of one actor."""
    base: bytes
    """Digest of the record that this one was built on."""


def refusal(scope: Scope, request: Put, wall_ms: int) -> Failure | None:
    """Why this request can change nothing, before looking at the item."""
    failure = scope.refusal(request.table, request.key, request.sort_key, request.w)
    if failure is not None:
        return failure
    size = len(request.payload or b"")
    most = scope.tables[request.table].value_bytes_max or scope.limits.value_bytes_max
    if size > most:
        return Failure(Code.VALUE_TOO_LARGE, f"the value has {size} bytes, at most {most}")
    if (failure := wrong_operation(scope, request.operation, wall_ms)) is not None:
        return failure
    cause = scope.store.refusal()
    if cause == MEMORY_FULL or (cause is not None and request.payload is not None):
        return Failure(Code.OVERLOADED, f"this node takes no writes: {cause}", retry_after_ms=100)
    return None


def wrong_operation(scope: Scope, operation: OperationId, wall_ms: int) -> Failure | None:
    """Why these bytes name no operation, or None. Records remember ids, so none may be longer,
    and one from the future would make them forget all others."""
    if len(operation) != OPERATION_BYTES:
        return Failure(Code.INVALID_REQUEST, f"an operation id has {OPERATION_BYTES} bytes")
    ahead = stamp_ms(operation_stamp(operation)) - wall_ms
    if ahead > scope.timing.skew_ms_max:
        return Failure(Code.INVALID_REQUEST, f"the operation's stamp is {ahead} ms ahead of here")
    return None


def composed(
    scope: Scope,
    request: Put,
    partition: PartitionId,
    key: ItemKey,
    held: Callable[[ItemKey], bytes | None] | None = None,
) -> Composed | Failure:
    """The item under a new dot, or as it is if the operation is already in it (a retry). `held`:
    all that this node has of it, where it is no owner."""
    away = held is not None
    try:
        data = scope.store.get(key) if held is None else held(key)
        known = scope.recent.find(key, data)
        if known is not None:
            record = known.record
        else:
            record = scope.nothing(key) if data is None else decode_record(data)
        if known is not None and known.context == request.context:
            seen = known.seen
        else:
            seen = _seen(key, request, record)
    except InvalidContext as error:
        return Failure(Code.INVALID_CONTEXT, str(error))
    except CorruptData as error:
        return Failure(Code.CORRUPT_DATA, str(error))
    if _is_forged(scope, partition, record, seen):
        return Failure(Code.INVALID_CONTEXT, "the context covers writes that were never made")
    state = fate(record, request.operation)
    base = b"" if data is None else data[:DIGEST_BYTES]
    if state is None and not forgotten(record, request.operation):
        return _written(scope, request, partition, key, record, base, seen, away=away)
    if data is None or state is None or state == VOID:
        return Failure(Code.WRITE_TOO_OLD, "the operation is too old to be applied once")
    if request.retried and request.operation not in record.retried:
        record = tried_again(record, request.operation, scope.window)
        data = encode_record(record)
    return _composed(scope, request, key, record, seen, data, base)


def _written(
    scope: Scope,
    request: Put,
    partition: PartitionId,
    key: ItemKey,
    record: Record,
    base: bytes,
    seen: Seen,
    *,
    away: bool,
) -> Composed | Failure:
    """The record after the write, within the limits."""
    table, identity = scope.tables[request.table], scope.identity
    dot = identity.next_dot(partition, record.history.vector.get(identity.actor, 0))
    stamp = _stamp(request, seen.stamp)
    value = Value(dot.actor, dot.counter, stamp, request.operation, request.payload)
    after = written(
        record,
        seen,
        value,
        table.conflict_rule,
        scope.window,
        identity.forgotten_up_to(partition, away=away),
        retried=request.retried,
    )
    failure = _excess(scope, table, after, record)
    if failure is not None:
        return failure
    data = encode_record(after)
    if request.payload is not None and len(data) > scope.limits.record_bytes_max:
        return Failure(
            Code.VALUE_TOO_LARGE,
            f"the item with all its siblings would have {len(data)} bytes, "
            f"at most {scope.limits.record_bytes_max}",
        )
    return _composed(scope, request, key, after, seen, data, base)


def _composed(
    scope: Scope,
    request: Put,
    key: ItemKey,
    record: Record,
    seen: Seen,
    data: bytes,
    base: bytes,
) -> Composed:
    """The record with the context that its writer will be given."""
    after = seen_by_writer(record, seen, request.operation)
    context = encode_context(key, after)
    scope.recent.remember(key, Composition(data, record, after, context))
    gaps = max(map(len, record.history.gaps.values())) if record.history.gaps else 0
    return Composed(data, context, highest_stamp(record), gaps, base)


def _is_forged(scope: Scope, partition: PartitionId, record: Record, seen: Seen) -> bool:
    """Whether a context covers what nobody can have written: dots of this node that it has not
    issued, or counters that no node reaches. Of others' recent dots only they could tell."""
    if seen.history is record.history:
        return False  # it covers what this record covers
    known, counters = record.history.vector, seen.history.vector
    me = scope.identity.actor
    if counters.get(me, 0) > max(scope.identity.issued(partition), known.get(me, 0)):
        return True
    if max(counters.values(), default=0) < COUNTER_MAX:
        return False
    return any(
        counter >= COUNTER_MAX and counter > known.get(actor, 0)
        for actor, counter in counters.items()
    )


def _seen(key: ItemKey, request: Put, record: Record) -> Seen:
    """What the writer has seen. Most writers have seen exactly this record: then its own history
    serves, which costs no decoding and makes unions of it free."""
    if not request.context:
        return UNSEEN
    all_of_it = seen_by_reader(record)
    if request.context == encode_context(key, all_of_it):
        return all_of_it
    return decode_context(key, request.context)


def _stamp(request: Put, seen_stamp: int) -> Stamp:
    """The same whichever node coordinates an attempt: the client's own stamp, lifted above all
    that the write replaces (causality first)."""
    first = operation_stamp(request.operation)
    return Stamp(max(first, seen_stamp + 1))


def _excess(scope: Scope, table: TableConfig, after: Record, before: Record) -> Failure | None:
    """A limit on siblings refuses the write that adds one, never a merge or a delete."""
    if len(after.values) < 2:
        return None
    most = table.siblings_max or scope.limits.siblings_max
    standing = len(siblings(before))
    if len(siblings(after)) > max(most, standing):
        return Failure(
            Code.TOO_MANY_SIBLINGS,
            f"the item has {standing} siblings, at most {most}; "
            "read it, merge them, and write with the context",
        )
    return None
