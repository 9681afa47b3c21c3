"""Every drawn shape is one in which the promises can be kept, and together they cover all."""

from dynamo.testing.disk_faults import NEEDS_FSYNC
from dynamo.testing.faults import KINDS
from dynamo.testing.scenario import DEFAULT, Shape
from dynamo.testing.swarm import KINDS_MIN, QUORUMS, described, drawn

SHAPES = [drawn(seed) for seed in range(300)]


def test_a_seed_draws_the_same_shape_again() -> None:
    assert [drawn(seed) for seed in range(20)] == SHAPES[:20]
    assert len({described(shape) for shape in SHAPES}) > len(SHAPES) * 0.9


def test_reads_see_writes_and_a_disk_may_be_lost() -> None:
    for shape in SHAPES:
        for table in shape.tables:
            assert table.r + table.w > table.n
            assert 1 < table.w <= table.n <= shape.nodes


def test_every_kind_of_fault_and_every_quorum_is_drawn() -> None:
    assert {kind for shape in SHAPES for kind in shape.kinds} == set(KINDS)
    assert {(t.n, t.r, t.w) for shape in SHAPES for t in shape.tables} == set(QUORUMS)
    assert all(len(set(shape.kinds)) == len(shape.kinds) >= KINDS_MIN for shape in SHAPES)
    assert any(set(shape.kinds) == set(KINDS) for shape in SHAPES)
    assert any(len(shape.kinds) <= len(KINDS) / 2 for shape in SHAPES)


def test_nothing_is_lost_that_was_acknowledged_before_a_sync() -> None:
    lazy = [shape for shape in SHAPES if shape.options.durability == "interval"]
    assert lazy
    assert not any(set(shape.kinds).intersection(NEEDS_FSYNC) for shape in lazy)


def test_what_is_given_stays() -> None:
    given = drawn(5, Shape(operations=300, kinds=("crash",)))
    assert (given.operations, given.kinds) == (300, ("crash",))
    assert given.tables == drawn(5).tables
    assert drawn(5).operations == DEFAULT.operations
