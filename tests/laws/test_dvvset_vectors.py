"""The published vectors of dotted version vector sets, as facts about our records.

Source: the EUnit cases of `dvvset.erl` in ricardobcl/Dotted-Version-Vectors (join, update, sync,
sync_update, event, lww_last, reconcile, less, equal, size, ids_values). A clock there is a set of
entries (id, counter, values newest first); ours is a history and values under dots. The adapter
feeds counters: the n-th event of an id in one clock is the n-th dot of an actor.

Left out, because we have no such thing: anonymous values (ours are written only under a dot) and
`map` (values are opaque).
"""

from collections.abc import Iterable

import pytest

from dynamo.history import EMPTY, NO_GAPS, Dot, History
from dynamo.siblings.record import (
    NOTHING,
    UNSEEN,
    Record,
    Value,
    Window,
    merge,
    operation_id,
    written,
)
from dynamo.types import Actor, Stamp

WINDOW = Window(64, 10_000)

Entries = list[tuple[str, int, list[str]]]
"""(id, counter, values newest first), as the published cases write a clock."""


def clock(entries: Entries) -> Record:
    """A clock given by its entries; equal dots are one operation."""
    values = [
        valued(id, counter - age, text)
        for id, counter, texts in entries
        for age, text in enumerate(texts)
    ]
    history = History({Actor(id): counter for id, counter, _ in entries}, NO_GAPS)
    return Record(history, 0, {}, tuple(sorted(values)))


def entries_of(record: Record) -> Entries:
    """The inverse, in the order of the published cases."""
    return [
        (
            actor,
            counter,
            [
                (value.payload or b"").decode()
                for value in sorted(record.values, key=lambda value: -value.counter)
                if value.actor == actor
            ],
        )
        for actor, counter in sorted(record.history.vector.items())
    ]


def valued(id: str, counter: int, text: str) -> Value:
    operation = operation_id(1000 << 16, ord(id[0]), counter)
    return Value(Actor(id), counter, Stamp(1000 << 16), operation, text.encode())


def update(text: str, id: str, seen: Record = NOTHING, at: Record = NOTHING) -> Record:
    """`update(new(join(seen), text), at, id)`: a writer who saw `seen` writes at `at`.

    Their update joins the client's vector in even where the server has never met it, so the next
    counter is above both.
    """
    known = seen.history.union(at.history)
    counter = known.vector.get(Actor(id), 0) + 1
    value = valued(id, counter, text)
    context = UNSEEN._replace(history=join(seen)) if seen.history.vector else UNSEEN
    return written(at, context, value, "siblings", WINDOW)


def join(record: Record) -> History:
    """What a reader of the clock has seen."""
    return record.history


def sync(*records: Record) -> Record:
    joined = NOTHING
    for record in records:
        joined = merge(joined, record, "siblings", WINDOW)
    return joined


def less(one: Record, other: Record) -> bool:
    return other.history.descends(one.history) and not one.history.descends(other.history)


def values(record: Record) -> list[str]:
    return sorted((value.payload or b"").decode() for value in record.values)


def test_join() -> None:
    a1 = update("v1", "a")
    b1 = update("v2", "b", seen=a1, at=a1)
    assert join(NOTHING).vector == {}
    assert join(a1).vector == {"a": 1}
    assert join(b1).vector == {"a": 1, "b": 1}


def test_update() -> None:
    a0 = update("v1", "a")
    a1 = update("v2", "a", seen=a0, at=a0)
    a2 = update("v3", "b", seen=a1, at=a1)
    a3 = update("v4", "b", seen=a0, at=a1)
    a4 = update("v5", "a", seen=a0, at=a1)
    assert entries_of(a0) == [("a", 1, ["v1"])]
    assert entries_of(a1) == [("a", 2, ["v2"])]
    assert entries_of(a2) == [("a", 2, []), ("b", 1, ["v3"])]
    assert entries_of(a3) == [("a", 2, ["v2"]), ("b", 1, ["v4"])]
    assert entries_of(a4) == [("a", 3, ["v5", "v2"])]


A = update("v1", "a")
A1 = update("v2", "a", seen=A, at=A)
SYNC_CASES = {
    "an older empty clock takes what it covers": (
        [clock([("a", 1, [])]), clock([("a", 2, ["v2", "v1"])])],
        [("a", 2, ["v2"])],
    ),
    "a newer version replaces": ([A, A1], [("a", 2, ["v2"])]),
    "two writers after one read": (
        [update("v3", "c", seen=A1), update("v3", "b", seen=A1)],
        [("a", 2, []), ("b", 1, ["v3"]), ("c", 1, ["v3"])],
    ),
    "strangers: an empty clock": (
        [clock([("x", 1, [])]), A],
        [("a", 1, ["v1"]), ("x", 1, [])],
    ),
    "strangers: two values": (
        [A, update("v2", "b")],
        [("a", 1, ["v1"]), ("b", 1, ["v2"])],
    ),
}


