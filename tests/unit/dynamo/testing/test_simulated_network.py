"""Simulated connections keep TCP's promises, and no more than those."""

from dynamo.testing.network import ACCEPTOR, DIALER, Connection, Messages, Network
from dynamo.testing.world import World


class Listener:
    """One end that remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.ended: list[str] = []

    def received(self, connection: Connection, messages: Messages, sent_ms: float) -> None:
        assert not self.ended, "nothing arrives after the end"
        self.heard += [number for (number,) in messages]

    def lost(self, connection: Connection, reason: str) -> None:
        self.ended.append(reason)


def joined(seed: int = 1) -> tuple[World, Network, Connection, Listener, Listener]:
    world = World(seed)
    network = Network(world, base_ms=1.0)
    one, other = Listener(), Listener()
    return world, network, network.connect(("a", "b"), (one, other)), one, other


def test_messages_arrive_once_and_in_order() -> None:
    world, network, connection, _, other = joined()
    network.route("a", "b").delay_ms = 20.0
    for number in range(100):
        connection.send(DIALER, ((number,),))
    world.run_until(1000.0)
    assert other.heard == list(range(100))


def test_a_break_loses_a_last_part_and_both_hear_of_it_once() -> None:
    world, network, connection, one, other = joined()
    network.route("a", "b").delay_ms = 20.0
    for number in range(100):
        connection.send(DIALER, ((number,),))
        world.run_until(world.now + 1.0)
    connection.break_("reset", (1.0, 50.0))
    connection.send(DIALER, ((100,),))
    world.run_until(1000.0)
    assert other.heard == list(range(len(other.heard)))
    assert 0 < len(other.heard) < 100
    assert one.ended == other.ended == ["reset"]
    assert not network.connections


def test_what_was_sent_before_a_close_still_arrives() -> None:
    world, _, connection, one, other = joined()
    connection.send(DIALER, ((1,),))
    connection.close(DIALER, "goodbye")
    connection.send(ACCEPTOR, ((2,),))
    world.run_until(1000.0)
    assert (other.heard, other.ended, one.heard, one.ended) == ([1], ["goodbye"], [], [])


def test_duplicates_and_reordering_happen_only_on_request() -> None:
    world, network, connection, _, other = joined()
    route = network.route("a", "b")
    route.duplicate = route.reorder = 0.5
    for number in range(100):
        connection.send(DIALER, ((number,),))
        world.run_until(world.now + 0.5)
    world.run_until(1000.0)
    assert set(other.heard) == set(range(100))
    assert len(other.heard) > 100
    assert other.heard != sorted(other.heard)
    assert network.counts["duplicated"] == len(other.heard) - 100


def test_a_blocked_route_stops_both_ways() -> None:
    _, network, _, _, _ = joined()
    network.route("a", "b").blocked += 1
    assert not network.reaches("a", "b")
    assert not network.reaches("b", "a")
    assert network.reaches("a", "c")


def test_what_is_sent_into_silence_arrives_later_in_its_order() -> None:
    world, network, connection, one, other = joined()
    connection.send(DIALER, ((1,),))
    network.silence("a", "b")
    connection.send(DIALER, ((2,),))
    connection.send(ACCEPTOR, ((7,),))
    world.run_until(100.0)
    assert (one.heard, other.heard) == ([7], [])
    assert not network.reaches("a", "b")
    network.unsilence("a", "b")
    connection.send(DIALER, ((3,),))
    connection.close(DIALER, "goodbye")
    world.run_until(200.0)
    assert (other.heard, other.ended) == ([1, 2, 3], ["goodbye"])


def test_a_close_is_not_heard_through_silence() -> None:
    world, network, connection, _, other = joined()
    connection.close(DIALER, "goodbye")
    network.silence("a", "b")
    world.run_until(100.0)
    assert not other.ended
    network.unsilence("a", "b")
    assert other.ended == ["goodbye"]


def test_a_connection_that_is_given_up_loses_what_waits() -> None:
    world, network, connection, one, other = joined()
    network.silence("a", "b")
    connection.send(DIALER, ((1,),))
    connection.give_up_if_silent(50.0)
    world.run_until(100.0)
    network.unsilence("a", "b")
    world.run_until(200.0)
    assert other.heard == []
    assert one.ended == other.ended == ["silent for too long"]


def test_silence_that_ends_in_time_breaks_nothing() -> None:
    world, network, connection, one, other = joined()
    network.silence("a", "b")
    connection.send(DIALER, ((1,),))
    connection.give_up_if_silent(50.0)
    world.run_until(40.0)
    network.unsilence("a", "b")
    world.run_until(100.0)
    assert (one.ended, other.heard, other.ended) == ([], [1], [])
