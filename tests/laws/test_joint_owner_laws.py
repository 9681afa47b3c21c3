"""What counts while a partition changes hands, against all quorums that there can be."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.ring.joint import Rings, joint_owners
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member, Ring
from dynamo.types import NodeId, PartitionId

LAWS = settings(max_examples=200, deadline=None, derandomize=True)
NAMES = tuple(NodeId(f"n{number}") for number in range(1, 8))

sides = st.integers(1, 4).flatmap(
    lambda n: st.tuples(
        *(st.lists(st.sampled_from(NAMES), min_size=n, max_size=n, unique=True).map(tuple),) * 2
    )
)


@LAWS
@given(sides, st.data())
def test_any_k_and_extra_of_the_owners_are_k_of_either_side(
    made: tuple[tuple[NodeId, ...], tuple[NodeId, ...]], data: st.DataObject
) -> None:
    old, new = made
    owners = joint_owners(old, new)
    assert set(owners.nodes) == {*old, *new}
    assert len(owners.nodes) == len(set(owners.nodes))
    k = data.draw(st.integers(1, len(old)))
    for answering in combinations(owners.nodes, k + owners.extra):
        assert len({*answering} & {*old}) >= k
        assert len({*answering} & {*new}) >= k


@LAWS
@given(sides, st.data())
def test_no_fewer_would_do(
    made: tuple[tuple[NodeId, ...], tuple[NodeId, ...]], data: st.DataObject
) -> None:
    old, new = made
    owners = joint_owners(old, new)
    k = data.draw(st.integers(1, len(old)))
    fewer = combinations(owners.nodes, k + owners.extra - 1)
    assert any(
        len({*answering} & {*old}) < k or len({*answering} & {*new}) < k for answering in fewer
    )


@LAWS
@given(sides)
def test_as_many_may_be_missing_as_at_any_other_time(
    made: tuple[tuple[NodeId, ...], tuple[NodeId, ...]],
) -> None:
    old, new = made
    owners = joint_owners(old, new)
    for k in range(1, len(old) + 1):
        assert len(owners.nodes) - (k + owners.extra) == len(old) - k


@LAWS
@given(sides, st.data())
def test_a_read_meets_every_write_of_whatever_side(
    made: tuple[tuple[NodeId, ...], tuple[NodeId, ...]], data: st.DataObject
) -> None:
    """A joint read meets writes of the old alone, of both and of the new alone, and the reverse."""
    old, new = made
    n, owners = len(old), joint_owners(old, new)
    w = data.draw(st.integers(1, n))
    r = data.draw(st.integers(n - w + 1, n))
    joint_reads = list(combinations(owners.nodes, r + owners.extra))
    joint_writes = list(combinations(owners.nodes, w + owners.extra))
    pick = st.sampled_from
    for side in (old, new):
        assert set(data.draw(pick(joint_reads))) & set(data.draw(pick([*combinations(side, w)])))
        assert set(data.draw(pick([*combinations(side, r)]))) & set(data.draw(pick(joint_writes)))
    assert set(data.draw(pick(joint_reads))) & set(data.draw(pick(joint_writes)))


def ring_of(*names: NodeId, before: Ring | None = None) -> Ring:
    return plan([Member(name, name, "", 1.0) for name in names], 16, 3, before).ring


def test_only_partitions_that_move_have_more_owners() -> None:
    three = ring_of(*NAMES[:3])
    four = ring_of(*NAMES[:4], before=three)
    rings = Rings(three.at(2), four)
    for partition in map(PartitionId, range(16)):
        moves = NAMES[3] in four.preference_list(partition, 3)
        assert rings.extra(partition, 3) == moves
        assert len(rings.owners(partition, 3)) == 3 + moves
    assert rings.members == NAMES[:4]
    assert rings.of(NAMES[3], 3) == frozenset(four.primaries_of(NAMES[3], 3))
    assert rings.of(NAMES[0], 3) == frozenset(range(16))


def test_without_a_change_all_is_the_rings() -> None:
    three = ring_of(*NAMES[:3])
    rings = Rings(three)
    assert rings.owners(PartitionId(0), 2) == three.preference_list(PartitionId(0), 2)
    assert rings.extra(PartitionId(0), 2) == 0
    assert rings.members == NAMES[:3]