@pytest.mark.parametrize("case", SYNC_CASES)
def test_sync(case: str) -> None:
    (one, other), expected = SYNC_CASES[case]
    assert entries_of(sync(one, other)) == expected
    assert entries_of(sync(other, one)) == expected


def test_sync_update() -> None:
    """Mary writes v1 and v2 without a context; Peter writes v3 after he read v1."""
    a0 = update("v1", "a")
    a1 = update("v2", "a", at=a0)
    a2 = update("v3", "a", seen=a0, at=a1)
    assert join(a0).vector == {"a": 1}
    assert entries_of(a0) == [("a", 1, ["v1"])]
    assert entries_of(a1) == [("a", 2, ["v2", "v1"])]
    assert entries_of(a2) == [("a", 3, ["v3", "v2"])]


def test_event() -> None:
    """A new event covers nothing of what its writer did not read."""
    assert entries_of(update("v2", "a", at=A)) == [("a", 2, ["v2", "v1"])]
    assert entries_of(update("v2", "b", at=A)) == [("a", 1, ["v1"]), ("b", 1, ["v2"])]


LWW_CASES: list[tuple[Entries, dict[str, int], Entries]] = [
    (
        [("a", 4, ["5", "2"]), ("b", 1, []), ("c", 1, ["3"])],
        {"5": 5, "2": 2, "3": 3},
        [("a", 4, ["5"]), ("b", 1, []), ("c", 1, [])],
    ),
    (
        [("a", 4, ["5", "7"]), ("b", 1, ["4"])],
        {"5": 1002345, "7": 1002340, "4": 1001340},
        [("a", 4, ["5"]), ("b", 1, [])],
    ),
]


@pytest.mark.parametrize(("entries", "times", "expected"), LWW_CASES)
def test_lww_last(entries: Entries, times: dict[str, int], expected: Entries) -> None:
    """The latest stays in its place, the history stays whole; it is met value by value."""
    whole = clock(entries)
    lone = [
        Record(whole.history.without(others(whole, value)), 0, {}, (timed(value, times),))
        for value in whole.values
    ]
    for order in (lone, lone[::-1]):
        joined = NOTHING
        for record in order:
            joined = merge(joined, record, "lww", WINDOW)
        assert entries_of(joined) == expected
        assert not joined.history.gaps


def others(record: Record, kept: Value) -> list[Dot]:
    return [Dot(value.actor, value.counter) for value in record.values if value is not kept]


def timed(value: Value, times: dict[str, int]) -> Value:
    return value._replace(stamp=Stamp(times[(value.payload or b"").decode()]))


@pytest.mark.parametrize(("rule", "winner"), [(sum, "10"), (min, "2")])
def test_reconcile(rule: object, winner: str) -> None:
    """One value in place of all, with the same causal past: a write by who has seen everything."""
    found = clock([("a", 4, ["5", "2"]), ("b", 1, []), ("c", 1, ["3"])])
    assert str(rule(map(int, values(found)))) == winner  # type: ignore[operator]
    merged = update(winner, "d", seen=found, at=found)
    assert entries_of(merged) == [("a", 4, []), ("b", 1, []), ("c", 1, []), ("d", 1, [winner])]


def test_less() -> None:
    a = update("v1", "a")
    b = update("v2", "a", seen=a)
    b2 = update("v2", "b", seen=a)
    b3 = update("v2", "z", seen=a)
    c = update("v3", "c", seen=b, at=a)
    d = update("v4", "d", seen=c, at=b2)
    for smaller, larger in ((a, b), (a, c), (b, c), (b, d), (b2, d), (a, d)):
        assert less(smaller, larger)
    for one, other in ((b2, c), (b, b2), (b2, b), (a, a), (c, c), (d, b2), (b3, d)):
        assert not less(one, other)


def test_equal() -> None:
    """Equality of causal pasts does not look at values."""
    a = clock([("a", 4, ["v5", "v0"]), ("c", 1, ["v3"])])
    b = clock([("a", 4, ["v555", "v0"]), ("c", 1, ["v3"])])
    c = clock([("a", 4, ["v5", "v0"])])
    assert a.history == b.history != c.history


def test_size_ids_and_values() -> None:
    a = clock([("a", 4, ["v0", "v5"]), ("c", 1, ["v3"])])
    empty = clock([("a", 4, [])])
    assert ids(a) == ["a", "c"]
    assert values(a) == ["v0", "v3", "v5"]
    assert len(a.values) == 3
    assert ids(empty) == ["a"]
    assert values(empty) == []
    assert NOTHING.history is EMPTY


def ids(record: Record) -> Iterable[str]:
    return sorted(record.history.vector)
