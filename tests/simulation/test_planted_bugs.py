"""The simulator finds every planted bug within 200 seeds, and nothing once it is taken out."""

import pytest

from dynamo.testing.planted import BUGS, planted
from dynamo.testing.scenario import Scenario

SEEDS_MAX = 200
LIMIT_MS = 40_000.0
"""Twice of what a healthy run takes: a cluster that never heals need not be watched for longer."""


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    bug = BUGS[name]
    shape = bug.shape._replace(limit_ms=LIMIT_MS)
    with planted(bug):
        for seed in (bug.seed, *range(SEEDS_MAX)):
            violation = Scenario(seed, shape).run().violation
            if violation:
                break
        else:
            pytest.fail(f"{SEEDS_MAX} seeds did not find: {bug.story}")
    clean = Scenario(seed, shape).run().violation
    assert not clean, f"seed {seed} fails without the bug as well: {clean}"


def test_a_search_begins_within_its_bounds() -> None:
    assert all(0 <= bug.seed < SEEDS_MAX for bug in BUGS.values())


def test_there_are_enough_of_them() -> None:
    assert len(BUGS) >= 10


def test_a_planted_bug_is_taken_out_again() -> None:
    for bug in BUGS.values():
        before = [getattr(place, name) for place, name, _ in bug.patches]
        with planted(bug):
            pass
        assert [getattr(place, name) for place, name, _ in bug.patches] == before
