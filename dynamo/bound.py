"""One thing that can grow, with what stops it: a row of `dynamo.bounds`."""

from typing import NamedTuple


class Bound(NamedTuple):
    """One queue, list, cache or store."""

    grows: str
    limits: tuple[str, ...]
    policy: str
    """What happens at the bound."""
    metric: str
    """Where an operator sees it; empty: only by its consequences."""
    shown_by: str
    """The test that fills it, `file::test`, below tests/."""
