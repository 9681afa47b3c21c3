"""A change on its way: who must hold it, who must copy, and why each partition waits."""

from dataclasses import replace

import pytest

from dynamo.membership.change import Change, Quorum, Report
from dynamo.membership.paxos import Voter
from dynamo.membership.plan import Join, Leave, Weight, plan_of
from dynamo.membership.topology import FORCED_STEP, Topology, founding, joint
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.types import NodeId, PartitionId

OLD = tuple(NodeId(f"n{number}") for number in (1, 2, 3))
NEW = NodeId("n4")
ASKED = Voter(OLD[0], "life")
USUAL = (Quorum(3, 2, 2),)


def member(name: NodeId) -> Member:
    return Member(name, name, "", 1.0)


def joining() -> Topology:
    first = founding(plan([member(name) for name in OLD], 16, 3).ring)
    return joint(first, plan_of(Join(member(NEW)), first.ring).target, "join n4")


TOPOLOGY = joining()


def report(epoch: int = 2, lacking: tuple[PartitionId, ...] = (), why: str = "copying") -> Report:
    return Report(epoch, "life", dict.fromkeys(lacking, why))


def begun(quorums: tuple[Quorum, ...] = USUAL) -> Change:
    return Change(TOPOLOGY, quorums)


def test_only_partitions_whose_owners_change_are_moving() -> None:
    moving = begun().moving()
    assert len(moving) == 12 == 16 * 3 // 4
    assert all(NEW in TOPOLOGY.owners(partition, 3)[1] for partition in moving)


def test_a_table_of_a_smaller_n_may_move_more_partitions() -> None:
    """Where only the order changes, the one owner of N = 1 does."""
    first, second, *rest = TOPOLOGY.ring.owners[0]
    swapped = replace(TOPOLOGY.ring, owners=((second, first, *rest), *TOPOLOGY.ring.owners[1:]))
    turned = TOPOLOGY._replace(target=swapped)
    assert Change(turned, USUAL).moving() == ()
    assert Change(turned, (*USUAL, Quorum(1, 1, 1))).moving() == (0,)


def test_two_of_three_old_owners_must_hold_the_joint_epoch() -> None:
    change = begun()
    first = change.moving()[0]
    assert change.standing(first) == ("holding", "2 more of n1, n2, n3 must hold epoch 2")
    change.heard(OLD[0], report())
    assert change.standing(first).reason == "1 more of n2, n3 must hold epoch 2"
    change.heard(OLD[1], report(epoch=1))
    assert change.standing(first).phase == "holding"
    change.heard(OLD[1], report())
    assert change.standing(first) == ("copying", "n4 has not reported that it holds epoch 2")


def test_the_weakest_of_r_and_w_says_how_many_must_hold_it() -> None:
    change = begun((Quorum(3, 1, 3),))
    for node in OLD[:2]:
        change.heard(node, report())
    assert change.standing(change.moving()[0]).reason == "1 more of n3 must hold epoch 2"


def test_reads_that_may_miss_writes_anyway_wait_for_nobody() -> None:
    """N/R/W 3/1/2: a dead old owner need not be waited for, so it can be replaced."""
    change = begun((Quorum(3, 1, 2),))
    for node in OLD[:2]:
        change.heard(node, report())
    assert change.standing(change.moving()[0]).phase == "copying"


def test_a_new_owner_says_why_it_still_copies() -> None:
    change = begun()
    for node in OLD:
        change.heard(node, report())
    waiting = change.moving()[:2]
    change.heard(NEW, report(lacking=waiting, why="1 of 2 sources copied; n2 is not linked"))
    assert change.standing(waiting[0]) == ("copying", "n4: 1 of 2 sources copied; n2 is not linked")
    assert change.standing(change.moving()[2]).phase == "ready"
    assert not change.is_ready()
    change.heard(NEW, report())
    assert change.is_ready()
    assert change.finished().ring == TOPOLOGY.target.at(3)  # type: ignore[union-attr]


def test_what_was_copied_under_another_epoch_does_not_count() -> None:
    change = begun()
    for node in OLD:
        change.heard(node, report())
    change.heard(NEW, report(epoch=1))
    assert not change.is_ready()


def test_an_unready_change_cannot_be_finished() -> None:
    with pytest.raises(AssertionError, match="before it was ready"):
        begun().finished()


def test_it_reads_as_a_page() -> None:
    change = begun()
    for node in OLD:
        change.heard(node, report())
    change.heard(NEW, report(lacking=change.moving()[:5], why="waits for its turn"))
    assert change.show() == [
        "epoch 2, join n4: 7 of 12 partitions are ready",
        "  5 wait: n4: waits for its turn",
    ]


def test_forcing_says_what_it_may_lose_and_skips_epochs() -> None:
    change = begun()
    change.heard(OLD[0], report())
    forced = change.forced(frozenset({OLD[2]}), ASKED)
    assert forced.topology.epoch == 3 + FORCED_STEP
    assert [voter.node for voter in forced.topology.voters] == ["n1", "n2"]
    assert forced.losses == (
        "12 partitions are holding: a coordinator that has not heard of the change may still "
        "read or write",
        "n3 loses its vote; what only its disk held is given up",
    )


def test_forcing_what_is_ready_loses_nothing() -> None:
    change = begun()
    for node in (*OLD, NEW):
        change.heard(node, report())
    assert change.forced(frozenset(), ASKED).losses == ()


def test_a_change_that_moves_nothing_is_ready_at_once() -> None:
    first = founding(plan([member(name) for name in OLD], 16, 3).ring)
    target = plan_of(Weight(OLD[0], 2.0), first.ring).target
    change = Change(joint(first, target, "weight"), USUAL)
    assert change.moving() == ()
    assert change.is_ready()


def leaving(*, reported: bool = True) -> Change:
    """n4 leaves, all have copied; n4's own report may be missing."""
    first = founding(plan([member(name) for name in (*OLD, NEW)], 16, 3).ring)
    change = Change(joint(first, plan_of(Leave(NEW), first.ring).target, "leave n4"), USUAL)
    for name in OLD:
        change.heard(name, report())
    if reported:
        change.heard(NEW, report()._replace(hints=12))
    return change


def test_who_leaves_hands_over_its_hints_first() -> None:
    change = leaving()
    assert not change.is_ready()
    assert change.show()[-1] == "  12 wait: n4 leaves and hands over its hints"
    forced = change.forced(frozenset(), ASKED).losses
    assert forced == ("n4 leaves and keeps 12 hints: writes may have fewer than W copies",)
    change.heard(NEW, report())
    assert change.is_ready()
    assert change.forced(frozenset(), ASKED).losses == ()


def test_hints_of_those_who_stay_keep_nobody_from_leaving() -> None:
    change = leaving()
    change.heard(NEW, report())
    change.heard(OLD[0], report()._replace(hints=12))
    assert change.is_ready()


def test_who_leaves_and_is_linked_is_waited_for_and_who_is_dead_is_not() -> None:
    change = leaving(reported=False)
    assert not change.is_ready({*OLD, NEW})
    assert change.is_ready(set(OLD))
