"""An item's record: a dotted version vector set that also remembers operations.

    Record = history (all dots ever seen here)
           + values  (those not yet overwritten, each under its own dot)
           + operations (recent ids whose value is gone) and a floor for the forgotten ones
           + retried (ids that may have a second dot somewhere, which are remembered for longer)

The law is that of a join: `merge` is commutative, associative and idempotent, and a value survives
it if and only if each side either holds the value or has never seen its dot (Preguiça, Baquero et
al., "Dotted Version Vectors", 2010; the paper's section 4.4 with the defect of plain vector clocks
removed: siblings are never more than the concurrent writes).

A client's retry may give one operation several dots, by several coordinators. They are one event:
readers are shown one of them, and if any of them was overwritten all are. The record keeps every
dot: one that it covers and does not hold was overwritten. The ids of overwritten values are
remembered for a bounded window; below the `floor` a retry is answered `unknown` instead of being
applied twice. A coordinator that is cut off keeps its attempt until it is back; only the id tells
then that the value was replaced. So the ids of operations that were tried more than once stay for
an hour of the item's own time, however many others there are (decision 018).
"""

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

from dynamo.history import EMPTY, Dot, History
from dynamo.hlc import LOGICAL_BITS
from dynamo.types import Actor, OperationId, Stamp

ConflictRule = Literal["siblings", "lww"]

OVERWRITTEN = 1
"""State of a remembered operation: it was applied, and its value is gone."""
VOID = 2
"""State of a remembered operation: a fence, it shall not be applied here. The weakest fact: where
the operation was applied before, the fence has not reached all, and gives way."""

OPERATION_BYTES = 20

OPERATIONS_MIN = 8
"""So many ids stay however old they are: `outcome` of a cool key answers hours later."""


RETRIED_MAX = 256
"""So many ids that were tried more than once stay, however many others come. Raising it: more of
the writes that a partition hides may be replaced before one comes back as a sibling; lowering
it: smaller records where clients retry much."""
RETRIED_MS = 3_600_000
"""For so long, against the newest of the item's operations."""


class Value(NamedTuple):
    """One live value under its dot; `payload` None is a last-write-wins tombstone."""

    actor: Actor
    counter: int
    stamp: Stamp
    operation: OperationId
    payload: bytes | None


class Record(NamedTuple):
    """Everything one replica knows of one item. Immutable."""

    history: History
    floor: int
    """Stamp of the newest forgotten operation."""
    operations: Mapping[OperationId, int]
    values: tuple[Value, ...]
    retried: tuple[OperationId, ...] = ()
    """Those of its operations, live or gone, that were tried more than once; in order."""


class Seen(NamedTuple):
    """What a writer has seen of an item: the content of its context."""

    history: History
    stamp: int
    """The highest stamp seen; a write with this context gets a higher one."""
    operations: tuple[OperationId, ...]
    """Of the values seen. A retry may have given one of them another dot elsewhere, of which the
    history tells nothing; whoever saw the operation has seen that dot as well."""


UNSEEN = Seen(EMPTY, 0, ())


class Window(NamedTuple):
    """How many operation ids a record remembers, and for how long."""

    operations_max: int
    retry_window_ms: int


NOTHING = Record(EMPTY, 0, {}, ())
"""The record of an item that was never written."""


def merge(one: Record, other: Record, rule: ConflictRule, window: Window) -> Record:
    """What is known by knowing both records."""
    if supersedes(one, other):
        return one
    if supersedes(other, one):
        return other
    gone = _joined_operations(one.operations, other.operations)
    survivors = _survivors(one, other)
    for value in (*one.values, *other.values):
        if value not in survivors:
            gone[value.operation] = OVERWRITTEN
        elif gone.get(value.operation) == VOID:
            del gone[value.operation]
    live = [value for value in survivors if value.operation not in gone]
    if rule == "lww":
        live = _latest(live, gone)
    values = tuple(sorted(live))
    floor, retried = max(one.floor, other.floor), one.retried
    if other.retried and other.retried != retried:
        retried = tuple(sorted({*retried, *other.retried}))
    return _bounded(one.history.union(other.history), floor, gone, values, window, retried)


