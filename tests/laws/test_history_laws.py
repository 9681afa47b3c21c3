"""Histories equal sets of dots under every operation."""

from hypothesis import given
from hypothesis import strategies as st

from dynamo.history import EMPTY, Dot, History
from dynamo.types import Actor

ACTORS = [Actor("a"), Actor("b"), Actor("c")]
COUNTERS_MAX = 12

dots = st.builds(Dot, st.sampled_from(ACTORS), st.integers(1, COUNTERS_MAX))
sets = st.frozensets(dots, max_size=20)


def history_of(members: frozenset[Dot]) -> History:
    """The history with exactly these dots, by the slowest way."""
    history = EMPTY
    for actor, counter in sorted(members):
        history = history.with_lone_dot(actor, counter)
    return history


def set_of(history: History) -> frozenset[Dot]:
    """All dots that the history covers."""
    highest = max(history.vector.values(), default=0)
    assert highest <= COUNTERS_MAX + 2
    return frozenset(
        Dot(actor, counter)
        for actor in ACTORS
        for counter in range(1, highest + 1)
        if history.covers(actor, counter)
    )


@given(sets)
def test_a_history_is_the_set_of_its_dots(members: frozenset[Dot]) -> None:
    assert set_of(history_of(members)) == members


@given(sets, sets)
def test_union_is_the_union(one: frozenset[Dot], other: frozenset[Dot]) -> None:
    assert set_of(history_of(one).union(history_of(other))) == one | other


@given(sets, sets)
def test_descends_is_the_superset(one: frozenset[Dot], other: frozenset[Dot]) -> None:
    assert history_of(one).descends(history_of(other)) == (one >= other)


@given(sets, st.lists(dots, max_size=5))
def test_without_is_the_difference(members: frozenset[Dot], removed: list[Dot]) -> None:
    assert set_of(history_of(members).without(removed)) == members - set(removed)


@given(sets, sets, sets)
def test_union_is_associative_and_canonical(
    one: frozenset[Dot], other: frozenset[Dot], third: frozenset[Dot]
) -> None:
    a, b, c = history_of(one), history_of(other), history_of(third)
    assert a.union(b).union(c) == a.union(b.union(c)) == history_of(one | other | third)


@given(sets, st.sampled_from(ACTORS), st.integers(0, COUNTERS_MAX + 1))
def test_with_dot_leaves_a_gap_over_what_was_forgotten(
    members: frozenset[Dot], actor: Actor, forgotten_up_to: int
) -> None:
    before = history_of(members)
    highest = before.vector.get(actor, 0)
    counter = max(highest, forgotten_up_to) + 1
    after = before.with_dot(actor, counter, forgotten_up_to)
    seen = {Dot(actor, c) for c in range(highest + 1, counter + 1)}
    gap = {Dot(actor, c) for c in range(highest + 1, forgotten_up_to + 1)}
    assert set_of(after) == members | (seen - gap if forgotten_up_to > highest else seen)


@given(sets)
def test_whole_covers_everything_below(members: frozenset[Dot]) -> None:
    history = history_of(members)
    assert not history.whole().gaps
    assert history.whole().descends(history)
