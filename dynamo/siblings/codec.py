"""A record as bytes, and a context as bytes.

    record  = digest (8 bytes) + msgpack [format, mark, vector, gaps, floor, operations, values]
              or, of format 3,   [format, mark, vector, gaps, floor, operations, retried, values]
    context = format (1) + item's tag (4) + msgpack [vector, gaps, stamp, operations] + check (4)

The digest is the first half of mmh3 x64 128 over what follows. It is the record's checksum on
disks and wires, and what a conditional read compares: replicas store a coordinator's bytes
verbatim, so equal replicas have equal digests. Unequal bytes may still be the same record.

The mark (8 bytes, always at the same place) is equal if and only if neither of two records can
teach the other: the hash of history and live dots. It is made once, by whoever encodes the record,
so that hash trees need not decode what they hash (dynamo.siblings.fingerprint).
"""

import mmh3
import msgpack

from dynamo.errors import CorruptData, InvalidContext
from dynamo.history import ENDLESS, NO_GAPS, History
from dynamo.siblings.record import (
    OPERATION_BYTES,
    OVERWRITTEN,
    UNSEEN,
    VOID,
    Record,
    Seen,
    Value,
)
from dynamo.types import ItemKey, OperationId

RECORD_FORMAT = 2
RETRIED_FORMAT = 3
"""Of a record in which some operations were tried more than once."""
CONTEXT_FORMAT = b"\x01"
DIGEST_BYTES = 8
MARK_BYTES = 8
MARK_AT = DIGEST_BYTES + 4
"""Behind one byte each for the list and the format, and two for a string of bytes."""
STAMP_MAX = 1 << 63
CONTEXT_BYTES_MAX = 64 << 10
"""Larger than any honest context; a longer one is refused unread."""

_digest = mmh3.mmh3_x64_128_digest
_tag = mmh3.mmh3_32_digest
_pack = msgpack.Packer(autoreset=True).pack


def encode_record(record: Record) -> bytes:
    """The record's bytes, digest first."""
    (vector, gaps), floor, operations, values, retried = record
    mark, known = mark_of(record), gaps or None
    if retried:
        body = _pack((RETRIED_FORMAT, mark, vector, known, floor, operations, retried, values))
    else:
        body = _pack((RECORD_FORMAT, mark, vector, known, floor, operations, values))
    data: bytes = _digest(body)[:DIGEST_BYTES] + body
    return data


def mark_of(record: Record) -> bytes:
    """What two replicas compare (see above).

    A record of which nothing was tried twice has the mark that it had before that was told.
    Not the digest: replicas prune what they remember of old operations each in its own time, and a
    mapping's order tells who wrote first, so the same record has several forms of bytes. Two that
    supersede each other have one history and the same live dots, and a dot names one value for
    ever.
    """
    (vector, gaps), _, _, values, retried = record
    known = (
        sorted(vector.items()),
        sorted(gaps.items()) if gaps else None,
        sorted([(value.actor, value.counter) for value in values]),
    )
    mark: bytes = _digest(_pack((*known, retried) if retried else known))[:MARK_BYTES]
    return mark


def decode_record(data: bytes) -> Record:
    """The inverse. Raises CorruptData for anything that `encode_record` did not make."""
    try:
        parts = msgpack.unpackb(
            memoryview(data)[DIGEST_BYTES:], use_list=False, strict_map_key=False
        )
        retried: tuple[OperationId, ...] = ()
        if parts[0] == RECORD_FORMAT:
            _, mark, vector, gaps, floor, operations, values = parts
        elif parts[0] == RETRIED_FORMAT:
            _, mark, vector, gaps, floor, operations, retried, values = parts
        else:
            raise CorruptData(f"record of unknown format {parts[0]!r}")
        if data[MARK_AT : MARK_AT + MARK_BYTES] != mark:
            raise CorruptData("a record's mark is not where it belongs")
        record = Record(
            History(vector, gaps or NO_GAPS),
            floor,
            operations,
            tuple(map(Value._make, values)),
            retried,
        )
        if not _is_sound(record):
            raise CorruptData("the parts of a record do not fit together")
    except CorruptData:
        raise
    except Exception as error:
        raise CorruptData(f"record cannot be decoded: {error}") from error
    return record


