"""A failing run is shortened to what its failure needs, and a script repeats the run it is of."""

import pytest

from dynamo.testing.planted import BUGS, planted
from dynamo.testing.scenario import Scenario, Shape
from dynamo.testing.shrink import shrink, transcript
from dynamo.testing.swarm import drawn

OPERATIONS_MAX, FAULTS_MAX = 30, 4


def traced(seed: int, shape: Shape) -> tuple[list[str], Scenario]:
    lines: list[str] = []
    scenario = Scenario(seed, shape, lines.append)
    assert not scenario.run().violation
    return lines, scenario


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 7])
def test_a_script_repeats_the_run_that_it_was_written_from(seed: int) -> None:
    shape = drawn(seed, Shape(operations=400))
    lines, scenario = traced(seed, shape)
    again, repeated = traced(seed, shape._replace(script=scenario.script()))
    assert repeated.script() == scenario.script()
    assert again == lines


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no gap after an unclean start", "bare dot shipped"])
def test_a_failure_is_shortened_to_what_it_needs(name: str) -> None:
    bug = BUGS[name]
    with planted(bug):
        seed = next(seed for seed in range(200) if Scenario(seed, bug.shape).run().violation)
        found = Scenario(seed, bug.shape).run()
        shrunk = shrink(seed, bug.shape)
        assert shrunk is not None
        lines = list(transcript(seed, shrunk))
    assert shrunk.result.check == found.check
    assert lines[-1] == shrunk.result.violation
    assert len(shrunk.script.operations) <= OPERATIONS_MAX < found.operations
    assert len(shrunk.script.faults) <= FAULTS_MAX
    assert not Scenario(seed, shrunk.shape).run().violation, "it is the bug that makes it fail"


@pytest.mark.slow
def test_a_run_that_does_not_fail_is_not_shortened() -> None:
    assert shrink(1, Shape(operations=100)) is None
