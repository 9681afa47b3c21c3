"""Why a change may end when `Change` says so, against replicas that are nothing but sets."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.membership.change import Change, Quorum, Report
from dynamo.membership.topology import Topology, founding, joint
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.types import NodeId, PartitionId

LAWS = settings(max_examples=200, deadline=None, derandomize=True)
NAMES = tuple(NodeId(f"n{number}") for number in range(1, 8))


def member(name: NodeId) -> Member:
    return Member(name, name, "", 1.0)


def joint_of(before: tuple[NodeId, ...], after: tuple[NodeId, ...], n: int) -> Topology:
    first = founding(plan([member(name) for name in before], 8, n).ring)
    target = plan([member(name) for name in after], 8, n, first.ring).ring
    return joint(first, target, "change")


@st.composite
def changes(draw: st.DrawFn) -> tuple[Topology, Quorum]:
    """Any change of members, even of all of them at once, for tables with R + W > N."""
    n = draw(st.integers(1, 4))
    some = st.lists(st.sampled_from(NAMES), min_size=n, max_size=6, unique=True).map(tuple)
    w = draw(st.integers(1, n))
    r = draw(st.integers(n - w + 1, n))
    return joint_of(draw(some), draw(some), n), Quorum(n, r, w)


@LAWS
@given(changes(), st.data())
def test_who_ends_a_change_has_outrun_every_old_quorum(
    made: tuple[Topology, Quorum], data: st.DataObject
) -> None:
    """Once a partition is past `holding`, no R and no W old owners are left that take requests
    of the epoch before."""
    topology, quorum = made
    change = Change(topology, [quorum])
    holding = data.draw(st.sets(st.sampled_from(NAMES)))
    for node in sorted(holding):
        change.heard(node, Report(topology.epoch, "life", {}))
    for partition in change.moving():
        old, _ = topology.owners(partition, quorum.n)
        left = [node for node in old if node not in holding]
        possible = len(left) >= min(quorum.r, quorum.w)
        assert (change.standing(partition).phase == "holding") == possible


@LAWS
@given(changes(), st.data())
def test_every_acknowledged_write_has_w_new_owners_when_the_change_ends(
    made: tuple[Topology, Quorum], data: st.DataObject
) -> None:
    """A write on any W old owners, and every new owner having copied any N - W + 1 of them."""
    topology, (n, r, w) = made
    for partition in Change(topology, [Quorum(n, r, w)]).moving():
        old, new = topology.owners(partition, n)
        written = data.draw(st.sampled_from(list(combinations(old, w))))
        knows = set(written) & set(new)
        for node in sorted(set(new) - set(old)):
            sources = data.draw(st.sampled_from(list(combinations(old, len(old) - w + 1))))
            assert set(sources) & set(written)
            knows.add(node)
        assert len(knows) >= w
        assert all(knows & set(read) for read in combinations(new, r))


@LAWS
@given(changes())
def test_a_change_is_ready_as_soon_as_all_hold_it_and_lack_nothing(
    made: tuple[Topology, Quorum],
) -> None:
    topology, quorum = made
    change = Change(topology, [quorum])
    for node in topology.members:
        change.heard(node, Report(topology.epoch, "life", {}))
    assert change.is_ready()
    assert change.finished().ring.epoch == topology.epoch + 1


@LAWS
@given(changes(), st.data())
def test_one_partition_that_is_lacking_keeps_the_change_open(
    made: tuple[Topology, Quorum], data: st.DataObject
) -> None:
    topology, quorum = made
    change = Change(topology, [quorum])
    for node in topology.members:
        change.heard(node, Report(topology.epoch, "life", {}))
    gaining: list[tuple[PartitionId, NodeId]] = []
    for partition in change.moving():
        old, new = topology.owners(partition, quorum.n)
        gaining += [(partition, node) for node in new if node not in old]
    if gaining:
        partition, node = data.draw(st.sampled_from(gaining))
        change.heard(node, Report(topology.epoch, "life", {partition: "copying"}))
        assert not change.is_ready()
        assert change.standing(partition) == ("copying", f"{node}: copying")
