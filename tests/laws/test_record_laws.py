"""Records are a join semilattice, and siblings are the maximal concurrent writes.

The naive oracle keeps every write ever made with the set of writes its author had seen.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.history import EMPTY, Dot, History
from dynamo.siblings.codec import (
    decode_context,
    decode_record,
    encode_context,
    encode_record,
    verified,
)
from dynamo.siblings.record import (
    NOTHING,
    Record,
    Value,
    Window,
    context_after,
    fate,
    merge,
    operation_id,
    supersedes,
    voided,
    written,
)
from dynamo.types import Actor, Stamp, TableId

WINDOW = Window(64, 10_000)
REPLICAS = 3


class Model:
    """Three replicas that write, ship and merge; beside each the set of writes it has seen."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.records = [NOTHING] * REPLICAS
        self.contexts: list[History] = [EMPTY]
        self.counters = [0] * REPLICAS
        self.operations = 0
        self.stamp = 1000 << 16
        self.overwrites: dict[int, frozenset[int]] = {}
        self.seen: list[frozenset[int]] = [frozenset()] * REPLICAS
        self.context_seen: list[frozenset[int]] = [frozenset()]

    def write(self, at: int, context: int, delete: bool) -> None:
        """A client writes at a replica with one of the contexts that were ever returned."""
        context %= len(self.contexts)
        self.operations += 1
        self.stamp += 1
        self.counters[at] += 1
        number, actor = self.operations, Actor(f"n{at}/x")
        value = Value(
            actor,
            self.counters[at],
            Stamp(self.stamp),
            operation_id(self.stamp, 1, number),
            None if delete else str(number).encode(),
        )
        seen = self.contexts[context]
        record = written(self.records[at], seen, value, self.rule, WINDOW)  # type: ignore[arg-type]
        overwritten = self.context_seen[context]
        if self.rule == "lww":
            overwritten |= self.seen[at]
        if delete and self.rule == "siblings":
            overwritten |= {number}
        self.overwrites[number] = frozenset(overwritten)
        self.records[at] = record
        self.seen[at] |= {number} | self.context_seen[context]
        after = context_after(record, seen, Dot(actor, value.counter))
        self.contexts.append(after)
        self.context_seen.append(self.context_seen[context] | {number})

    def read(self, at: int) -> None:
        """A client reads one replica and keeps the context."""
        self.contexts.append(self.records[at].history)
        self.context_seen.append(self.seen[at])

    def ship(self, source: int, target: int) -> None:
        """A replica's record reaches another and is merged there."""
        incoming = decode_record(encode_record(self.records[source]))
        self.records[target] = merge(self.records[target], incoming, self.rule, WINDOW)  # type: ignore[arg-type]
        self.seen[target] |= self.seen[source]

    def expected(self, at: int) -> set[bytes]:
        """Siblings by definition: writes seen that no write seen has overwritten."""
        gone: set[int] = set()
        for number in self.seen[at]:
            gone |= self.overwrites[number]
        return {str(number).encode() for number in self.seen[at] - gone}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2), st.integers(0, 50), st.booleans()),
        st.tuples(st.just("read"), st.integers(0, 2)),
        st.tuples(st.just("ship"), st.integers(0, 2), st.integers(0, 2)),
    ),
    max_size=30,
)


def played(rule: str, moves: list[tuple]) -> Model:  # type: ignore[type-arg]
    """The model after these steps."""
    model = Model(rule)
    for name, *arguments in moves:
        getattr(model, name)(*arguments)
    return model


@given(steps)
@settings(max_examples=300)
def test_siblings_are_exactly_the_maximal_concurrent_writes(moves: list) -> None:  # type: ignore[type-arg]
    model = played("siblings", moves)
    for at in range(REPLICAS):
        assert {value.payload for value in model.records[at].values} == model.expected(at)


@given(steps, st.sampled_from(["siblings", "lww"]))
@settings(max_examples=200)
def test_merge_is_a_join(moves: list, rule: str) -> None:  # type: ignore[type-arg]
    a, b, c = played(rule, moves).records

    def join(one: Record, other: Record) -> Record:
        return merge(one, other, rule, WINDOW)  # type: ignore[arg-type]

    assert join(a, a) == a
    assert same(join(a, b), join(b, a))
    assert same(join(join(a, b), c), join(a, join(b, c)))
    assert supersedes(join(a, b), a)
    assert supersedes(join(a, b), b)


@given(steps)
def test_last_write_wins_keeps_one_value(moves: list) -> None:  # type: ignore[type-arg]
    model = played("lww", moves)
    a, b, c = model.records
    joined = merge(merge(a, b, "lww", WINDOW), c, "lww", WINDOW)
    assert len(joined.values) <= 1
    if model.operations:
        highest = max((v for r in model.records for v in r.values), key=lambda v: v.stamp)
        assert joined.values[0].stamp >= highest.stamp


@given(steps)
def test_bytes_come_back_as_the_same_record(moves: list) -> None:  # type: ignore[type-arg]
    for record in played("siblings", moves).records:
        data = encode_record(record)
        assert verified(data)
        assert decode_record(data) == record
        context = encode_context(TableId(1), record.history)
        assert decode_context(TableId(1), context) == record.history


@given(steps, steps)
def test_a_retry_under_another_dot_is_the_same_event(before: list, after: list) -> None:  # type: ignore[type-arg]
    model = played("siblings", before)
    operation, stamp = operation_id(5 << 16, 9, 1), Stamp(5 << 16)
    for at in (0, 1):
        model.counters[at] += 1
        value = Value(Actor(f"n{at}/x"), model.counters[at], stamp, operation, b"retried")
        if fate(model.records[at], operation) is None:
            model.records[at] = written(model.records[at], EMPTY, value, "siblings", WINDOW)
    a, b, _ = model.records
    joined = merge(a, b, "siblings", WINDOW)
    assert sum(value.operation == operation for value in joined.values) <= 1
    once = written(
        a,
        a.history,
        Value(Actor("n2/x"), 999, stamp, operation_id(1, 1, 1), b"new"),
        "siblings",
        WINDOW,
    )
    healed = merge(once, b, "siblings", WINDOW)
    assert all(value.operation != operation for value in healed.values)


@given(steps)
def test_a_voided_operation_never_appears(moves: list) -> None:  # type: ignore[type-arg]
    model = played("siblings", moves)
    a, b, _ = model.records
    operation = operation_id(5 << 16, 9, 1)
    fenced = voided(a, operation, Actor("n0/x"), model.counters[0] + 1, WINDOW)
    value = Value(Actor("n1/x"), model.counters[1] + 1, Stamp(1), operation, b"late")
    late = written(b, EMPTY, value, "siblings", WINDOW)
    for joined in (
        merge(fenced, late, "siblings", WINDOW),
        merge(late, fenced, "siblings", WINDOW),
    ):
        assert all(value.operation != operation for value in joined.values)


def same(one: Record, other: Record) -> bool:
    """Equal but for the order in which mappings were filled."""
    return one == other
