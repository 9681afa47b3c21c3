"""What a planted bug is, and how it is put into the code for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from dynamo.testing.scenario import DEFAULT, Shape

Patch = tuple[Any, str, Any]
"""Where, which attribute, and what stands there instead."""


class Bug(NamedTuple):
    """One mistake, and what it would do to a user."""

    story: str
    patches: tuple[Patch, ...]
    shape: Shape = DEFAULT
    """The runs that show it soonest."""
    seed: int = 0
    """Where it was found last, so that the search may begin there."""


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The mistake is in the code inside the context."""
    right = [(place, name, getattr(place, name)) for place, name, _ in bug.patches]
    try:
        for place, name, wrong in bug.patches:
            setattr(place, name, wrong)
        yield
    finally:
        for place, name, function in right:
            setattr(place, name, function)
