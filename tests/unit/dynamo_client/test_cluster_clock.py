"""What a client remembers of stamps ahead of its clock is bounded, and given up in time."""

from dynamo_client.clock import AHEAD_MS_MAX, ITEMS_AHEAD_MAX, ClusterClock, Item

NOW_MS = 1_700_000_000_000.0


def item(number: int) -> Item:
    return 1, b"key %d" % number, b""


def stamp(operation: bytes) -> int:
    return int.from_bytes(operation[:8], "big")


def ahead(ms: int) -> int:
    return int(NOW_MS) + ms << 16


def test_an_item_written_ahead_is_written_further_ahead_next_and_others_are_not() -> None:
    clock = ClusterClock()
    clock.wrote(item(1), ahead(400), NOW_MS)
    assert stamp(clock.operation(NOW_MS, 0, item(1))) == ahead(400) + 1
    assert stamp(clock.operation(NOW_MS, 0, item(2))) < ahead(1)
    assert stamp(clock.operation(NOW_MS)) < ahead(1)


def test_a_stamp_within_the_bound_is_carried_to_all_and_kept_for_none() -> None:
    clock = ClusterClock()
    clock.wrote(item(1), ahead(AHEAD_MS_MAX), NOW_MS)
    assert not clock._ahead
    assert stamp(clock.operation(NOW_MS, 0, item(2))) == ahead(AHEAD_MS_MAX) + 1


def test_when_time_has_caught_up_it_is_forgotten() -> None:
    clock = ClusterClock()
    clock.wrote(item(1), ahead(400), NOW_MS)
    clock.wrote(item(1), ahead(1000), NOW_MS + 1000)
    assert not clock._ahead


def test_only_so_many_items_are_remembered() -> None:
    clock = ClusterClock()
    for number in range(ITEMS_AHEAD_MAX + 5):
        clock.wrote(item(number), ahead(400), NOW_MS)
    assert len(clock._ahead) == ITEMS_AHEAD_MAX
    assert item(4) not in clock._ahead
