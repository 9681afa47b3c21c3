"""Fingerprints are equal exactly where no replica could teach the other anything.

Replicas write, retry elsewhere, ship and merge in any order; each prunes what it remembers of old
operations in its own time, because its window is its own.
"""

from hypothesis import given
from hypothesis import strategies as st

from dynamo.siblings.codec import encode_record
from dynamo.siblings.fingerprint import fingerprint
from dynamo.siblings.record import (
    NOTHING,
    UNSEEN,
    ConflictRule,
    Record,
    Value,
    Window,
    merge,
    operation_id,
    seen_by_reader,
    supersedes,
    written,
)
from dynamo.types import Actor, ItemKey, Stamp

ITEM = ItemKey(b"\0\0\0\0\0\1key\0\1")
WINDOWS = [Window(64, 10_000), Window(3, 10_000), Window(64, 1)]
steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans(), st.sampled_from("wwdm")),
    max_size=40,
)


def replicas_after(story: list[tuple[int, int, bool, str]], rule: ConflictRule) -> list[Record]:
    records = [NOTHING] * 3
    for number, (at, other, has_read, what) in enumerate(story, 1):
        record = records[at]
        if what == "m":
            records[at] = merge(record, records[other], rule, WINDOWS[at])
            continue
        seen = seen_by_reader(record) if has_read else UNSEEN
        stamp = max(number << 16, seen.stamp + 1)
        payload = None if what == "d" else b"%d" % number
        actor = Actor(f"n{at}")
        value = Value(actor, number, Stamp(stamp), operation_id(stamp, 1, number), payload)
        forgotten_up_to = number - 1 if number % 7 == 0 else 0
        records[at] = written(record, seen, value, rule, WINDOWS[at], forgotten_up_to)
    return records


def hashed(record: Record) -> int:
    return fingerprint(ITEM, encode_record(record))


def alike(one: Record, other: Record) -> bool:
    return one.history.descends(other.history) and other.history.descends(one.history)


@given(steps, st.sampled_from(["siblings", "lww"]))
def test_what_is_equal_is_what_both_have_seen_and_hold(
    story: list[tuple[int, int, bool, str]], rule: ConflictRule
) -> None:
    records = replicas_after(story, rule)
    for one in records:
        for other in records:
            dots = {value[:2] for value in one.values} == {value[:2] for value in other.values}
            assert (hashed(one) == hashed(other)) == (alike(one, other) and dots)


@given(steps, st.sampled_from(["siblings", "lww"]))
def test_a_repair_makes_fingerprints_equal(
    story: list[tuple[int, int, bool, str]], rule: ConflictRule
) -> None:
    """So that a comparison after a repair finds nothing: no repairs for ever."""
    one, other, _ = replicas_after(story, rule)
    here, there = merge(one, other, rule, WINDOWS[0]), merge(other, one, rule, WINDOWS[1])
    assert hashed(here) == hashed(there)
    if supersedes(one, other) and supersedes(other, one):
        assert hashed(one) == hashed(other)
