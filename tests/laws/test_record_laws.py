"""Records are a join semilattice, and siblings are the maximal concurrent writes.

The naive oracle keeps every write ever made with the set of writes its author had seen.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.siblings.codec import (
    decode_context,
    decode_record,
    encode_context,
    encode_record,
    verified,
)
from dynamo.siblings.record import (
    NOTHING,
    UNSEEN,
    VOID,
    Record,
    Seen,
    Value,
    Window,
    fate,
    merge,
    operation_id,
    seen_by_reader,
    seen_by_writer,
    siblings,
    supersedes,
    voided,
    written,
)
from dynamo.types import Actor, ItemKey, Stamp

WINDOW = Window(64, 10_000)
REPLICAS = 3
ITEM = ItemKey(b"\0\0\0\0\0\1key\0\1")


class Model:
    """Three replicas that write, ship and merge; beside each the set of writes it has seen."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.records = [NOTHING] * REPLICAS
        self.contexts: list[Seen] = [UNSEEN]
        self.counters = [0] * REPLICAS
        self.operations = 0
        self.stamp = 1000 << 16
        self.stamps: list[int] = [0]
        self.writes: list[tuple[int, Value]] = []
        self.overwrites: dict[int, frozenset[int]] = {}
        self.seen: list[frozenset[int]] = [frozenset()] * REPLICAS
        self.context_seen: list[frozenset[int]] = [frozenset()]

    def write(self, at: int, context: int, delete: bool, slow: int) -> None:
        """A client writes at a replica with one of the contexts that were ever returned; its
        clock is `slow` by so much."""
        context %= len(self.contexts)
        self.operations += 1
        self.stamp += 1
        number = self.operations
        first = self.stamp - slow
        stamp = Stamp(max(first, self.contexts[context].stamp + 1))
        payload = None if delete else str(number).encode()
        value = Value(Actor(""), 0, stamp, operation_id(first, 1, number), payload)
        overwritten = self.context_seen[context]
        if delete and self.rule == "siblings":
            overwritten |= {number}
        self.overwrites[number] = frozenset(overwritten)
        self.stamps.append(stamp)
        self.writes.append((context, value))
        self._attempt(number, at)

    def retry(self, at: int, number: int) -> None:
        """An earlier write once more, through this replica."""
        number = number % (self.operations + 1)
        if number and fate(self.records[at], self.writes[number - 1][1].operation) is None:
            self._attempt(number, at)

    def fence(self, at: int, number: int) -> None:
        """Somebody asks what became of an earlier write, which this replica does not know."""
        number = number % (self.operations + 1)
        if number and fate(self.records[at], self.writes[number - 1][1].operation) is None:
            operation = self.writes[number - 1][1].operation
            self.counters[at] += 1
            dot = Actor(f"n{at}/x"), self.counters[at]
            self.records[at] = voided(self.records[at], operation, *dot, WINDOW)

    def _attempt(self, number: int, at: int) -> None:
        context, value = self.writes[number - 1]
        self.counters[at] += 1
        actor, seen = Actor(f"n{at}/x"), self.contexts[context]
        value = value._replace(actor=actor, counter=self.counters[at])
        record = written(self.records[at], seen, value, self.rule, WINDOW)  # type: ignore[arg-type]
        self.records[at] = record
        self.seen[at] |= {number} | self.context_seen[context]
        self.contexts.append(seen_by_writer(record, seen, value.operation))
        # A put's context also covers what its coordinator knew to be overwritten.
        self.context_seen.append((self.context_seen[context] | {number}) | self.overwritten(at))

    def read(self, at: int) -> None:
        """A client reads one replica and keeps the context."""
        self.contexts.append(seen_by_reader(self.records[at]))
        self.context_seen.append(self.seen[at])

    def ship(self, source: int, target: int) -> None:
        """A replica's record reaches another and is merged there."""
        incoming = decode_record(encode_record(self.records[source]))
        self.records[target] = merge(self.records[target], incoming, self.rule, WINDOW)  # type: ignore[arg-type]
        self.seen[target] |= self.seen[source]

    def overwritten(self, at: int) -> frozenset[int]:
        """Writes seen that another write seen has overwritten."""
        gone: set[int] = set()
        for number in self.seen[at]:
            gone |= self.overwrites[number]
        return self.seen[at] & gone

    def expected(self, at: int) -> set[bytes]:
        """Siblings by definition: writes seen that no write seen has overwritten."""
        return {str(number).encode() for number in self.seen[at] - self.overwritten(at)}

    def latest(self, at: int) -> bytes | None:
        """The one value by definition under `lww`: that of the latest write seen."""
        number = max(self.seen[at], key=lambda n: (self.stamps[n], self.writes[n - 1][1].operation))
        return self.writes[number - 1][1].payload


