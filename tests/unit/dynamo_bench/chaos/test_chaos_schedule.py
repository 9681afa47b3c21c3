"""A seed's schedule: the same each time, one fault at a time, with calm between."""

from itertools import pairwise

import pytest

from dynamo_bench.chaos.schedule import (
    CALM_S,
    KINDS,
    Fault,
    draw,
    length_s,
    named,
    newcomers,
    usual,
    zone_of,
)

NODES = named(5)
LONG_S = length_s(KINDS)
LATER_S = 3 * LONG_S


def test_a_seed_tells_everything() -> None:
    assert draw(7, LONG_S, NODES, KINDS) == draw(7, LONG_S, NODES, KINDS)
    assert len({draw(seed, LONG_S, NODES, KINDS).faults for seed in range(20)}) == 20


@pytest.mark.parametrize("seed", range(20))
def test_the_default_run_has_every_kind_once_the_kill_first(seed: int) -> None:
    faults = draw(seed, LONG_S, NODES, KINDS).faults
    assert sorted(fault.kind for fault in faults) == sorted(KINDS)
    assert faults[0].kind == "kill"


@pytest.mark.parametrize("seconds", [8.0, 16.0, 60.0, LONG_S, 600.0])
@pytest.mark.parametrize("seed", range(5))
def test_faults_are_apart_and_end_in_time(seed: int, seconds: float) -> None:
    schedule = draw(seed, seconds, NODES, KINDS)
    assert schedule.faults
    calm_s = schedule.calm_s
    assert CALM_S / 4 <= calm_s <= CALM_S
    assert schedule.faults[0].at_s >= 2 * calm_s - 0.1
    for before, after in pairwise(schedule.faults):
        assert after.at_s >= before.at_s + before.lasts_s + calm_s - 0.2
    last = schedule.faults[-1]
    assert last.at_s + last.lasts_s <= seconds


@pytest.mark.parametrize("seconds", [20.0, 51.0])
def test_a_shorter_run_has_every_kind_as_well_but_shorter(seconds: float) -> None:
    kinds = ("kill", "stop", "partition")
    assert length_s(kinds) == 51
    schedule = draw(4, seconds, NODES, kinds)
    assert sorted(fault.kind for fault in schedule.faults) == sorted(kinds)
    lasts_s = {fault.kind: fault.lasts_s for fault in schedule.faults}
    assert lasts_s["kill"] == pytest.approx(12 * seconds / 51, abs=0.1)


def test_a_zone_is_more_than_a_node_only_where_there_are_more_nodes() -> None:
    assert set(KINDS) - set(usual(3)) == {"zone", "two"}
    assert set(KINDS) - set(usual(4)) == {"two"}
    assert usual(5) == KINDS


def test_a_long_run_goes_round_again() -> None:
    kinds = [fault.kind for fault in draw(3, 800.0, NODES, KINDS).faults]
    assert all(kinds.count(kind) >= 4 for kind in KINDS if kind != "members")
    assert kinds.count("members") == 1
    assert len(draw(3, 800.0, NODES, ["members"]).faults) == 1


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("nodes", [3, 5, 9])
def test_of_each_zone_one_joins_and_one_leaves_and_who_left_is_hurt_no_more(
    nodes: int, seed: int
) -> None:
    founders = named(nodes)
    faults = draw(seed, LATER_S, founders, usual(nodes)).faults
    (walk,) = (fault for fault in faults if fault.kind == "members")
    assert walk.joining == newcomers(nodes)
    assert sorted(map(zone_of, walk.joining)) == sorted(map(zone_of, walk.leaving))
    assert {*walk.leaving} < {*founders, *walk.joining}
    later = {name for fault in faults[faults.index(walk) + 1 :] for name in _hurt(fault)}
    assert later
    assert later.isdisjoint(walk.leaving)


def test_who_leaves_is_drawn_and_may_be_a_founder() -> None:
    leavers = {draw(seed, LONG_S, named(3), ["members"]).faults[0].leaving for seed in range(30)}
    assert len(leavers) > 10
    assert {name for leaving in leavers for name in leaving} == {*named(6)}


@pytest.mark.parametrize("seed", range(20))
def test_two_are_of_different_zones(seed: int) -> None:
    (fault,) = draw(seed, length_s(["two"]), NODES, ["two"]).faults
    assert zone_of(fault.node) != zone_of(fault.also)
    assert fault.name == f"kill {fault.node} and {fault.also}"


def test_two_of_three_are_too_many() -> None:
    with pytest.raises(ValueError, match="two needs 5 nodes or more, not 4"):
        draw(1, LONG_S, named(4), ["two"])


def test_the_disk_that_fills_is_one_nodes() -> None:
    faults = draw(5, 2000.0, named(3), [kind for kind in usual(3) if kind != "members"]).faults
    assert len({fault.node for fault in faults if fault.kind == "full"}) == 1
    assert len({fault.node for fault in faults if fault.kind == "kill"}) == 3


def test_only_what_was_asked_for() -> None:
    assert {f.kind for f in draw(1, LONG_S, NODES, ["stop", "slow"]).faults} == {"stop", "slow"}


@pytest.mark.parametrize("kinds", [[], ["fire"], ["kill", ""]])
def test_what_is_no_fault_is_refused(kinds: list[str]) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        draw(1, LONG_S, NODES, kinds)


def test_the_head_of_a_run_can_be_read() -> None:
    lines = draw(1, 60.0, NODES, ["kill", "crash"]).lines()
    assert lines[0] == "seed 1, 60 s of load"
    assert "10.0 s to   22.0 s  kill n" in lines[1]
    assert "27.0 s to   28.0 s  crash of all" in lines[2]


def _hurt(fault: Fault) -> set[str]:
    """Whom a fault names."""
    return set() if fault.kind == "crash" else {fault.node, fault.also} - {""}
