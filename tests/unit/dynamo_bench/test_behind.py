"""A node that returns far behind: what its figures must be, and when they are not."""

from collections import Counter

import pytest

from dynamo_bench.behind import CaughtUp, Found, Plan, Seen, Step, checks, read_step
from dynamo_bench.cluster import CannotMeasure
from dynamo_bench.measure import figures

PLAN = Plan(keys=1000, value_bytes=100)
CALM = figures([0.010] * 100, 1.0, Counter())
GOOD = Found(CaughtUp(3.0, 250_000), CALM, CaughtUp(5.0, 400_000), CALM, Step(1.0, 0.25, 0.5, 4.0))


def failing(found: Found) -> list[str]:
    return [check.name for check in checks(found, PLAN) if not check.holds]


def test_all_holds() -> None:
    assert failing(GOOD) == []


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (GOOD._replace(alone=CaughtUp(3.0, 1_400_000)), "bytes moved to what was lacked"),
        (GOOD._replace(meanwhile=figures([0.021] * 100, 1.0, Counter())), "p99 meanwhile"),
        (GOOD._replace(meanwhile=figures([0.01], 1.0, Counter(a=1))), "operations that failed"),
        (GOOD._replace(step=Step(1.0, 0.25, 2.5, 4.0)), "the background gives way after"),
        (GOOD._replace(step=Step(1.0, 1.0, None, 4.0)), "the background gives way after"),
        (GOOD._replace(step=Step(1.0, 0.25, 0.5, None)), "and comes back after"),
    ],
)
def test_each_figure_can_fail(found: Found, name: str) -> None:
    (failed,) = failing(found)
    assert failed.startswith(name)


def test_a_p99_of_a_few_turns_of_the_loop_is_no_slower_than_another() -> None:
    quick = GOOD._replace(
        calm=figures([0.001] * 10, 1.0, Counter()), meanwhile=figures([0.004] * 10, 1.0, Counter())
    )
    assert failing(quick) == []


def seen(*shares: float) -> list[Seen]:
    """One look a second, from 1 s on."""
    return [Seen(float(at), share) for at, share in enumerate(shares, 1)]


def test_a_step_is_read_off_the_looks() -> None:
    looks = seen(1.0, 0.8, 0.6, 0.4, 0.1, 0.3, 0.7, 0.8, 1.0)
    assert read_step(looks, begins=2.5, ends=5.5) == Step(0.8, 0.1, 1.5, 2.5)


def test_a_background_that_does_not_give_way_or_come_back_is_told() -> None:
    assert read_step(seen(1.0, 0.9, 0.9, 0.9), 1.5, 3.5) == Step(1.0, 0.9, None, None)


def test_without_a_look_before_the_step_there_is_nothing_to_compare() -> None:
    with pytest.raises(CannotMeasure, match="before the step"):
        read_step(seen(1.0), 0.5, 2.0)
