"""Stamps rise, follow causality, and are not dragged away by a wrong clock."""

from hypothesis import given
from hypothesis import strategies as st

from dynamo.hlc import LOGICAL_BITS, HybridClock, stamp_ms

WALL = 1_700_000_000_000

steps = st.lists(
    st.tuples(st.sampled_from(["next", "observe"]), st.integers(-50, 50), st.integers(-900, 900)),
    max_size=30,
)


@given(steps)
def test_every_stamp_is_above_all_before_and_near_the_wall(
    moves: list[tuple[str, int, int]],
) -> None:
    clock, wall, last, latest = HybridClock(500), WALL, 0, WALL
    for name, wall_step, offset in moves:
        wall += wall_step
        latest = max(latest, wall)
        if name == "observe":
            clock.observe(wall + offset << LOGICAL_BITS, wall)
        else:
            stamp = clock.next(wall)
            assert stamp > last
            assert wall <= stamp_ms(stamp) <= latest + 501
            last = stamp


def test_a_stamp_follows_one_that_was_observed() -> None:
    clock = HybridClock(500)
    seen = (WALL + 400 << LOGICAL_BITS) + 7
    clock.observe(seen, WALL)
    assert clock.next(WALL) == seen + 1


def test_a_stamp_beyond_the_bound_is_not_followed() -> None:
    clock = HybridClock(500)
    clock.observe((WALL + 501 << LOGICAL_BITS), WALL)
    assert stamp_ms(clock.next(WALL)) == WALL


def test_what_is_overwritten_is_exceeded_however_far_ahead_and_drags_nothing_along() -> None:
    clock = HybridClock(500)
    far = WALL + 3_600_000 << LOGICAL_BITS
    assert clock.next(WALL, above=far) == far + 1
    assert stamp_ms(clock.next(WALL)) == WALL


def test_many_stamps_of_one_millisecond_are_told_apart() -> None:
    clock = HybridClock(500)
    stamps = [clock.next(WALL) for _ in range(1000)]
    assert stamps == sorted(set(stamps))
    assert {stamp_ms(stamp) for stamp in stamps} == {WALL}
