"""Damaged values, which seeds do not draw by themselves, on networks that come and go."""

import pytest

from dynamo.testing.scenario import Scenario, Shape

KINDS = ("damaged value", "damaged value", "full disk", "partition", "one-way", "loss", "slow disk")
SHAPE = Shape(nodes=3, tracks=4, keys=60, kinds=KINDS, spares=0)
SEEDS, CHUNK = 20, 5


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_what_was_acknowledged_outlives_a_damaged_value(first: int) -> None:
    damages = 0
    for seed in range(first, first + CHUNK):
        result = Scenario(seed, SHAPE).run()
        assert not result.violation, f"seed {seed}: {result.violation}"
        damages += result.faults.get("damaged value", 0)
    assert damages, "some values were damaged"
