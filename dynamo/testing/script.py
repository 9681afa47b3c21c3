"""A run written down: which fault began when, and which client did what when.

Every episode and every operation draws from a generator of its own, named by its number, so that
any of them can be left out and the others stay what they were, at the times at which they were.
That is what lets a failing run be shortened (`dynamo.testing.shrink`).
"""

from typing import NamedTuple


class PlannedFault(NamedTuple):
    """The episode of that number."""

    number: int
    kind: str
    at_ms: float


class PlannedOperation(NamedTuple):
    """A client's operation of that number; it begins no sooner, and after its last one ended."""

    client: int
    number: int
    at_ms: float


class Script(NamedTuple):
    """All that happens to a cluster from outside."""

    faults: tuple[PlannedFault, ...] = ()
    operations: tuple[PlannedOperation, ...] = ()
