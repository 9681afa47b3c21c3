"""A hundred and fifty disasters in every run of the checks; `make sim SEEDS=n` makes more."""

import pytest

from dynamo.testing.faults import KINDS
from dynamo.testing.runs import Summary, run_seed

SEEDS = 150
CHUNK = 15


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_promise_holds(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole clusters under at least three overlapping faults, checked by what clients saw."""
    summary = Summary()
    for seed in range(first, first + CHUNK):
        summary.add(run_seed(seed))
    with capsys.disabled():
        print("", *summary.lines(), sep="\n")
    assert not summary.failed
    assert summary.operations >= 2000 * CHUNK
    assert summary.overlapping_min >= 3
    assert all(summary.faults[kind] for kind in KINDS), "a kind of fault never occurred"
