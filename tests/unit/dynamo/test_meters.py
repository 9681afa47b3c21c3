"""Histograms count every value once, where Prometheus would count it."""

import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.meters import LATENCY_BOUNDS_MS, OPERATIONS, Histogram, LatencyHistogram, Meters


def test_latency_bounds_span_a_tenth_of_a_millisecond_to_ten_seconds() -> None:
    assert (LATENCY_BOUNDS_MS[0], LATENCY_BOUNDS_MS[-1]) == (0.1, 10_000)
    assert 20 <= len(LATENCY_BOUNDS_MS) <= 30


def test_a_value_on_a_bound_belongs_to_the_bucket_that_it_closes() -> None:
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert list(histogram.cumulative()) == [(1, 2), (2, 4), (None, 5)]
    assert (histogram.count, histogram.sum) == (5, 8)


@given(st.lists(st.floats(0, 20_000)))
def test_cumulative_counts_are_what_a_naive_count_says(values: list[float]) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.observe(value)
    naive = [(b, bisect.bisect_right(sorted(values), b)) for b in LATENCY_BOUNDS_MS]
    assert list(histogram.cumulative()) == [*naive, (None, len(values))]
    assert histogram.sum == pytest.approx(sum(values))


def test_unordered_bounds_are_our_mistake() -> None:
    with pytest.raises(AssertionError, match="ascend"):
        Histogram((2, 1))


def test_every_operation_and_outcome_has_its_own_histogram() -> None:
    meters = Meters()
    listed = list(meters.operations())
    assert [(operation, outcome) for operation, outcome, _ in listed] == list(OPERATIONS)
    assert len({id(histogram) for _, _, histogram in listed}) == len(OPERATIONS)
    meters.put_unknown.observe(3)
    counts = {(operation, outcome): h.count for operation, outcome, h in meters.operations()}
    assert [pair for pair, count in counts.items() if count] == [("put", "unknown")]


def test_a_misspelt_meter_is_an_error_and_not_a_new_number() -> None:
    with pytest.raises(AttributeError):
        Meters().hedge = 1  # type: ignore[attr-defined]
