"""Operations begin by the clock, and a stall is in the figures of all that it held up."""

from random import Random

import pytest

from dynamo_bench.chaos.arrivals import arrivals, open_loop


def test_arrivals_are_the_seeds_and_as_many_as_the_rate_says() -> None:
    once, again = (list(arrivals(Random(3), 100.0, 60.0)) for _ in range(2))
    assert once == again == sorted(once)
    assert len(once) == pytest.approx(6000, rel=0.05)
    assert 0 < once[0] < once[-1] < 60


class Clock:
    """Time passes when somebody pauses."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.now += seconds


async def test_each_begins_at_its_time_after_the_beginning() -> None:
    clock, began = Clock(), []

    async def operate(intended: float) -> None:
        began.append((intended, clock.now))

    await open_loop(operate, iter([1.0, 2.5]), 100.0, clock, clock.pause)
    assert [intended for intended, _ in began] == [101.0, 102.5]
    assert clock.now == 102.5


async def test_a_stall_of_the_client_is_counted_from_the_intended_start() -> None:
    clock, latencies = Clock(), []

    async def operate(intended: float) -> None:
        latencies.append(clock.now - intended)

    async def stalling(seconds: float) -> None:
        clock.now += seconds + 5.0 * (clock.now + seconds > 101.5)

    await open_loop(operate, iter([1.0, 2.0, 3.0]), 100.0, clock, stalling)
    assert max(latencies) >= 5.0