def _is_sound(record: Record) -> bool:
    """Whether its parts have the types and the bounds that all arithmetic relies on.

    `join` and `sum` look at all parts of one kind in one call; what is of another type raises.
    """
    (vector, gaps), floor, operations, values, retried = record
    if type(vector) is not dict or type(operations) is not dict:
        return False
    if vector and (min(vector.values()) < 1 or type(sum(vector.values())) is not int):
        return False
    "".join(vector)
    if gaps and not (gaps.keys() <= vector.keys() and _are_in_order(History(vector, gaps))):
        return False
    if type(floor) is not int or len(b"".join(operations)) != OPERATION_BYTES * len(operations):
        return False
    if operations and not _STATES.issuperset(operations.values()):
        return False
    if retried and not _are_ids(retried):
        return False
    for value in values:
        actor, counter, _, operation, _ = value
        if tuple(map(type, value)) not in _VALUE_SHAPES or len(operation) != OPERATION_BYTES:
            return False
        if not 0 < counter <= vector.get(actor, 0):
            return False
    return True


_STATES = frozenset({OVERWRITTEN, VOID})
_VALUE_SHAPES = frozenset({(str, int, int, bytes, bytes), (str, int, int, bytes, type(None))})


def verified(data: bytes) -> bool:
    """Whether the digest fits the bytes."""
    return _digest(memoryview(data)[DIGEST_BYTES:])[:DIGEST_BYTES] == data[:DIGEST_BYTES]


def encode_context(item: ItemKey, seen: Seen) -> bytes:
    """The opaque token that a read or a put of `item` returns."""
    (vector, gaps), stamp, operations = seen
    packed: bytes = _pack((vector, gaps or None, stamp, operations))
    body: bytes = CONTEXT_FORMAT + _tag(item) + packed
    return body + _tag(body)


def decode_context(item: ItemKey, context: bytes | None) -> Seen:
    """What the writer has seen of `item`; nothing without a context.

    Raises InvalidContext for a token that was cut, altered, or made for another item: of that one
    it would overwrite what its holder never saw.
    """
    if not context:
        return UNSEEN
    seen = opened_context(context)
    if context[1:5] != _tag(item):
        raise InvalidContext("the context was made for another item")
    return seen


def opened_context(context: bytes) -> Seen:
    """What a context says, whichever item it was made for. Raises InvalidContext."""
    if len(context) > CONTEXT_BYTES_MAX:
        raise InvalidContext(f"the context has {len(context)} bytes, no context is that long")
    body = context[:-4]
    if body[:1] != CONTEXT_FORMAT or _tag(body) != context[-4:]:
        raise InvalidContext("the context was not made by this store, or was altered")
    try:
        vector, gaps, stamp, operations = msgpack.unpackb(
            body[5:], use_list=False, strict_map_key=False
        )
    except Exception as error:
        raise InvalidContext("the context was not made by this store") from error
    history = History(vector, gaps or NO_GAPS)
    _validate(history)
    if not isinstance(stamp, int) or not 0 <= stamp < STAMP_MAX or not _are_ids(operations):
        raise InvalidContext("the context was not made by this store")
    return Seen(history, stamp, operations)


def _validate(history: History) -> None:
    """Refuse a forged history whose shape would break the arithmetic of gaps."""
    vector, gaps = history
    well = isinstance(vector, dict) and isinstance(gaps, dict) and gaps.keys() <= vector.keys()
    if (
        not well
        or not all(
            isinstance(actor, str) and isinstance(counter, int) and 0 < counter < ENDLESS
            for actor, counter in vector.items()
        )
        or not _are_in_order(history)
    ):
        raise InvalidContext("the context was not made by this store")


def _are_ids(operations: object) -> bool:
    """Whether these are operation ids."""
    return isinstance(operations, tuple) and all(
        isinstance(operation, bytes) and len(operation) == OPERATION_BYTES
        for operation in operations
    )


def _are_in_order(history: History) -> bool:
    """Whether each actor's gaps are ordered, disjoint, not touching, and below its highest dot."""
    return all(
        _in_order(intervals, history.vector[actor]) for actor, intervals in history.gaps.items()
    )


def _in_order(intervals: object, below: int) -> bool:
    previous = -1
    if type(intervals) is not tuple:
        return False
    for interval in intervals:
        if type(interval) is not tuple or tuple(map(type, interval)) != (int, int):
            return False
        first, last = interval
        if not previous + 1 < first <= last < below:
            return False
        previous = last
    return bool(intervals)
