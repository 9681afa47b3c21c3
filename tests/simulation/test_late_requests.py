"""A coordinator that stood still goes on (decision 017)."""

import math
from dataclasses import replace

import pytest

from dynamo import brain
from dynamo.testing.scenario import Scenario
from dynamo.testing.swarm import drawn

SEED = 42141
"""A key that is written often, and a pause longer than an attempt."""


@pytest.mark.slow
@pytest.mark.parametrize("ages_used", [True, False])
def test_a_replaced_value_does_not_come_back_by_an_attempt_that_waited(
    ages_used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ages_used:
        monkeypatch.setattr(brain, "OLD_MS", math.inf)
    shape = drawn(SEED)
    forgetful = shape._replace(limits=replace(shape.limits, operations_max=12))
    violation = Scenario(SEED, forgetful).run().violation
    if ages_used:
        assert not violation
    else:
        assert violation is not None
        assert "is back" in violation
