"""Tokens come back when they are due: never early, in order, each once."""

from hypothesis import given
from hypothesis import strategies as st

from dynamo.timers import TimerWheel

times = st.floats(0, 500, allow_nan=False)


@given(
    st.lists(times, max_size=20), st.lists(times, max_size=20), st.sampled_from([1.0, 5.0, 20.0])
)
def test_no_token_is_early_late_or_lost(
    dues: list[float], looks: list[float], grain: float
) -> None:
    wheel: TimerWheel[int] = TimerWheel(grain)
    for token, due in enumerate(dues):
        wheel.add(due, token)
    waiting = dict(enumerate(dues))
    for now in sorted(looks):
        for token in wheel.due(now):
            assert waiting.pop(token) <= now
        assert all(due > now - grain for due in waiting.values())
    deadline = wheel.deadline()
    assert (deadline is None) == (not waiting)
    if deadline is not None:
        assert min(waiting.values()) <= deadline <= min(waiting.values()) + grain
        assert set(wheel.due(1000.0)) == set(waiting)


def test_tokens_of_one_moment_come_in_the_order_of_their_making() -> None:
    wheel: TimerWheel[str] = TimerWheel(5.0)
    for token in ("first", "second", "third"):
        wheel.add(7.0, token)
    wheel.add(2.0, "earlier")
    assert wheel.due(100.0) == ["earlier", "first", "second", "third"]
    assert wheel.due(100.0) == []


def test_the_deadline_is_a_time_at_which_something_is_due() -> None:
    wheel: TimerWheel[int] = TimerWheel(5.0)
    assert wheel.deadline() is None
    wheel.add(10.0, 1)
    deadline = wheel.deadline()
    assert deadline is not None
    assert wheel.due(deadline - 0.001) == []
    assert wheel.due(deadline) == [1]
    assert wheel.deadline() is None
