"""Causal histories: the vector clock of the paper's section 4.4, exact about what was not seen.

A *dot* is one write: (actor, counter). A history is a set of dots, held as a version vector
(actor -> highest counter) and the *gaps* below it:

    n1 ■■■■■□□□■■      vector {n1: 10}, gaps {n1: ((6, 8),)}      □ = not seen

Almost every history has no gap; then it is a plain version vector and every operation takes the
short way. Gaps say the truth in two places where a plain vector would lie, and where a lie loses
an acknowledged write:

- A coordinator that crashed may have shipped dots that it no longer remembers. After an unclean
  start its new dots leave a gap over all that it may have forgotten (Riak's kv679 family).
- A put's returned context covers its own dot but not siblings that the writer never saw.

Law: every method equals the same operation on the sets of dots (tests/laws/test_history_laws.py).
"""

from collections.abc import Mapping
from typing import NamedTuple

from dynamo.types import Actor

Interval = tuple[int, int]
"""First and last counter, both included."""

ENDLESS = 1 << 64
"""Above every counter: `missing` ends with an interval that reaches it."""


class Dot(NamedTuple):
    """One write: the counter-th of an actor in one partition (never reused)."""

    actor: Actor
    counter: int


class History(NamedTuple):
    """A set of dots. Immutable: the mappings are never changed after creation."""

    vector: Mapping[Actor, int]
    gaps: Mapping[Actor, tuple[Interval, ...]]

    def covers(self, actor: Actor, counter: int) -> bool:
        """Whether the dot is in the set."""
        if counter > self.vector.get(actor, 0):
            return False
        if not self.gaps:
            return True
        return not any(first <= counter <= last for first, last in self.gaps.get(actor, ()))

    def descends(self, other: "History") -> bool:
        """Whether the set contains all of `other`."""
        if not self.gaps:
            vector = self.vector
            return all(vector.get(actor, 0) >= counter for actor, counter in other.vector.items())
        return all(
            _intersection(self.missing(actor), other.missing(actor)) == self.missing(actor)
            for actor in other.vector
        )

    def union(self, other: "History") -> "History":
        """All dots of both."""
        if not self.gaps and not other.gaps:
            vector = dict(self.vector)
            for actor, counter in other.vector.items():
                if vector.get(actor, 0) < counter:
                    vector[actor] = counter
            return History(vector, NO_GAPS)
        return _from_missing(
            {
                actor: _intersection(self.missing(actor), other.missing(actor))
                for actor in {**self.vector, **other.vector}
            }
        )

    def with_dot(self, actor: Actor, counter: int, forgotten_up_to: int = 0) -> "History":
        """This set and a new dot, the actor's highest.

        What lies between the actor's highest dot here and the new one is taken as seen, because
        the actor itself issues in order, except what it may have forgotten: up to
        `forgotten_up_to` (its counter at its last unclean start).
        """
        highest = self.vector.get(actor, 0)
        assert counter > highest, f"dot {actor}:{counter} is issued twice"
        vector = {**self.vector, actor: counter}
        if highest >= forgotten_up_to:
            return History(vector, self.gaps)
        hole = (highest + 1, min(forgotten_up_to, counter - 1))
        return History(vector, {**self.gaps, actor: (*self.gaps.get(actor, ()), hole)})

    def with_lone_dot(self, actor: Actor, counter: int) -> "History":
        """This set and one more dot, nothing else: dots between them stay unseen."""
        alone = _from_missing({actor: ((1, counter - 1), (counter + 1, ENDLESS))})
        return self.union(alone)

    def without(self, dots: list[Dot]) -> "History":
        """This set less the given dots."""
        if not dots:
            return self
        missing = {actor: self.missing(actor) for actor in self.vector}
        for actor, counter in dots:
            if actor in missing:
                missing[actor] = _with_interval(missing[actor], (counter, counter))
        return _from_missing(missing)

    def whole(self) -> "History":
        """Every gap closed. Only for a record that all owners are known to hold alike."""
        return History(self.vector, NO_GAPS)

    def missing(self, actor: Actor) -> tuple[Interval, ...]:
        """The complement for one actor, as intervals in order; the last one is endless."""
        return (*self.gaps.get(actor, ()), (self.vector.get(actor, 0) + 1, ENDLESS))


NO_GAPS: dict[Actor, tuple[Interval, ...]] = {}
EMPTY = History({}, NO_GAPS)


def _from_missing(missing: Mapping[Actor, tuple[Interval, ...]]) -> History:
    """The history whose complement is given. Actors without a dot disappear."""
    vector, gaps = {}, {}
    for actor in sorted(missing):
        intervals = tuple(interval for interval in missing[actor] if interval[0] <= interval[1])
        highest = intervals[-1][0] - 1
        if highest > 0:
            vector[actor] = highest
            if len(intervals) > 1:
                gaps[actor] = intervals[:-1]
    return History(vector, gaps)


def _intersection(one: tuple[Interval, ...], other: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """What is in both, of two ordered lists of disjoint, non-touching intervals."""
    found: list[Interval] = []
    i = j = 0
    while i < len(one) and j < len(other):
        first = max(one[i][0], other[j][0])
        last = min(one[i][1], other[j][1])
        if first <= last:
            found.append((first, last))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def _with_interval(intervals: tuple[Interval, ...], added: Interval) -> tuple[Interval, ...]:
    """One interval more; those that touch or overlap become one."""
    merged: list[Interval] = []
    for first, last in sorted((*intervals, added)):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