moves_of_all = (
    st.tuples(
        st.just("write"),
        st.integers(0, 2),
        st.integers(0, 50),
        st.booleans(),
        st.integers(0, 20),
    ),
    st.tuples(st.just("read"), st.integers(0, 2)),
    st.tuples(st.just("ship"), st.integers(0, 2), st.integers(0, 2)),
)
a_retry = st.tuples(st.just("retry"), st.integers(0, 2), st.integers(0, 50))
a_fence = st.tuples(st.just("fence"), st.integers(0, 2), st.integers(0, 50))
steps = st.lists(st.one_of(*moves_of_all), max_size=30)
steps_with_retries = st.lists(st.one_of(*moves_of_all, a_retry), max_size=30)
steps_with_fences = st.lists(st.one_of(*moves_of_all, a_retry, a_fence), max_size=30)


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


@given(steps_with_fences, st.sampled_from(["siblings", "lww"]))
@settings(max_examples=500)
def test_merge_is_a_join(moves: list, rule: str) -> None:  # type: ignore[type-arg]
    a, b, c = played(rule, moves).records

    def join(one: Record, other: Record) -> Record:
        return merge(one, other, rule, WINDOW)  # type: ignore[arg-type]

    assert join(a, a) == a
    assert same(join(a, b), join(b, a))
    assert same(join(join(a, b), c), join(a, join(b, c)))
    assert supersedes(join(a, b), a)
    assert supersedes(join(a, b), b)


@given(steps_with_retries)
@settings(max_examples=300)
def test_the_last_write_wins_whatever_clocks_and_retries_do(moves: list) -> None:  # type: ignore[type-arg]
    model = played("lww", moves)
    for at in range(REPLICAS):
        values = [value.payload for value in siblings(model.records[at])]
        assert values == ([model.latest(at)] if model.seen[at] else [])


@given(steps)
def test_bytes_come_back_as_the_same_record(moves: list) -> None:  # type: ignore[type-arg]
    for record in played("siblings", moves).records:
        data = encode_record(record)
        assert verified(data)
        assert decode_record(data) == record
        seen = seen_by_reader(record)
        assert decode_context(ITEM, encode_context(ITEM, seen)) == seen


@given(steps, steps)
def test_a_retry_under_another_dot_is_the_same_event(before: list, after: list) -> None:  # type: ignore[type-arg]
    model = played("siblings", before)
    operation, stamp = operation_id(5 << 16, 9, 1), Stamp(5 << 16)
    for at in (0, 1):
        model.counters[at] += 1
        value = Value(Actor(f"n{at}/x"), model.counters[at], stamp, operation, b"retried")
        if fate(model.records[at], operation) is None:
            model.records[at] = written(model.records[at], UNSEEN, value, "siblings", WINDOW)
    a, b, _ = model.records
    joined = merge(a, b, "siblings", WINDOW)
    assert sum(value.operation == operation for value in siblings(joined)) <= 1
    once = written(
        a,
        seen_by_reader(a),
        Value(Actor("n2/x"), 999, stamp, operation_id(1, 1, 1), b"new"),
        "siblings",
        WINDOW,
    )
    healed = merge(once, b, "siblings", WINDOW)
    assert all(value.operation != operation for value in healed.values)


@given(steps)
def test_a_fence_gives_way_to_whoever_was_first(before: list) -> None:  # type: ignore[type-arg]
    model = played("siblings", before)
    a, b, _ = model.records
    operation = operation_id(5 << 16, 9, 1)
    fenced = voided(a, operation, Actor("n0/x"), model.counters[0] + 1, WINDOW)
    assert fate(fenced, operation) == VOID
    value = Value(Actor("n1/x"), model.counters[1] + 1, Stamp(1), operation, b"first")
    first = written(b, UNSEEN, value, "siblings", WINDOW)
    joined = merge(fenced, first, "siblings", WINDOW)
    assert same(joined, merge(first, fenced, "siblings", WINDOW))
    assert fate(joined, operation) == 0
    assert fate(merge(fenced, b, "siblings", WINDOW), operation) == VOID


def same(one: Record, other: Record) -> bool:
    """Equal but for the order in which mappings were filled."""
    return one == other
