"""A coordinator that stood still goes on (decision 017)."""

import math

import pytest

from dynamo import brain
from dynamo.testing.finale import BEYOND_WINDOW
from dynamo.testing.scenario import Scenario
from dynamo.testing.swarm import drawn

SEED = 42141
"""A key that is written often, 12 remembered operations, and a pause longer than an attempt."""


@pytest.mark.slow
@pytest.mark.parametrize("ages_used", [True, False])
def test_a_replaced_value_does_not_come_back_by_an_attempt_that_waited(
    ages_used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ages_used:
        monkeypatch.setattr(brain, "OLD_MS", math.inf)
    result = Scenario(SEED, drawn(SEED)).run()
    assert not result.violation, "what comes back has been forgotten, which no promise excludes"
    assert bool(result.outcomes.get(BEYOND_WINDOW)) is not ages_used
