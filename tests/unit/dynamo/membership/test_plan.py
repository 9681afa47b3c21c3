"""Plans of changes as operators make them."""

from dataclasses import replace

import pytest

from dynamo.errors import InvalidRequest
from dynamo.membership.plan import (
    Change,
    Handover,
    Join,
    Leave,
    Replace,
    Weight,
    moves_between,
    plan_of,
    sentence_of,
)
from dynamo.ring.placement import plan, slots_of
from dynamo.ring.ring import Member, Ring
from dynamo.types import NodeId, PartitionId


def member(name: str, zone: str = "", weight: float = 1.0) -> Member:
    return Member(NodeId(name), name, zone, weight)


def ring_of(*names: str, partitions: int = 64, n: int = 3) -> Ring:
    return plan([member(name) for name in names], partitions, n).ring


THREE, FOUR = ring_of("n1", "n2", "n3"), ring_of("n1", "n2", "n3", "n4")


def test_a_fourth_node_takes_a_quarter_of_all_copies() -> None:
    made = plan_of(Join(member("n4")), THREE)
    assert made.copies == 48 == 64 * 3 // 4
    assert {node for move in made.moves for node in move.gaining} == {"n4"}
    assert set(slots_of(made.target, 3).values()) == {48}
    assert made.target.epoch == THREE.epoch + 1


def test_a_handover_names_old_and_new_owners() -> None:
    made = plan_of(Join(member("n4")), THREE)
    for move in made.moves:
        assert move.before == THREE.preference_list(move.partition, 3)
        assert move.after == made.target.preference_list(move.partition, 3)
        assert len(move.gaining) == len(move.losing) <= 1


def test_a_leaver_gives_up_exactly_what_it_held() -> None:
    made = plan_of(Leave(NodeId("n2")), FOUR)
    assert made.copies == slots_of(FOUR, 3)[NodeId("n2")]
    assert {node for move in made.moves for node in move.losing} == {"n2"}


def test_a_replacement_takes_exactly_what_the_dead_held() -> None:
    made = plan_of(Replace(NodeId("n2"), member("n9")), FOUR)
    assert made.copies == slots_of(FOUR, 3)[NodeId("n2")]
    assert {node for move in made.moves for node in move.gaining} == {"n9"}
    assert {node for move in made.moves for node in move.losing} == {"n2"}


def test_draining_is_a_weight_of_nothing() -> None:
    made = plan_of(Weight(NodeId("n4"), 0.0), FOUR)
    assert slots_of(made.target, 3)[NodeId("n4")] == 0
    assert made.target.holders == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Join(member("n1")), "a member already"),
        (Leave(NodeId("n7")), "no member is called n7; there are n1, n2, n3"),
        (Leave(NodeId("n1")), "leaves 2 members that hold data, fewer than the 3"),
        (Weight(NodeId("n1"), 0.0), "fewer than the 3"),
        (Weight(NodeId("n1"), 1.0), "the weight 1 already"),
        (Replace(NodeId("n1"), member("n2")), "a member already"),
        (Replace(NodeId("n7"), member("n8")), "no member is called n7"),
        (Join(member("n4", weight=-1.0)), "the weight -1"),
        (Join(member("")), "no name"),
    ],
    ids=lambda value: value if isinstance(value, str) else sentence_of(value),
)
def test_what_cannot_be_is_refused_with_a_sentence(change: Change, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        plan_of(change, THREE)


def test_what_cannot_be_had_is_named() -> None:
    zoned = plan([member("n1", "a"), member("n2", "b"), member("n3", "c")], 64, 3).ring
    made = plan_of(Replace(NodeId("n3"), member("n4", "a")), zoned)
    assert "n = 3, but there are only 2 zones" in made.unsatisfied


def test_a_plan_reads_as_a_page() -> None:
    assert plan_of(Join(member("n4")), THREE).show() == [
        "join n4 (host n4, weight 1): 48 of 192 copies move, in 48 of 64 partitions",
        "  n1              64 -> 48    takes 0, gives 16",
        "  n2              64 -> 48    takes 0, gives 16",
        "  n3              64 -> 48    takes 0, gives 16",
        "  n4               0 -> 48    takes 48, gives 0",
    ]


def test_a_change_of_order_alone_is_listed_and_copies_nothing() -> None:
    """A table of a smaller N has another owner then, though the three owners are the same."""
    first, second, *rest = THREE.owners[0]
    swapped = replace(THREE, owners=((second, first, *rest), *THREE.owners[1:]))
    (move,) = moves_between(THREE, swapped)
    assert move == Handover(PartitionId(0), (first, second, *rest), (second, first, *rest))
    assert move.gaining == move.losing == ()


def test_equal_rings_need_no_move() -> None:
    assert moves_between(THREE, THREE) == ()
