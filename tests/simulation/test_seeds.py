"""P1, P3, P4, P5 and P8 in 150 simulated clusters under overlapping faults.

Each seed draws its own shape (`dynamo.testing.swarm`) and has at least 2,000 client operations.
`make sim SEEDS=5000` runs more, `make sim SEED=n` repeats one.
"""

from collections.abc import Callable

import pytest

from dynamo.testing.faults import KINDS
from dynamo.testing.runs import Summary, run_seeds

SEEDS, CHUNK = 150, 10
OPERATIONS_MIN = 2000
FAULTS_AT_ONCE_MIN = 3


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_promise_holds(first: int, record_property: Callable[[str, object], None]) -> None:
    summary = Summary()
    for result in run_seeds(range(first, first + CHUNK), jobs=1):
        summary.add(result)
        assert result.operations >= OPERATIONS_MIN or result.violation
    record_property("simulated faults", dict(summary.faults))
    record_property("simulated operations", dict(summary.outcomes))
    assert not summary.failed, "\n".join(summary.lines())
    assert summary.overlapping_min >= FAULTS_AT_ONCE_MIN
    assert all(summary.faults[kind] for kind in KINDS), "every kind of fault occurs in ten seeds"
