"""The alarm on hints and repairs: it comes, it goes, and little traffic is no alarm."""

from dynamo.meters import Meters
from dynamo_node.mending import MENDED_MIN, WINDOW_S, Mending


class World:
    """Meters, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.meters, self.now_s = Meters(), 100.0
        self.mending = Mending(self.meters, lambda: self.now_s)

    def second(self, served: int, mended: int) -> tuple[float, bool]:
        """One second of load, and what is told after it."""
        self.now_s += 1
        for _ in range(served):
            self.meters.replica_put_ok.count_instant()
        self.meters.hints_kept += mended
        return self.mending.lately()


def test_a_healthy_node_raises_no_alarm() -> None:
    world = World()
    told = [world.second(served=1000, mended=second % 2) for second in range(100)]
    assert all(not alarm for _, alarm in told)
    assert told[-1][0] == 0.0005


def test_the_alarm_comes_with_the_trouble_and_goes_after_it() -> None:
    world = World()
    for _ in range(30):
        assert world.second(1000, 0) == (0.0, False)
    assert [world.second(1000, 50)[1] for _ in range(3)] == [True] * 3
    told = [world.second(1000, 0) for _ in range(int(WINDOW_S))]
    assert told[0][1]
    assert told[-1] == (0.0, False)


def test_few_mended_records_are_no_alarm_however_little_is_served() -> None:
    world = World()
    assert world.second(0, MENDED_MIN - 1) == (MENDED_MIN - 1, False)
    assert world.second(0, 1) == (MENDED_MIN, True)


def test_the_window_has_a_bound() -> None:
    world = World()
    for _ in range(500):
        world.now_s -= 0.9  # ten scrapes a second
        world.second(1, 0)
    assert len(world.mending._samples) <= WINDOW_S + 2
