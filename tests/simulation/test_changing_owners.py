"""Owners change while disks are lost: together more often than seeds draw them by themselves."""

from dataclasses import replace

import pytest

from dynamo.testing.scenario import TIMING, Scenario, Shape

KINDS = ("leave", "join", "lost disk", "lost disk", "partition", "crash", "pause")
RARE = replace(TIMING, exchange_interval_ms=5000)
"""Anti-entropy comes too late to cover what hints and copying leave out."""
SHAPE = Shape(nodes=5, keys=40, tracks=5, kinds=KINDS, timing=RARE)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [161, 162, 163, 164])
def test_what_was_acknowledged_outlives_changes_of_its_owners(seed: int) -> None:
    """Seed 161 lost a write whose hint went to a former owner (decision 011)."""
    result = Scenario(seed, SHAPE).run()
    assert not result.violation
    assert result.faults.get("leave", 0) + result.faults.get("join", 0)
