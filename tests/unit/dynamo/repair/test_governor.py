"""Background work yields when clients wait for longer, and comes back when they do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.meters import LATENCY_BOUNDS_MS, LatencyHistogram
from dynamo.repair.governor import SAMPLES_MIN, SHARE_MIN, SLICE_MS, Governor, quantile

CALM_MS, BUSY_MS = 4.0, 40.0


class Work:
    """Remembers the last word."""

    def __init__(self) -> None:
        self.share = 1.0

    def pace(self, share: float) -> None:
        self.share = share


class Foreground:
    """Puts and gets of a given p99, and a governor that watches them."""

    def __init__(self) -> None:
        self.puts, self.gets = LatencyHistogram(), LatencyHistogram()
        self.handoff, self.rebuild = Work(), Work()
        self.open = 0
        self.governor = Governor(
            (self.puts, self.gets),
            lambda: self.open,
            {"handoff": self.handoff, "rebuild": self.rebuild},
            {"rebuild": 0.25},
        )
        self.now_ms = 0.0

    def pass_slices(self, count: int, took_ms: float | None, operations: int = 100) -> None:
        """Time passes; each slice has so many operations, the slowest few of which take so long."""
        for _ in range(count):
            if took_ms is not None:
                for number in range(operations):
                    each = took_ms if number % 20 == 0 else took_ms / 4
                    (self.puts if number % 2 else self.gets).observe(each)
            self.now_ms += SLICE_MS
            self.governor.advance(set(), self.now_ms)
            self.governor.validate()


def test_a_calm_foreground_leaves_all_of_it() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, CALM_MS)
    assert foreground.governor.share == 1.0


def test_within_two_seconds_of_a_step_of_the_load_the_share_is_a_fraction() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, CALM_MS)
    foreground.pass_slices(int(2000 / SLICE_MS), BUSY_MS)
    assert foreground.governor.share <= 1 / 8
    assert foreground.handoff.share == foreground.governor.share
    assert foreground.rebuild.share == 0.25, "what restores durability keeps a least share"


def test_afterwards_it_comes_back_step_by_step() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, CALM_MS)
    foreground.pass_slices(10, BUSY_MS)
    low = foreground.governor.share
    foreground.pass_slices(1, CALM_MS)
    assert low < foreground.governor.share < low + 0.1
    foreground.pass_slices(16, CALM_MS)
    assert foreground.governor.share == foreground.handoff.share == 1.0


def test_a_node_without_clients_gives_all_to_background_work() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, CALM_MS)
    foreground.pass_slices(10, BUSY_MS)
    foreground.pass_slices(16, None)
    assert foreground.governor.share == 1.0


def test_operations_that_do_not_end_are_trouble() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, CALM_MS)
    foreground.open = 5
    foreground.pass_slices(4, None)
    assert foreground.governor.share == 1 / 16


def test_a_few_operations_say_nothing_until_there_are_enough() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, CALM_MS)
    foreground.pass_slices(1, BUSY_MS, operations=SAMPLES_MIN - 1)
    assert foreground.governor.share == 1.0
    foreground.pass_slices(1, BUSY_MS, operations=1)
    assert foreground.governor.share == 0.5


def test_microseconds_are_no_trouble() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, 0.4)
    foreground.pass_slices(20, 3.0)
    assert foreground.governor.share == 1.0


def test_a_foreground_that_is_slow_by_itself_does_not_starve_repairs_for_ever() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, CALM_MS)
    foreground.pass_slices(10, BUSY_MS)
    assert foreground.governor.share == SHARE_MIN
    foreground.pass_slices(100, BUSY_MS)
    assert foreground.governor.share > 0.5, "it was not background work that made it slow"


def test_its_status_has_each_kind_of_work() -> None:
    foreground = Foreground()
    foreground.pass_slices(20, CALM_MS)
    foreground.pass_slices(10, BUSY_MS)
    assert foreground.governor.status(0.0) == {
        "background_share": {"handoff": 0.031, "rebuild": 0.25}
    }


slices = st.lists(
    st.tuples(st.floats(0.01, 20_000), st.integers(0, 60), st.integers(0, 3)), max_size=40
)


@given(slices)
def test_whatever_happens_the_share_is_in_bounds_and_moves_by_halves_and_sixteenths(
    load: list[tuple[float, int, int]],
) -> None:
    foreground = Foreground()
    for took_ms, operations, in_flight in load:
        foreground.open = in_flight
        before = foreground.governor.share
        foreground.pass_slices(1, took_ms, operations)
        after = foreground.governor.share
        assert after in (max(before / 2, SHARE_MIN), min(before + 1 / 16, 1.0))
        assert foreground.handoff.share == after


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], [0.05] * 99 + [700.0], [1e9]])
def test_a_quantile_is_the_bound_that_holds_that_share(values: list[float]) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.observe(value)
    found = quantile(histogram.counts)
    assert sum(value <= found for value in values) >= 0.99 * len(values) or found == 20_000
    assert found in (*LATENCY_BOUNDS_MS, 20_000)
