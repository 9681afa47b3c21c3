"""Operations that were tried more than once: remembered beyond the window, within bounds."""

from dynamo.history import NO_GAPS, History
from dynamo.siblings.codec import decode_record, encode_record
from dynamo.siblings.record import (
    NOTHING,
    RETRIED_MAX,
    RETRIED_MS,
    Record,
    Seen,
    Value,
    Window,
    fate,
    forgotten,
    merge,
    operation_id,
    seen_by_reader,
    supersedes,
    tried_again,
    written,
)
from dynamo.types import Actor, OperationId, Stamp

N1, N2 = Actor("n1/a"), Actor("n2/a")
WINDOW = Window(operations_max=8, retry_window_ms=1000)
MS = 1 << 16


def operation(ms: int) -> OperationId:
    return operation_id(ms * MS, 1, ms)


def value(actor: Actor, counter: int, ms: int) -> Value:
    return Value(actor, counter, Stamp(ms * MS), operation(ms), b"%d" % ms)


def put(record: Record, ms: int, seen: Seen | None = None, *, retried: bool = False) -> Record:
    """Written by n2 at that time, in place of all that is there."""
    counter = record.history.vector.get(N2, 0) + 1
    seen = seen_by_reader(record) if seen is None else seen
    new = value(N2, counter, ms)
    return written(record, seen, new, "siblings", WINDOW, retried=retried)


def after(record: Record, *times: int) -> Record:
    for ms in times:
        record = put(record, ms)
    return record


def test_a_first_attempt_that_a_partition_hid_stays_overwritten() -> None:
    """n1 was cut off with it; the second attempt was replaced, and twenty more writes came."""
    hidden = Record(History({N1: 1}, NO_GAPS), 0, {}, (value(N1, 1, 5),))
    record = after(put(NOTHING, 5, retried=True), *range(6, 26))
    assert fate(record, operation(5)) is not None
    assert merge(record, hidden, "siblings", WINDOW).values == record.values
    unmarked = after(put(NOTHING, 5), *range(6, 26))
    assert len(merge(unmarked, hidden, "siblings", WINDOW).values) == 2, "it is not told from a new"


def test_the_mark_alone_is_news() -> None:
    record = put(NOTHING, 5)
    marked = tried_again(record, operation(5), WINDOW)
    assert not supersedes(record, marked)
    assert supersedes(marked, record)
    assert merge(record, marked, "siblings", WINDOW) == marked


def test_it_is_kept_by_those_who_have_evicted_others() -> None:
    record = after(put(NOTHING, 5, retried=True), *range(6, 26))
    assert record.retried == (operation(5),)
    assert len(record.operations) == WINDOW.operations_max + 1
    assert forgotten(record, operation(6))


def test_no_more_are_kept_than_the_bound() -> None:
    record = NOTHING
    for ms in range(1, RETRIED_MAX + 40):
        record = put(record, ms, retried=True)
    assert len(record.retried) == RETRIED_MAX
    assert record.retried[-1] == operation(RETRIED_MAX + 39)
    assert len(record.operations) <= RETRIED_MAX + WINDOW.operations_max


def test_none_is_kept_for_longer_than_an_hour_of_the_item() -> None:
    record = put(NOTHING, 5, retried=True)
    assert after(record, RETRIED_MS).retried == (operation(5),)
    record = after(record, *range(RETRIED_MS + 6, RETRIED_MS + 20))
    assert record.retried == ()
    assert fate(record, operation(5)) is None


def test_it_survives_its_bytes() -> None:
    record = after(put(NOTHING, 5, retried=True), 6)
    assert decode_record(encode_record(record)) == record
    assert decode_record(encode_record(put(NOTHING, 5))) == put(NOTHING, 5)
