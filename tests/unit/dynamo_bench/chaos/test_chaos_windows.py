"""Which window an operation belongs to, and what of a run is before, during and after a fault."""

import pytest

from dynamo_bench.chaos.faults import Happened
from dynamo_bench.chaos.journal import Operation
from dynamo_bench.chaos.members import Change
from dynamo_bench.chaos.schedule import Fault, Schedule
from dynamo_bench.chaos.windows import RECONNECT_S, around, fates, window, windows

ORIGIN = 1000.0


def operation(
    at: float, took: float = 0.01, error: str = "", table: str = "ledger", kind: str = "get"
) -> Operation:
    why = "too slow" if error else ""
    return Operation(kind, ORIGIN + at, ORIGIN + at + took, error, why, table, b"k1")


def test_an_operation_counts_where_it_was_meant_to_begin() -> None:
    late = operation(4.9, took=7.0)
    assert window([late], ORIGIN, 0, 5).figures.p99_ms == pytest.approx(7000, rel=0.01)
    assert window([late], ORIGIN, 5, 10).figures.operations == 0


def test_failures_are_counted_by_kind_and_have_no_latency() -> None:
    measured = window([operation(1), operation(2, 5.0, "overloaded")], ORIGIN, 0, 5)
    assert (measured.failed, measured.figures.errors) == (1, {"overloaded": 1})
    assert measured.figures.p99_ms < 20
    assert measured.figures.ops_per_s == pytest.approx(0.2)


def test_the_last_window_has_what_is_left() -> None:
    spans = [(each.begins, each.ends) for each in windows([], ORIGIN, 10.0, 22.0)]
    assert spans == [(10.0, 15.0), (15.0, 20.0), (20.0, 22.0)]
    assert [(w.begins, w.ends) for w in windows([], ORIGIN, 0.0, 10.0)] == [(0, 5), (5, 10)]
    assert [(w.begins, w.ends) for w in windows([], ORIGIN, 1.0, 4.0)] == [(1.0, 4.0)]


def test_before_during_and_after_a_fault() -> None:
    happened = Happened(Fault("kill", "n2", 10, 12, 0), ORIGIN + 10.5, ORIGIN + 23.5)
    operations = [operation(at, took=at / 100) for at in range(40)]
    seen = around(happened, operations, ORIGIN, Schedule(1, 27.0, 5.0, ()), 1.5)
    assert (seen.began, seen.healed, seen.caught_up_s) == (10.5, 23.5, 1.5)
    assert (seen.before.begins, seen.before.ends) == (5.5, 10.5)
    assert [w.begins for w in seen.during] == [10.5, 15.5, 20.5]
    assert (seen.after.begins, seen.after.ends) == (23.5, 27.0)
    assert seen.before.figures.p99_ms == pytest.approx(100, rel=0.01)
    cut_off = around(happened, operations, ORIGIN, Schedule(1, 18.0, 5.0, ()), 1.5)
    assert [w.ends for w in cut_off.during] == [15.5, 18.0]


def test_only_the_death_of_all_nodes_excuses_a_failure() -> None:
    def happened(kind: str) -> Happened:
        return Happened(Fault(kind, "n2", 10, 1, 0), ORIGIN + 10, ORIGIN + 13)

    ends = 13 + RECONNECT_S
    meant = [(9.0, 0.5), (9.0, 1.5), (12.0, 0.1), (ends - 0.1, 5.0), (ends, 0.1)]
    failed = [operation(at, took, "deadline exceeded") for at, took in meant]
    crashed = fates([*failed, operation(11)], [happened("kill"), happened("crash")])
    assert crashed[:3] == (1, {"deadline exceeded": 2}, {"deadline exceeded": 3})
    assert crashed.sentences == {"too slow": 2}
    assert fates(failed, [happened("kill")]).unexcused.total() == 5


def test_two_dead_copies_excuse_a_failure_on_that_item_and_no_other() -> None:
    both = frozenset({("ledger", b"k1"), ("basket", b"k1")})
    dead = Happened(Fault("two", "n2", 10, 1, 0, "n4"), ORIGIN + 10, ORIGIN + 13)
    failed = [operation(11.0, 5.0, "deadline exceeded")]
    assert fates(failed, [dead._replace(stripped=both)]).excused.total() == 1
    assert fates(failed, [dead]).unexcused.total() == 1
    elsewhere = [failed[0]._replace(key=b"k2")]
    assert fates(elsewhere, [dead._replace(stripped=both)]).unexcused.total() == 1
    stood_in_for = [failed[0]._replace(table="basket", kind=kind) for kind in ("put", "update")]
    assert fates(stood_in_for, [dead._replace(stripped=both)])[1:3] == (
        {"deadline exceeded": 1},
        {"deadline exceeded": 1},
    )
    late = [operation(13 + RECONNECT_S, 5.0, "deadline exceeded")]
    assert fates(late, [dead._replace(stripped=both)]).unexcused.total() == 1


def test_sloppy_writes_during_a_fault_are_counted() -> None:
    dead = Happened(Fault("two", "n2", 10, 3, 0, "n4"), ORIGIN + 10, ORIGIN + 13)
    asked = [operation(at, table="basket", kind="put") for at in (9.9, 10.0, 12.9, 13.0)]
    asked += [operation(11, error="overloaded", table="basket", kind="blind")]
    asked += [operation(11, kind="put"), operation(11, table="basket", kind="update")]
    seen = around(dead, asked, ORIGIN, Schedule(1, 27.0, 5.0, ()), 1.5)
    assert seen.sloppy == (2, 1)


def test_each_change_of_members_has_figures_of_its_own() -> None:
    change = Change("join n4", ORIGIN + 10, ORIGIN + 14, 128, {"n4": 128}, {}, 128)
    walk = Fault("members", "n1", 10, 20, 0, "", ("n4",), ())
    happened = Happened(walk, ORIGIN + 9, ORIGIN + 15, "", (change,))
    failed = operation(13.5, 5.0, "overloaded")
    operations = [operation(at) for at in (9.5, 11.0, 12.0, 14.5)]
    schedule = Schedule(1, 27.0, 5.0, ())
    (seen,) = around(happened, [*operations, failed], ORIGIN, schedule, None).changes
    assert (seen.window.figures.operations, seen.window.failed) == (2, 1)
    assert (seen.window.begins, seen.window.ends, seen.was_under_load) == (10, 14, True)
    short = schedule._replace(seconds=13.0)
    (cut_off,) = around(happened, operations, ORIGIN, short, None).changes
    assert not cut_off.was_under_load
