"""Whose weather is whose."""

from dynamo_bench.chaos.weather import CLIENTS, Weather


def test_a_partition_has_both_directions_and_one_way_has_one() -> None:
    weather = Weather(["n1", "n2", "n3"])
    both = weather.between("n1", ["n2", CLIENTS])
    assert len(both) == 4
    assert both[0] is weather.way("n2", "n1")
    assert weather.of("n1", ["n3"]) == [weather.way("n1", "n3")]


def test_clearing_clears_everything_and_is_told() -> None:
    told = []
    weather = Weather(["n1", "n2"])
    weather.changed = lambda: told.append(weather.is_clear)
    weather.way("n1", "n2").held = True
    assert not weather.is_clear
    weather.clear()
    assert told == [True]


def test_strangers_have_fine_weather() -> None:
    weather = Weather(["n1"])
    assert weather.way("somebody", "n1").is_clear
