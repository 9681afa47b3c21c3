"""Plans for clusters as operators build them."""

import time

import pytest

from dynamo.errors import InvalidRequest
from dynamo.ring.placement import plan, slots_of
from dynamo.ring.ring import Member
from dynamo.types import NodeId, PartitionId


def cluster(size: int, zones: int = 1, **weights: float) -> list[Member]:
    names = [f"n{number}" for number in range(1, size + 1)]
    return [
        Member(NodeId(name), name, f"z{number % zones}", weights.get(name, 1.0))
        for number, name in enumerate(names)
    ]


def test_three_nodes_hold_everything_and_share_the_first_places() -> None:
    ring = plan(cluster(3, zones=3), 256, 3).ring
    assert set(slots_of(ring, 3).values()) == {256}
    assert sorted(slots_of(ring, 2).values()) == [170, 171, 171]
    assert sorted(slots_of(ring, 1).values()) == [85, 85, 86]


def test_a_fourth_node_takes_its_share_and_nothing_else_moves() -> None:
    first = plan(cluster(3), 256, 3).ring
    second = plan(cluster(4), 256, 3, first)
    assert second.ring.epoch == 2
    assert second.moved == (64, 128, 192)
    for k in (1, 2, 3):
        assert {move.node for move in second.ring.gains(first, k)} == {"n4"}


def test_draining_moves_exactly_what_the_member_held() -> None:
    before = plan(cluster(5), 64, 3).ring
    held = slots_of(before, 3)[NodeId("n5")]
    after = plan(cluster(5, n5=0), 64, 3, before)
    assert after.moved[2] == held
    assert slots_of(after.ring, 3)[NodeId("n5")] == 0
    assert all(owners[-1] == "n5" for owners in after.ring.owners)
    assert plan(cluster(4), 64, 3, after.ring).moved == (0, 0, 0)


def test_replacing_a_node_moves_only_its_slots() -> None:
    before = plan(cluster(5), 64, 3).ring
    members = [*cluster(4), Member(NodeId("n9"), "n9", "z0", 1.0)]
    after = plan(members, 64, 3, before)
    assert after.moved == tuple(slots_of(before, k)[NodeId("n5")] for k in (1, 2, 3))
    assert {move.node for move in after.ring.gains(before, 3)} == {"n9"}


def test_a_lost_members_load_falls_on_everybody() -> None:
    ring = plan(cluster(8), 256, 3).ring
    heirs = {ring.fallbacks(partition, 3)[0] for partition in ring.primaries_of(NodeId("n1"), 3)}
    mates = {
        node
        for partition in ring.primaries_of(NodeId("n1"), 3)
        for node in ring.preference_list(partition, 3)
    }
    assert len(heirs) == 7
    assert len(mates) == 8


def test_fallbacks_go_to_unused_zones_first() -> None:
    ring = plan(cluster(8, zones=4), 64, 3).ring
    zone_of = {member.node: member.zone for member in ring.members}
    for owners in ring.owners:
        assert len({zone_of[node] for node in owners[:4]}) == 4
        assert len({zone_of[node] for node in owners[4:]}) == 4


@pytest.mark.parametrize(
    ("members", "partitions", "words"),
    [
        (cluster(4, zones=2), 64, "only 2 zones"),
        (cluster(2, zones=2), 64, "only 2 data-holding members"),
        ([m._replace(host="box") for m in cluster(4)], 64, "only 1 host"),
        (cluster(5, zones=3), 16, "fewer than 4 each"),
        (cluster(5, zones=3, n1=50), 64, "n1 should hold"),
    ],
)
def test_what_cannot_be_had_is_named(members: list[Member], partitions: int, words: str) -> None:
    assert any(words in sentence for sentence in plan(members, partitions, 3).unsatisfied)


def test_a_fitting_cluster_has_nothing_unsatisfied() -> None:
    assert plan(cluster(6, zones=3), 64, 3).unsatisfied == ()


def test_fewer_members_than_n_make_shorter_lists() -> None:
    ring = plan(cluster(3, n3=0), 8, 3).ring
    for partition in range(8):
        assert sorted(ring.preference_list(PartitionId(partition), 3)) == ["n1", "n2"]
        assert ring.fallbacks(PartitionId(partition), 3) == ("n3",)


def test_a_larger_n_adds_places_and_keeps_the_old_ones() -> None:
    before = plan(cluster(6), 64, 2).ring
    after = plan(cluster(6), 64, 3, before)
    assert after.moved == (0, 0, 64)


@pytest.mark.parametrize(
    ("members", "partitions", "n"),
    [
        ([], 8, 1),
        (cluster(3), 7, 1),
        (cluster(3), 8, 0),
        (cluster(3), 8, 33),
        (cluster(1, n1=0), 8, 1),
        (cluster(2) + cluster(2), 8, 1),
        ([m._replace(host="box") for m in cluster(2, zones=2)], 8, 1),
    ],
)
def test_an_impossible_plan_is_refused(members: list[Member], partitions: int, n: int) -> None:
    with pytest.raises(InvalidRequest):
        plan(members, partitions, n)


def test_the_number_of_partitions_is_fixed() -> None:
    with pytest.raises(InvalidRequest, match="fixed"):
        plan(cluster(3), 16, 3, plan(cluster(3), 8, 3).ring)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "partitions", "seconds"), [(30, 256, 2), (100, 512, 10)])
def test_large_clusters_are_planned_in_time(size: int, partitions: int, seconds: float) -> None:
    began = time.process_time()
    before = plan(cluster(size, zones=5), partitions, 3).ring
    plan(cluster(size + 1, zones=5), partitions, 3, before)
    assert time.process_time() - began < 2 * seconds
