"""Topologies: what an epoch decides, and its bytes."""

import msgpack
import pytest

from dynamo.errors import InvalidRequest
from dynamo.membership.paxos import Voter
from dynamo.membership.plan import Join, plan_of
from dynamo.membership.topology import (
    FORCED_STEP,
    Topology,
    cancelled,
    final,
    forced,
    founding,
    joint,
    retargeted,
    sworn_in,
)
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.types import NodeId


def member(name: str) -> Member:
    return Member(NodeId(name), name, "", 1.0)


N1, N4 = NodeId("n1"), NodeId("n4")
FIRST = founding(plan([member("n1"), member("n2"), member("n3")], 16, 3).ring)
JOIN = plan_of(Join(member("n4")), FIRST.ring)
JOINT = joint(FIRST, JOIN.target, "join n4", ((N4, "127.0.0.1", 7403),))


def test_the_first_epochs_voters_are_its_members_first_lives() -> None:
    assert FIRST.epoch == 1
    assert FIRST.voters == tuple(Voter(NodeId(f"n{i}"), "") for i in (1, 2, 3))


def test_a_join_is_a_joint_epoch_and_a_final_one() -> None:
    assert JOINT.epoch == 2
    assert JOINT.is_joint
    assert JOINT.members == ("n1", "n2", "n3", "n4")
    ended = final(JOINT, {N4: "b", N1: "a"})
    assert ended.epoch == 3
    assert ended.ring == JOIN.target.at(3)
    assert ended.target is None
    assert ended.addresses == ((N4, "127.0.0.1", 7403),)


def test_while_joint_the_old_members_vote_and_afterwards_the_lives_that_are_seen() -> None:
    assert JOINT.voters == FIRST.voters
    ended = final(JOINT, {N4: "b", N1: "a"})
    assert ended.voters == (("n1", "a"), ("n2", ""), ("n3", ""), ("n4", "b"))


def test_a_newcomer_of_which_nothing_is_seen_has_no_vote_yet() -> None:
    assert [voter.node for voter in final(JOINT, {}).voters] == ["n1", "n2", "n3"]


def test_a_cancelled_change_is_the_old_ring_under_a_new_epoch() -> None:
    back = cancelled(JOINT, {})
    assert back.epoch == 3
    assert back.ring == FIRST.ring.at(3)
    assert back.addresses == ()
    assert back.change == "cancelled: join n4"


def test_a_dead_target_is_replaced_by_another_joint_epoch_of_the_same_old_owners() -> None:
    other = plan_of(Join(member("n5")), FIRST.ring)
    again = retargeted(JOINT, other.target, "join n5 instead of n4")
    assert again.epoch == 3
    assert again.ring == FIRST.ring.at(3)
    assert again.members == ("n1", "n2", "n3", "n5")


def test_owners_are_those_of_both_rings() -> None:
    partition = JOIN.moves[0].partition
    old, new = JOINT.owners(partition, 3)
    assert old == JOIN.moves[0].before
    assert new == JOIN.moves[0].after
    assert FIRST.owners(partition, 2) == (old[:2], old[:2])


@pytest.mark.parametrize(
    "topology", [FIRST, JOINT, final(JOINT, {N4: "b"})], ids=lambda t: t.change
)
def test_bytes_and_back(topology: Topology) -> None:
    assert Topology.decoded(topology.encoded()) == topology
    assert Topology.decoded(topology.encoded()).encoded() == topology.encoded()


GOOD = list(msgpack.unpackb(JOINT.encoded()))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 5),
        (7, None),
        (8, [["n4"]]),
        (1, None),
        (1, []),
        (2, [1]),
        (3, []),
        (3, [["n1"]]),
        (3, [[1, ""]]),
        (4, 1),
    ],
)
def test_what_is_no_topology_is_refused(place: int, value: object) -> None:
    fields = list(GOOD)
    fields[place] = value
    with pytest.raises(InvalidRequest):
        Topology.decoded(msgpack.packb(fields))


def test_a_topology_of_a_former_format_is_read() -> None:
    for topology in (FIRST, JOINT):
        _, *fields, moved, given_up, entered = msgpack.unpackb(topology.encoded())
        assert (moved, given_up) == (topology.moved, [])
        assert tuple(map(tuple, entered)) == topology.entered
        before = topology._replace(entered=())
        assert Topology.decoded(msgpack.packb((1, *fields))) == before
        assert Topology.decoded(msgpack.packb((2, *fields, moved))) == before
        assert Topology.decoded(msgpack.packb((3, *fields, moved, given_up))) == before


