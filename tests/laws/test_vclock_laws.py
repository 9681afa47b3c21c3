"""The vector-clock laws of riak_core's `vclock_qc`, against a naive model.

Clocks grow by increments at one of five actors and by merging; the model of each is the set of
events it has seen. Without crashes our histories are plain vector clocks, and the same must hold
when crashes leave gaps in them.

    merge(c...) descends from each c          descends(a, b)  =  events(a) >= events(b)
    dominates(a, b) = descends(a, b) and not descends(b, a)
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.history import EMPTY, Dot, History
from dynamo.types import Actor

pytestmark = pytest.mark.slow

ACTORS = [Actor(name) for name in "abcde"]

Clock = tuple[History, frozenset[Dot]]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("increment"), st.integers(0, 9), st.integers(0, 4)),
        st.tuples(st.just("merge"), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.just("crash"), st.integers(0, 4), st.integers(1, 3)),
    ),
    max_size=30,
)


class Model:
    """Clocks beside the sets of events they stand for."""

    def __init__(self, moves: list[tuple[str, int, int]]) -> None:
        self.clocks: list[Clock] = [(EMPTY, frozenset())]
        self.issued = dict.fromkeys(ACTORS, 0)
        self.forgotten = dict.fromkeys(ACTORS, 0)
        self.own: dict[Actor, Clock] = dict.fromkeys(ACTORS, self.clocks[0])
        for name, one, other in moves:
            getattr(self, name)(one, other)

    def increment(self, clock: int, actor: int) -> None:
        """The actor, which knows its own clock and now that one too, makes an event."""
        name = ACTORS[actor]
        history, events = self._merged(self.own[name], self.clocks[clock % len(self.clocks)])
        self.issued[name] += 1
        dot = Dot(name, self.issued[name])
        history = history.with_dot(*dot, self.forgotten[name])
        self.own[name] = (history, events | {dot})
        self.clocks.append(self.own[name])

    def merge(self, one: int, other: int) -> None:
        clocks = self.clocks
        clocks.append(self._merged(clocks[one % len(clocks)], clocks[other % len(clocks)]))

    def crash(self, actor: int, lost: int) -> None:
        """The actor forgets all it knew; its last `lost` events went out, nobody else has them."""
        name = ACTORS[actor]
        self.issued[name] += lost
        self.forgotten[name] = self.issued[name]
        self.own[name] = (EMPTY, frozenset())

    def _merged(self, one: Clock, other: Clock) -> Clock:
        return one[0].union(other[0]), one[1] | other[1]


def descends(one: History, other: History) -> bool:
    return one.descends(other)


def dominates(one: History, other: History) -> bool:
    return one.descends(other) and not other.descends(one)


@given(steps)
@settings(max_examples=200)
def test_descent_is_the_superset_of_events(moves: list[tuple[str, int, int]]) -> None:
    clocks = Model(moves).clocks
    for history, events in clocks:
        for other, others in clocks:
            assert descends(history, other) == (events >= others)
            assert dominates(history, other) == (events > others)


@given(steps)
@settings(max_examples=200)
def test_a_clock_is_its_events(moves: list[tuple[str, int, int]]) -> None:
    model = Model(moves)
    for history, events in model.clocks:
        for actor in ACTORS:
            for counter in range(1, model.issued[actor] + 1):
                assert history.covers(actor, counter) == (Dot(actor, counter) in events)


@given(steps, st.lists(st.integers(0, 99), min_size=1, max_size=5))
@settings(max_examples=200)
def test_a_merge_descends_from_every_input_and_is_the_least_that_does(
    moves: list[tuple[str, int, int]], chosen: list[int]
) -> None:
    clocks = Model(moves).clocks
    picked = [clocks[index % len(clocks)] for index in chosen]
    merged = EMPTY
    for history, _ in picked:
        merged = merged.union(history)
    events = frozenset[Dot]().union(*(each for _, each in picked))
    assert all(descends(merged, history) for history, _ in picked)
    for history, others in clocks:
        if others >= events:
            assert descends(history, merged)


@given(steps)
@settings(max_examples=100)
def test_order_is_a_partial_order(moves: list[tuple[str, int, int]]) -> None:
    histories = [history for history, _ in Model(moves).clocks][:8]
    for a in histories:
        assert descends(a, a)
        assert not dominates(a, a)
        for b in histories:
            assert not (dominates(a, b) and dominates(b, a))
            if descends(a, b) and descends(b, a):
                assert a == b, "one set of events has one form"
            for c in histories:
                if descends(a, b) and descends(b, c):
                    assert descends(a, c)


@given(steps, st.integers(0, 99), st.integers(0, 4))
@settings(max_examples=100)
def test_an_increment_dominates_and_concurrent_increments_do_not(
    moves: list[tuple[str, int, int]], clock: int, actor: int
) -> None:
    model = Model(moves)
    base = model.clocks[clock % len(model.clocks)][0]
    one, other = ACTORS[actor], ACTORS[(actor + 1) % 5]
    left = base.with_dot(one, model.issued[one] + 1)
    right = base.with_dot(other, model.issued[other] + 1)
    assert dominates(left, base)
    assert dominates(right, base)
    assert not descends(left, right)
    assert not descends(right, left)
