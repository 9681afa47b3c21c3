"""Bytes under way: in order, none lost, late by the delay, spaced by the rate, not while held."""

from random import Random

from dynamo_bench.chaos.flow import WAITING_BYTES_MAX, Flow, Way


def test_in_fine_weather_all_goes_on_at_once() -> None:
    flow = Flow(Way())
    flow.push(b"one", 1.0)
    flow.push(b"two", 1.0)
    assert flow.due() == 1.0
    assert flow.take(1.0) == (b"onetwo", False)
    assert (flow.due(), flow.waiting_bytes) == (None, 0)


def test_a_delay_is_each_chunks_own() -> None:
    way = Way()
    way.delay_s = 0.5
    flow = Flow(way)
    flow.push(b"one", 1.0)
    flow.push(b"two", 1.2)
    assert flow.take(1.49) == (b"", False)
    assert flow.due() == 1.5
    assert flow.take(1.5) == (b"one", False)
    assert flow.take(1.7) == (b"two", False)


def test_a_rate_spaces_chunks_by_their_size() -> None:
    way = Way()
    way.bytes_per_s = 10.0
    flow = Flow(way)
    for data in (b"x" * 5, b"y" * 5, b"z"):
        flow.push(data, 0.0)
    assert flow.take(0.0) == (b"xxxxx", False)
    assert flow.due() == 0.5
    assert flow.take(0.5) == (b"yyyyy", False)
    assert flow.take(1.0) == (b"z", False)


def test_what_is_held_goes_on_when_the_hold_ends_the_end_last() -> None:
    way = Way()
    flow = Flow(way)
    way.held = True
    flow.push(b"one", 0.0)
    flow.push(b"", 0.0)
    assert (flow.take(100.0), flow.due()) == ((b"", False), None)
    way.clear()
    assert flow.take(100.0) == (b"one", True)


def test_the_end_comes_after_what_was_before_it() -> None:
    way = Way()
    way.delay_s = 1.0
    flow = Flow(way)
    flow.push(b"last words", 0.0)
    flow.push(b"", 0.1)
    assert flow.take(1.0) == (b"last words", False)
    assert flow.take(1.1) == (b"", True)


def test_too_much_under_way_stops_the_sender() -> None:
    flow = Flow(Way())
    flow.push(b"x" * WAITING_BYTES_MAX, 0.0)
    assert not flow.is_full
    flow.push(b"x", 0.0)
    assert flow.is_full
    flow.take(0.0)
    assert not flow.is_full


def test_in_any_weather_the_bytes_that_leave_are_those_that_came() -> None:
    rng = Random(7)
    way = Way()
    flow = Flow(way)
    sent, came, now = [], [], 0.0
    for number in range(500):
        now += rng.random() * 0.1
        way.delay_s, way.held = rng.random() * 0.3, rng.random() < 0.3
        way.bytes_per_s = rng.choice((0.0, 50.0, 1000.0))
        sent.append(b"%d." % number)
        flow.push(sent[-1], now)
        came.append(flow.take(now)[0])
    way.clear()
    came.append(flow.take(now + 1e6)[0])
    assert b"".join(came) == b"".join(sent)