def supersedes(one: Record, other: Record) -> bool:
    """Whether `one` knows all that `other` knows: its dots, its operation ids, which of them were
    tried more than once, and which of the values are gone."""
    if not one.history.descends(other.history):
        return False
    marks = other.retried
    if marks and marks != one.retried and not set(one.retried).issuperset(marks):
        return False
    operations = one.operations
    if not (other.operations.keys() <= operations.keys()):
        live = {value.operation for value in one.values}
        for operation, state in other.operations.items():
            if operation not in operations and operation_stamp(operation) > one.floor:
                if state == VOID and operation in live:
                    continue
                return False
    if VOID in operations.values() and _was_applied(operations, other):
        return False
    for value in other.values:
        operation = value.operation
        if operation not in operations and operation_stamp(operation) > one.floor:
            for mine in one.values:
                if mine.operation == operation:
                    break
            else:
                return False
    covered = other.history.covers
    return not any(
        covered(value.actor, value.counter) and value not in other.values for value in one.values
    )


def written(
    record: Record,
    seen: Seen,
    value: Value,
    rule: ConflictRule,
    window: Window,
    forgotten_up_to: int = 0,
    *,
    retried: bool = False,
) -> Record:
    """The record after a coordinator's put of `value` (payload None: delete) by a writer who
    had `seen` that much. Values it saw are replaced, others stay as siblings. `retried`: it is not
    the operation's first attempt.

    Under `lww` the latest of all stays, and that need not be the new one.
    """
    gone = dict(record.operations)
    for operation in seen.operations:
        gone[operation] = OVERWRITTEN
    for old in record.values:
        if seen.history.covers(old.actor, old.counter):
            gone[old.operation] = OVERWRITTEN
    kept = [old for old in record.values if old.operation not in gone]
    if value.payload is not None or rule == "lww":
        kept.append(value)
        kept.sort()
    else:
        gone[value.operation] = OVERWRITTEN
    if rule == "lww":
        kept = _latest(kept, gone)
    known = record.history
    if seen is not UNSEEN and seen.history is not known:
        known = known.union(seen.history)
    history = known.with_dot(value.actor, value.counter, forgotten_up_to)
    marked = _with(record.retried, value.operation) if retried else record.retried
    return _bounded(history, record.floor, gone, tuple(kept), window, marked)


def tried_again(record: Record, operation: OperationId, window: Window) -> Record:
    """The record, which knows the operation, once it knows that it was tried more than once."""
    history, floor, operations, values, retried = record
    marked = _with(retried, operation)
    return _bounded(history, floor, operations, values, window, marked)


def voided(
    record: Record,
    operation: OperationId,
    actor: Actor,
    counter: int,
    window: Window,
    forgotten_up_to: int = 0,
) -> Record:
    """The record that refuses `operation` for ever (within the window). It takes a dot of its
    own, so that a history tells who knows of the refusal."""
    history = record.history.with_dot(actor, counter, forgotten_up_to)
    gone = {**record.operations, operation: VOID}
    return _bounded(history, record.floor, gone, record.values, window, record.retried)


def fate(record: Record, operation: OperationId) -> int | None:
    """OVERWRITTEN, VOID, 0 for a live value, or None if the record knows nothing of it."""
    for value in record.values:
        if value.operation == operation:
            return 0
    return record.operations.get(operation)


def forgotten(record: Record, operation: OperationId) -> bool:
    """Whether the operation, if it was ever applied here, may have been forgotten since."""
    return operation_stamp(operation) <= record.floor


def siblings(record: Record) -> list[Value]:
    """The live values as readers are shown them: one for each operation."""
    values = record.values
    if len(values) < 2:
        return list(values)
    return list({value.operation: value for value in reversed(values)}.values())[::-1]


def seen_by_reader(record: Record) -> Seen:
    """What a reader of this record has seen: everything."""
    if len(record.values) == 1:
        _, _, stamp, operation, _ = record.values[0]
        return Seen(record.history, stamp, (operation,))
    operations = tuple(value.operation for value in siblings(record))
    return Seen(record.history, highest_stamp(record), operations)


def seen_by_writer(record: Record, seen: Seen, operation: OperationId) -> Seen:
    """What a writer knows who had `seen` that much and whose `operation` is in `record`: all of
    the record's history but the dots of siblings that it never saw."""
    if len(record.values) == 1 and record.values[0].operation == operation:
        return Seen(record.history, record.values[0].stamp, (operation,))
    unseen = [
        Dot(value.actor, value.counter)
        for value in record.values
        if value.operation != operation and not seen.history.covers(value.actor, value.counter)
    ]
    return Seen(record.history.without(unseen), highest_stamp(record), (operation,))


