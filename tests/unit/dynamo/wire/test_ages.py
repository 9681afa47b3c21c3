"""Ages of frames: against clocks that differ, wrap around, and drift apart."""

from hypothesis import given
from hypothesis import strategies as st

from dynamo.wire.ages import STAMP_BITS, WHILE_MS, Ages, stamp_of

ROUND = 1 << STAMP_BITS
clocks = st.integers(0, 4 * ROUND)


@given(clocks, clocks, st.lists(st.tuples(st.integers(1, 50), st.integers(0, 900)), max_size=20))
def test_an_age_is_what_the_journey_took_beyond_the_quickest(
    sender_ms: int, receiver_ms: int, frames: list[tuple[int, int]]
) -> None:
    ages, quickest, at_ms = Ages(), None, 0
    for pause_ms, journey_ms in frames:
        at_ms += pause_ms
        stamp = stamp_of(sender_ms + at_ms)
        age = ages.age_ms(stamp, receiver_ms + at_ms + journey_ms)
        if quickest is None:
            quickest = journey_ms
        assert abs(age - max(0, journey_ms - quickest)) <= 1, "a stamp of 0 would say nothing"
        quickest = min(quickest, journey_ms)


def test_a_receiver_that_stood_still_sees_how_old_what_waited_is() -> None:
    ages = Ages()
    for at_ms in range(10, 1000, 10):
        assert ages.age_ms(stamp_of(at_ms), 5_000_000 + at_ms) == 0
    woken_ms = 5_000_000 + 61_000
    assert ages.age_ms(stamp_of(1000), woken_ms) == 60_000
    assert ages.age_ms(stamp_of(60_990), woken_ms) == 10
    assert ages.age_ms(stamp_of(61_000), woken_ms) == 0


def test_who_does_not_say_when_it_sent_is_taken_to_be_quick() -> None:
    ages = Ages()
    assert [ages.age_ms(0, now_ms) for now_ms in (1, 500, 60_000)] == [0, 0, 0]


def test_clocks_that_drift_apart_make_no_age() -> None:
    """100 ppm, three times what clocks are said to do, over a day."""
    ages, oldest = Ages(), 0
    for at_ms in range(0, 24 * 3600 * 1000, 1000):
        oldest = max(oldest, ages.age_ms(stamp_of(at_ms), at_ms * 1.0001))
    assert oldest <= 2 * WHILE_MS * 0.0001 + 2


def test_a_sender_whose_clock_stood_still_is_taken_for_late_for_two_whiles() -> None:
    ages, slept_ms = Ages(), 60_000
    assert ages.age_ms(stamp_of(1000), 1000) == 0
    late = [
        at_ms
        for at_ms in range(1000, 20_000, 100)
        if ages.age_ms(stamp_of(at_ms), at_ms + slept_ms) > 0
    ]
    assert late[0] == 1000
    assert late[-1] - late[0] <= 2 * WHILE_MS


def test_an_idle_connection_forgets_its_quickest_frame_no_sooner_than_it_has_another() -> None:
    ages = Ages()
    assert ages.age_ms(stamp_of(1), 1) == 0
    assert ages.age_ms(stamp_of(10 * WHILE_MS), 10 * WHILE_MS + 700) == 700
    assert ages.age_ms(stamp_of(10 * WHILE_MS), 10 * WHILE_MS + 701) == 701
