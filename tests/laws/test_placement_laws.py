"""The laws of `dynamo.ring.placement`, against oracles that only count and enumerate."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamo.ring.placement import Plan, plan, shares_of
from dynamo.ring.ring import Member, Ring
from dynamo.types import NodeId, PartitionId

LAWS = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
pytestmark = pytest.mark.slow


@st.composite
def clusters(draw: st.DrawFn, most: int = 9) -> list[Member]:
    """Any cluster: several nodes on a host, lopsided zones, odd weights, some members drained."""
    hosts = draw(st.integers(1, most))
    zone_of = draw(st.lists(st.integers(0, 3), min_size=hosts, max_size=hosts))
    size = draw(st.integers(1, most))
    members = []
    for number in range(size):
        host = draw(st.integers(0, hosts - 1))
        weight = draw(st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 7.3]))
        weight = weight if number else 1.0
        name = NodeId(f"n{number}")
        members.append(Member(name, f"h{host}", f"z{zone_of[host]}", weight))
    return members


def even_cluster(size: int, zones: int) -> list[Member]:
    """A cluster as it should be: one node a host, zones within one node of each other."""
    names = [NodeId(f"n{number}") for number in range(size)]
    return [Member(name, name, f"z{i % zones}", 1.0) for i, name in enumerate(names)]


def prefixes(ring: Ring, k: int) -> list[tuple[NodeId, ...]]:
    return [ring.preference_list(PartitionId(p), k) for p in range(ring.partitions)]


def is_spread(nodes: tuple[NodeId, ...], k: int, members: list[Member]) -> bool:
    """Naive: no zone or host could take over from a fuller one."""
    holders = {member.node: member for member in members if member.weight > 0}
    hosts_used = Counter(holders[node].host for node in nodes)
    zones_used = Counter(holders[node].zone for node in nodes)
    all_hosts = {member.host for member in holders.values()}
    if len(hosts_used) != min(k, len(holders), len(all_hosts)):
        return False
    for free in holders.values():
        fresh_host = hosts_used[free.host] == 0
        if free.node in nodes or (k <= len(all_hosts) and not fresh_host):
            continue
        for held in map(holders.__getitem__, nodes):
            may_move = k <= len(all_hosts) or hosts_used[held.host] > 1
            if may_move and zones_used[held.zone] > zones_used[free.zone] + 1:
                return False
    return True


def missed(found: Plan, k: int) -> list[NodeId]:
    """Naive: who stands in more or fewer prefixes than the share rounded down or up."""
    counts = Counter(node for nodes in prefixes(found.ring, k) for node in nodes)
    shares = shares_of(found.ring, k)
    return [node for node, share in shares.items() if abs(counts[node] - share) > 1 - 1e-9]


@LAWS
@given(clusters(), st.sampled_from([8, 16, 64]), st.integers(1, 4), clusters())
def test_every_plan_obeys_the_laws(
    members: list[Member], partitions: int, n: int, earlier: list[Member]
) -> None:
    previous = plan(earlier, partitions, n).ring
    found = plan(members, partitions, n, previous)
    _check_laws(found, members, n)
    assert found.ring.epoch == previous.epoch + 1


def _check_laws(found: Plan, members: list[Member], n: int) -> None:
    ring = found.ring
    holders = [member for member in members if member.weight > 0]
    for k in range(1, n + 1):
        for nodes in prefixes(ring, k):
            assert len(set(nodes)) == len(nodes) == min(k, len(holders))
            assert is_spread(nodes, k, members)
    assert missed(found, n) == []
    for owners in ring.owners:
        assert sorted(owners) == sorted(member.node for member in members)
    for k in range(1, n):
        for node in missed(found, k):
            off = abs(Counter(sum(prefixes(ring, k), ()))[node] - shares_of(ring, k)[node])
            named = any(s.startswith(f"{node} stands in") for s in found.unsatisfied)
            assert off <= 1 + 1e-6 or named


@LAWS
@given(st.integers(1, 14), st.sampled_from([1, 3, 4, 20]), st.integers(1, 3), st.data())
def test_even_clusters_are_balanced_in_every_prefix_through_changes(
    size: int, zones: int, n: int, data: st.DataObject
) -> None:
    previous = None
    for _ in range(3):
        found = plan(even_cluster(size, zones), 64, n, previous)
        for k in range(1, n + 1):
            shares = shares_of(found.ring, k)
            counts = Counter(sum(prefixes(found.ring, k), ()))
            assert all(abs(counts[node] - shares[node]) <= 1 + 1e-6 for node in shares)
        assert not any("stands in" in sentence for sentence in found.unsatisfied)
        previous = found.ring
        size = min(max(size + data.draw(st.sampled_from([-2, -1, 1, 2])), 1), 16)


@LAWS
@given(clusters(), st.sampled_from([8, 32]), st.integers(1, 4))
def test_a_plan_depends_on_nothing_but_its_arguments(
    members: list[Member], partitions: int, n: int
) -> None:
    found = plan(members, partitions, n)
    assert plan(members[::-1], partitions, n) == found
    again = plan(members, partitions, n, found.ring)
    assert again.moved == (0,) * n
    assert again.ring.owners == found.ring.owners


@LAWS
@given(st.integers(1, 15), st.sampled_from([32, 64]), st.integers(1, 3), st.floats(0.2, 5))
def test_a_new_member_gains_its_share_and_nobody_else_gains(
    size: int, partitions: int, n: int, weight: float
) -> None:
    before = plan(even_cluster(size, 1), partitions, n).ring
    newcomer = Member(NodeId("new"), "new", "z0", weight)
    after = plan([*even_cluster(size, 1), newcomer], partitions, n, before)
    longest = min(n, size)
    gains = after.ring.gains(before, n)
    if longest == n:
        assert {move.node for move in gains} <= {newcomer.node}
        assert abs(len(gains) - shares_of(after.ring, n)[newcomer.node]) < 1
    for k in range(1, n + 1):
        joined = [move for move in after.ring.gains(before, k) if move.node == newcomer.node]
        assert abs(len(joined) - shares_of(after.ring, k)[newcomer.node]) <= 1 + 1e-6


@LAWS
@given(st.integers(4, 15), st.sampled_from([32, 64]), st.integers(1, 3))
def test_a_member_that_leaves_moves_what_it_held(size: int, partitions: int, n: int) -> None:
    before = plan(even_cluster(size, 1), partitions, n).ring
    leaver = NodeId("n2")
    rest = [member for member in even_cluster(size, 1) if member.node != leaver]
    assert plan(rest, partitions, n, before).moved[-1] == len(before.primaries_of(leaver, n))


@LAWS
@given(clusters(4), st.integers(1, 3), st.data())
def test_no_placement_that_obeys_moves_less(
    members: list[Member], n: int, data: st.DataObject
) -> None:
    orders = st.permutations(sorted(member.node for member in members))
    owners = tuple(tuple(data.draw(orders)) for _ in range(4))
    previous = Ring(1, 4, tuple(m._replace(weight=1.0) for m in members), owners, n)
    found = plan(members, 4, n, previous)
    holders = tuple(member.node for member in members if member.weight > 0)
    among = [holders] * 4
    for k in range(n, 0, -1):
        # A shorter prefix is the best that the next longer one contains.
        moves = list(_moves_of_all_placements(found, among, members, k, previous))
        assert moves or k < n
        assert not moves or found.moved[k - 1] == min(moves)
        among = prefixes(found.ring, k)


def _moves_of_all_placements(
    found: Plan, among: list[tuple[NodeId, ...]], members: list[Member], n: int, previous: Ring
) -> Iterator[int]:
    """Naive: every choice of sets for the partitions, if it is spread and balanced."""
    shares = shares_of(found.ring, n)
    legal = [
        [
            nodes
            for nodes in combinations(candidates, min(n, len(candidates)))
            if is_spread(nodes, len(nodes), members)
        ]
        for candidates in among
    ]
    before = prefixes(previous, n)
    for choice in product(*legal):
        counts = Counter(node for nodes in choice for node in nodes)
        if all(abs(counts[node] - share) < 1 - 1e-9 for node, share in shares.items()):
            yield sum(len(set(now) - set(was)) for was, now in zip(before, choice, strict=True))