def highest_stamp(record: Record) -> Stamp:
    """Of all live values; 0 without any."""
    if len(record.values) == 1:
        return record.values[0].stamp
    return max([value.stamp for value in record.values], default=Stamp(0))


def operation_id(stamp: int, session: int, sequence: int) -> OperationId:
    """The 20 bytes that name one operation, sorted by stamp."""
    return OperationId(_OPERATION.pack(stamp, session, sequence))


def operation_stamp(operation: OperationId) -> int:
    """The stamp of the first attempt."""
    return int.from_bytes(operation[:8], "big")


_OPERATION = struct.Struct(">QQI")


def _survivors(one: Record, other: Record) -> list[Value]:
    """Values that each side either holds or has never seen."""
    both = set(one.values).intersection(other.values)
    covered_by_one, covered_by_other = one.history.covers, other.history.covers
    return [
        value
        for value in one.values
        if value in both or not covered_by_other(value.actor, value.counter)
    ] + [
        value
        for value in other.values
        if value not in both and not covered_by_one(value.actor, value.counter)
    ]


def _latest(values: list[Value], gone: dict[OperationId, int]) -> list[Value]:
    """Under `lww`: the dots of the latest operation. The others join those that are `gone`."""
    if not values:
        return values
    latest = max(values, key=_lateness).operation
    for value in values:
        if value.operation != latest:
            gone[value.operation] = OVERWRITTEN
    return [value for value in values if value.operation == latest]


def _lateness(value: Value) -> tuple[Stamp, OperationId]:
    """The order of `lww`: one order of operations, the same on every replica, in which a write
    stands behind all that it replaced. Anything that two dots of one operation could differ in
    would let two writes each overwrite the other, and both would be gone."""
    return value.stamp, value.operation


def _was_applied(fences: Mapping[OperationId, int], other: Record) -> bool:
    """Whether the other record knows an operation as applied that is fenced off here."""
    applied = {value.operation for value in other.values}
    applied.update(key for key, state in other.operations.items() if state != VOID)
    return any(state == VOID and key in applied for key, state in fences.items())


def _joined_operations(
    one: Mapping[OperationId, int], other: Mapping[OperationId, int]
) -> dict[OperationId, int]:
    """All ids of both; that it was applied is the stronger fact."""
    joined = {**one, **other}
    for operation, state in joined.items():
        if state == VOID and one.get(operation) == OVERWRITTEN:
            joined[operation] = OVERWRITTEN
    return joined


def _with(retried: tuple[OperationId, ...], operation: OperationId) -> tuple[OperationId, ...]:
    return retried if operation in retried else tuple(sorted((*retried, operation)))


def _bounded(
    history: History,
    floor: int,
    operations: Mapping[OperationId, int],
    values: tuple[Value, ...],
    window: Window,
    retried: tuple[OperationId, ...],
) -> Record:
    """The record with its list of ids cut to the window, and the floor raised to the cut."""
    if len(operations) <= OPERATIONS_MIN and not retried:
        return Record(history, floor, operations, values)
    ordered = sorted(operations)
    newest = operation_stamp(ordered[-1]) if ordered else 0
    if retried:
        retried = _still_kept(operations, values, retried)
        kept = set(retried)
        ordered = [operation for operation in ordered if operation not in kept]
    excess = len(ordered) - OPERATIONS_MIN
    oldest = newest - (window.retry_window_ms << LOGICAL_BITS)
    cut = max(0, len(ordered) - window.operations_max)
    while cut < excess and operation_stamp(ordered[cut]) < oldest:
        cut += 1
    if not cut:
        return Record(history, floor, operations, values, retried)
    floor = max(floor, operation_stamp(ordered[cut - 1]))
    left = sorted((*ordered[cut:], *(each for each in retried if each in operations)))
    return Record(history, floor, {key: operations[key] for key in left}, values, retried)


def _still_kept(
    operations: Mapping[OperationId, int],
    values: tuple[Value, ...],
    retried: tuple[OperationId, ...],
) -> tuple[OperationId, ...]:
    """Those that are known at all and are not too old, the newest if they are too many."""
    live = {value.operation for value in values}
    newest = max(map(operation_stamp, (*operations, *live)), default=0)
    oldest = newest - (RETRIED_MS << LOGICAL_BITS)
    kept = [
        each
        for each in retried
        if (each in operations or each in live) and operation_stamp(each) >= oldest
    ]
    return tuple(kept[-RETRIED_MAX:])
