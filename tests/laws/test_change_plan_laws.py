"""The laws of `dynamo.membership.plan`: balanced, spread, and no copy moved without need."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamo.membership.plan import Change, ChangePlan, Join, Leave, Replace, Weight, plan_of
from dynamo.ring.placement import plan, shares_of, slots_of
from dynamo.ring.ring import Member, Ring
from dynamo.types import NodeId, PartitionId

LAWS = settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
pytestmark = pytest.mark.slow


def even(size: int, zones: int) -> list[Member]:
    names = [NodeId(f"n{number}") for number in range(size)]
    return [Member(name, name, f"z{i % zones}", 1.0) for i, name in enumerate(names)]


@st.composite
def rings(draw: st.DrawFn) -> Ring:
    """A ring on which every change below is possible."""
    size, zones = draw(st.integers(4, 9)), draw(st.sampled_from([1, 2, 3]))
    return plan(even(size, zones), draw(st.sampled_from([32, 64])), 3).ring


@st.composite
def changes(draw: st.DrawFn, ring: Ring) -> Change:
    new = Member(NodeId("new"), "new", draw(st.sampled_from(["z0", "z1"])), 1.0)
    old = draw(st.sampled_from([member.node for member in ring.members]))
    weight = draw(st.sampled_from([0.0, 0.5, 2.0]))
    return draw(st.sampled_from([Join(new), Leave(old), Replace(old, new), Weight(old, weight)]))


def sets(ring: Ring) -> list[frozenset[NodeId]]:
    lists = (ring.preference_list(PartitionId(p), ring.n_max) for p in range(ring.partitions))
    return [frozenset(nodes) for nodes in lists]


@LAWS
@given(st.data())
def test_every_change_is_balanced_and_listed_move_by_move(data: st.DataObject) -> None:
    ring = data.draw(rings())
    made = plan_of(data.draw(changes(ring)), ring)
    held, shares = slots_of(made.target, 3), shares_of(made.target, 3)
    assert all(abs(held[node] - shares[node]) <= 1 + 1e-6 for node in shares)
    made.target.validate()
    _lists_every_difference(made)


def _lists_every_difference(made: ChangePlan) -> None:
    """Naive: apply the moves to the old owner sets and compare."""
    found = sets(made.before)
    for move in made.moves:
        found[move.partition] = found[move.partition] - set(move.losing) | set(move.gaining)
    assert found == sets(made.target)
    assert len({move.partition for move in made.moves}) == len(made.moves)


@LAWS
@given(st.data())
def test_no_change_of_members_moves_more_than_those_who_come_and_go(data: st.DataObject) -> None:
    """In one zone of equal nodes the least is known: what the leaver held, or the newcomer's
    share; only they gain or lose more than they must."""
    ring = plan(even(data.draw(st.integers(4, 9)), 1), 64, 3).ring
    change = data.draw(changes(ring))
    made = plan_of(change, ring)
    held, becomes = slots_of(ring, 3), slots_of(made.target, 3)
    needed = sum(max(0, becomes.get(node, 0) - held.get(node, 0)) for node in becomes)
    assert made.copies == needed
    if isinstance(change, Join):
        assert {node for move in made.moves for node in move.gaining} == {"new"}
    if isinstance(change, Leave):
        assert {node for move in made.moves for node in move.losing} == {change.node}


@LAWS
@given(st.data())
def test_join_then_leave_comes_back_to_balance_and_moves_only_the_newcomers_copies(
    data: st.DataObject,
) -> None:
    ring = data.draw(rings())
    new = Member(NodeId("new"), "new", "z0", 1.0)
    joined = plan_of(Join(new), ring).target
    left = plan_of(Leave(new.node), joined)
    again, shares = slots_of(left.target, 3), shares_of(ring, 3)
    assert all(abs(again[node] - shares[node]) <= 1 + 1e-6 for node in shares)
    losers = Counter(node for move in left.moves for node in move.losing)
    assert losers[new.node] == slots_of(joined, 3)[new.node]


@LAWS
@given(st.data())
def test_zones_and_hosts_stay_distinct(data: st.DataObject) -> None:
    ring = plan(even(data.draw(st.integers(6, 9)), 3), 32, 3).ring
    target = plan_of(data.draw(changes(ring)), ring).target
    zone_of = {member.node: member.zone for member in target.members}
    zones = len({member.zone for member in target.members if member.weight > 0})
    for nodes in sets(target):
        assert len({zone_of[node] for node in nodes}) == min(zones, 3)
