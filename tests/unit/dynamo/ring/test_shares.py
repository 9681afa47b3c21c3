"""Fair shares and the bounds of spread, by examples that can be worked out by hand."""

import pytest

from dynamo.ring.ring import Member
from dynamo.ring.shares import fair_shares, slot_bounds, spread
from dynamo.types import NodeId


def shares(k: int, *members: tuple[str, str, str, float]) -> list[float]:
    listed = [Member(NodeId(node), host, zone, weight) for node, host, zone, weight in members]
    return list(fair_shares(spread(listed, k)).values())


def test_equal_weights_share_equally() -> None:
    found = shares(2, ("a", "1", "z", 1), ("b", "2", "z", 1), ("c", "3", "z", 1))
    assert found == pytest.approx([2 / 3] * 3)


def test_shares_follow_weights() -> None:
    found = shares(1, ("a", "1", "z", 1), ("b", "2", "z", 2), ("c", "3", "z", 5))
    assert found == pytest.approx([1 / 8, 2 / 8, 5 / 8])


def test_what_a_heavy_member_cannot_take_goes_to_the_others_by_weight() -> None:
    found = shares(2, ("a", "1", "z", 1), ("b", "2", "z", 2), ("c", "3", "z", 9))
    assert found == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_zone_takes_one_replica_while_there_are_others() -> None:
    found = shares(
        2, ("a", "1", "x", 1), ("b", "2", "y", 1), ("c", "3", "y", 1), ("d", "4", "y", 1)
    )
    assert found == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])


def test_a_host_takes_one_replica_while_there_are_others() -> None:
    found = shares(2, ("a", "1", "z", 1), ("b", "2", "z", 1), ("c", "2", "z", 1))
    assert found == pytest.approx([1, 1 / 2, 1 / 2])


def test_hosts_are_used_twice_only_after_all_are_used() -> None:
    members = (("a", "1", "z", 1.0), ("b", "2", "z", 1.0), ("c", "2", "z", 1.0))
    assert shares(3, *members) == pytest.approx([1, 1, 1])


def test_a_light_zone_gets_its_replica_all_the_same() -> None:
    found = shares(3, ("a", "1", "x", 0.01), ("b", "2", "y", 1), ("c", "3", "y", 1))
    assert found == pytest.approx([1, 1, 1])


def test_extreme_weights_stay_finite_and_complete() -> None:
    found = shares(1, ("a", "1", "z", 1e-12), ("b", "2", "z", 1e12))
    assert sum(found) == pytest.approx(1)


def test_bounds_round_down_and_up_and_forgive_float_noise() -> None:
    assert slot_bounds(2 / 3, 256) == (170, 171)
    assert slot_bounds(0.75 + 1e-12, 256) == (192, 192)
    assert slot_bounds(0.75 - 1e-12, 256) == (192, 192)
    assert slot_bounds(1.0, 256) == (256, 256)
