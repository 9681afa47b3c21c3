"""The promises as checks on the history, at every answer and at the end.

    a read returned V, having begun when A was acknowledged
      regular (P5)   every write of A is in V, or was replaced by V's writes or by some delete
      exact (P4)     no write of V was replaced by another of V, or by an acknowledged one, or was
                     denied, or stands there twice
    an acknowledgement (P1)   W disks hold the operation durably at that moment
    a denial (P8)             all N disks hold a fence against it, and no member's holds it
    at the end (P1, P3, P4)   the same of every replica's record, and all replicas are alike

Under `lww` a later write replaces as a context does (`Write.place`). One softening: a write of
several uncertain attempts may have several dots; a context that covers one of them meets the other
by itself only when the replicas have exchanged what they know, so until then it may show up beside
its successor. If that successor was read, and replaced by its readers, before a crash took it from
the only memory that it was in, nobody is left who knows, and the other dot stays: so for such a
write only successors count at the end whose authors were told by a replica that they are durable
(seed 59: an outcome alone said `applied`, for others had replaced it). And a retry that a partition
hides may come back if the first attempt was replaced by somebody who did not know of the retry, and
more ids than a record remembers came since: then nothing tells it from a new write (decision 018;
`check_final` counts them, and the other way round, which is the common one, forgives nothing).
"""

from collections.abc import Iterable
from functools import lru_cache

from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import (
    OVERWRITTEN,
    VOID,
    Record,
    fate,
    forgotten,
    siblings,
    supersedes,
)
from dynamo.testing.history import KeyHistory, Read, numbers
from dynamo.testing.store import Violation
from dynamo.types import OperationId


def check_read(
    history: KeyHistory, read: Read, payloads: tuple[bytes, ...], stamp: int, where: str
) -> int:
    """The set of writes that a read returned. Raises Violation."""
    found = found_writes(history, payloads, where)
    check_exact(history, read, found, where)
    missing = read.acknowledged & ~(found | history.replaced_by(found) | history.deleted)
    if missing and history.rule == "lww":
        missing = _not_outdone(history, missing, found, stamp)
    if missing:
        raise Violation(
            f"{where} does not show acknowledged {history.describe(missing)}; "
            f"it shows {history.describe(found) or 'nothing'}"
        )
    return found


def found_writes(history: KeyHistory, payloads: tuple[bytes, ...], where: str) -> int:
    """Payloads as a set of writes. Raises Violation for an unknown or repeated one."""
    found = 0
    for payload in payloads:
        write = history.by_payload.get(payload)
        if write is None:
            raise Violation(f"{where} shows {payload[:40]!r}, which nobody wrote")
        if found & write.bit:
            raise Violation(f"{where} shows {write} twice")
        found |= write.bit
    if history.rule == "lww" and len(payloads) > 1:
        raise Violation(f"{where} shows siblings: {history.describe(found)}")
    return found


def check_exact(history: KeyHistory, read: Read, found: int, where: str) -> None:
    """Nothing false is shown."""
    if denied := found & read.denied:
        raise Violation(f"{where} shows {history.describe(denied)}, told not to be applied")
    for number in numbers(found):
        write = history.writes[number]
        if write.uncertain > 1:
            continue
        if write.bit & read.forbidden:
            by = [w for w in history.writes if w.replaces & write.bit and w.status != "open"]
            raise Violation(f"{where} shows {write}, replaced by {by}")
        if write.bit & history.replaced_by(found):
            raise Violation(
                f"{where} shows {write} beside its successor: {history.describe(found)}"
            )


def check_durable(
    history: KeyHistory, operation: OperationId, disks: Iterable[list[bytes]], w: int, where: str
) -> None:
    """At least W disks hold a record that knows of the operation."""
    knowing = 0
    for records in disks:
        knowing += any(_knows(record, operation) for record in records)
        if knowing >= w:
            return
    raise Violation(
        f"{where} acknowledges a write of {history.name} that {knowing} disks hold, not {w}"
    )


def check_fenced(
    history: KeyHistory, operation: OperationId, disks: list[list[bytes]], where: str
) -> None:
    """Every owner's disk holds a fence against the operation."""
    fenced = sum(any(_knows(record, operation) for record in records) for records in disks)
    if fenced < len(disks):
        raise Violation(f"{where} denies a write of {history.name} with {fenced} disks fenced off")


def check_gone(
    history: KeyHistory, operation: OperationId, disks: list[list[bytes]], where: str
) -> None:
    """No disk of a member keeps the operation, for itself or another."""
    for records in disks:
        for record in records:
            if fate(_decoded(record), operation) in (0, OVERWRITTEN):
                raise Violation(f"{where} denies a write of {history.name} that a disk holds")


def check_record(history: KeyHistory, read: Read, record: Record, where: str) -> int:
    """A replica's record at the end, as if it were a read."""
    payloads = tuple(v.payload for v in siblings(record) if v.payload is not None)
    stamp = max((value.stamp for value in record.values), default=0)
    return check_read(history, read, payloads, stamp, where)


def alike(one: Record, other: Record) -> bool:
    """Whether two replicas know and hold the same."""
    return supersedes(one, other) and supersedes(other, one) and one.values == other.values


def check_final(history: KeyHistory, found: int, record: Record | None = None) -> int:
    """The maximal set, exactly: also writes of many attempts are shown only if nothing replaced
    them, now that all replicas know everything. How many are back although they were replaced,
    because an attempt of theirs came late: it is counted. Without a `record` none may be."""
    back = 0
    for number in numbers(found):
        write = history.writes[number]
        forbidden = history.forbidden if write.uncertain < 2 else history.durably_replaced()
        if write.bit & (forbidden | history.replaced_by(found)):
            if record is None or not _came_late(record, write.operation):
                raise Violation(f"at the end {write} is back, beside {history.describe(found)}")
            back += 1
    return back


def _came_late(record: Record, operation: OperationId) -> bool:
    """Whether this is a retry that a partition hid until its operation was forgotten, which was
    replaced where nobody knew of the retry."""
    return operation in record.retried and forgotten(record, operation)


def _not_outdone(history: KeyHistory, missing: int, found: int, stamp: int) -> int:
    """Those of the missing that come later than the value shown (or the delete behind it, which
    may have been removed since)."""
    places = [history.writes[number].place for number in numbers(found)]
    if not places and not stamp:
        places = [
            w.place for w in history.writes if w.payload is None and w.status != "not applied"
        ]
    shown = max(places, default=(stamp, OperationId(b"\xff" * 20)))
    if shown >= history.latest:
        return 0
    left = 0
    for number in numbers(missing):
        if history.writes[number].place > shown:
            left |= 1 << number
    return left


_decoded = lru_cache(maxsize=256)(decode_record)
"""Replicas hold the same bytes, and are looked at again and again."""


def _knows(record: bytes, operation: OperationId) -> bool:
    decoded = _decoded(record)
    known = fate(decoded, operation)
    return known in (0, OVERWRITTEN, VOID) or forgotten(decoded, operation)
