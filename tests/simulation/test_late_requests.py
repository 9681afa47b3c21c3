"""A coordinator that stood still goes on with what waited for it (decision 017)."""

import math

import pytest

from dynamo import brain
from dynamo.config import Limits
from dynamo.testing.planted import BUGS, planted
from dynamo.testing.scenario import Scenario, Shape

SEED = 19
SHAPE = Shape(
    nodes=3,
    keys=4,
    tracks=6,
    kinds=("pause", "pause", "delay", "loss"),
    limits=Limits(operations_max=8),
    spares=0,
)
"""Keys that are written often, few remembered operations, and pauses longer than an attempt."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ages_are_used", "retries_are_marked", "comes_back"),
    [(True, False, False), (False, True, False), (False, False, True)],
)
def test_a_replaced_value_does_not_come_back_by_an_attempt_that_waited(
    ages_are_used: bool,
    retries_are_marked: bool,
    comes_back: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not ages_are_used:
        monkeypatch.setattr(brain, "OLD_MS", math.inf)
    unmarked = BUGS["retry taken for a first attempt"]
    with planted(unmarked if not retries_are_marked else unmarked._replace(patches=())):
        violation = Scenario(SEED, SHAPE).run().violation
    assert ("is back" in violation) is comes_back