def test_a_membership_is_dated_by_the_epoch_with_which_it_began() -> None:
    assert FIRST.since(N1) == 0, "a founder"
    assert JOINT.since(N4) == 2
    assert sworn_in(JOINT, Voter(N1, "b")).since(N4) == 2
    member_now = final(JOINT, {N4: "b"})
    assert (member_now.epoch, member_now.since(N4)) == (3, 2)
    target = plan_of(Join(member("n5")), member_now.ring).target
    assert joint(member_now, target, "join n5").entered == ((N4, 2), (NodeId("n5"), 4))
    assert retargeted(joint(member_now, target, "join n5"), target, "again").since(N4) == 2
    assert (
        retargeted(joint(member_now, target, "join n5"), target, "again").since(NodeId("n5")) == 4
    )


def test_who_leaves_and_joins_again_begins_another_membership() -> None:
    back = cancelled(JOINT, {})
    assert back.entered == ()
    again = joint(back, JOINT.target.at(back.epoch), "join n4")  # type: ignore[union-attr]
    assert again.since(N4) == 4


def test_owners_have_moved_once_a_change_has_begun_and_not_by_a_lost_disk() -> None:
    assert not FIRST.moved
    assert not sworn_in(FIRST, Voter(N1, "b")).moved
    assert JOINT.moved
    assert sworn_in(JOINT, Voter(N1, "b")).moved
    assert cancelled(JOINT, {}).moved
    assert final(JOINT, {}).moved


def test_bytes_that_are_nothing_at_all_are_refused() -> None:
    for data in (b"", b"\xc1", b"\x01", JOINT.encoded()[:-3]):
        with pytest.raises(InvalidRequest):
            Topology.decoded(data)


def test_two_rings_of_different_sizes_make_no_epoch() -> None:
    small = plan([member("n1"), member("n2"), member("n3")], 8, 3).ring
    with pytest.raises(InvalidRequest, match="differ in partitions"):
        joint(FIRST, small, "shrink").validate()


def test_a_new_life_gets_the_vote_of_its_member_and_nothing_else_changes() -> None:
    again = sworn_in(FIRST, Voter(NodeId("n2"), "b"))
    assert again.ring == FIRST.ring.at(2)
    assert again.voters == (("n1", ""), ("n2", "b"), ("n3", ""))
    assert again.change == "n2 has a new disk"


def test_a_new_life_in_the_midst_of_a_change_leaves_it_under_way() -> None:
    again = sworn_in(JOINT, Voter(NodeId("n2"), "b"))
    assert again.target == JOIN.target.at(3)
    assert again.change == JOINT.change
    assert again.addresses == JOINT.addresses


def test_a_member_without_a_vote_gets_one_in_the_order_of_the_ring() -> None:
    ended = final(JOINT, {})
    voters = sworn_in(ended, Voter(N4, "b")).voters
    assert [voter.node for voter in voters] == ["n1", "n2", "n3", "n4"]


def test_a_forced_epoch_takes_votes_but_leaves_one() -> None:
    asked = Voter(N1, "c")
    some = forced(FIRST, frozenset({N1}), asked)
    assert some.epoch == 1 + FORCED_STEP
    assert [voter.node for voter in some.voters] == ["n2", "n3"]
    everybody = frozenset(voter.node for voter in FIRST.voters)
    assert forced(FIRST, everybody, asked).voters == (asked,)


def test_what_was_given_up_stays_so_until_the_member_loses_another_disk() -> None:
    n2, n3 = NodeId("n2"), NodeId("n3")
    after = forced(FIRST, frozenset({n2, n3}), Voter(N1, ""))
    assert after.given_up == (n2, n3)
    sworn = sworn_in(sworn_in(after, Voter(n2, "b")), Voter(n3, "b"))
    assert sworn.given_up == (n2, n3), "their first lives after it have these very disks"
    assert Topology.decoded(sworn.encoded()) == sworn
    assert sworn_in(sworn, Voter(n3, "c")).given_up == (n2,)
    target = JOIN.target
    assert cancelled(joint(sworn, target, "join n4"), {}).given_up == (n2, n3)
