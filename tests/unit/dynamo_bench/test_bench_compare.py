"""Which measurements are made in which order, and which ratio a table of them shows."""

from collections import Counter

import pytest

from dynamo_bench.compare import Plan, Rounds, Row, as_json, errors, measure_rounds, rows
from dynamo_bench.measure import Figures
from dynamo_bench.scale import Scale, checks
from dynamo_bench.targets import CELLS, TARGETS, Cell, Target


def figures(ops_per_s: float = 1000, p50_ms: float = 1, p99_ms: float = 2) -> Figures:
    return Figures(round(ops_per_s), 1.0, p50_ms, p99_ms, p99_ms, {})


class FakeSide:
    """Answers with figures that say how often it was asked, and keeps a diary for all sides."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self._name = name
        self._diary = diary

    async def measure(self, workload: str, *, concurrency: int, seconds: float) -> Figures:
        self._diary.append(f"{self._name} {workload} {concurrency}")
        return figures(len(self._diary))._replace(errors={"overloaded": 1})


async def test_both_sides_are_measured_in_turn() -> None:
    diary: list[str] = []
    loads = {"client": FakeSide("client", diary), "server": FakeSide("server", diary)}
    steps: list[str] = []
    plan = Plan(rounds=2, seconds=0, settle_s=0)
    rounds = await measure_rounds(FakeSide("bare", diary), loads, plan, steps.append)
    assert diary[:5] == ["bare put 1", "client put 1", "bare get 1", "client get 1", "server get 1"]
    assert Counter(diary)["bare put 64"] == 2
    assert Counter(diary)["server get 256"] == 2
    assert not Counter(diary)["server put 64"]
    assert len(steps) == len(diary) == 2 * (3 * 2 + 3 * 3)
    assert steps[0] == "round 1/2, put × 1, yardstick"
    assert errors(rounds) == {"overloaded": 2 * (3 + 3 * 2)}
    assert len(as_json(rounds)["rows"]) == len(TARGETS)


def gets_at_64(bare: list[Figures], client: list[Figures], server: list[Figures]) -> Rounds:
    """Three rounds in which all else is equal."""
    equal = [figures()] * 3
    yardstick = dict.fromkeys(CELLS, equal)
    cluster = {cell: {"client": equal, "server": equal} for cell in CELLS}
    cell = Cell("get", 64)
    return Rounds(
        {**yardstick, cell: bare}, {**cluster, cell: {"client": client, "server": server}}
    )


def row_of(name: str, measured: Rounds) -> Row:
    return next(row for row in rows(measured) if row.target.name == name)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    bare = [figures(1000), figures(500), figures(2000)]
    client = [figures(800), figures(450), figures(1000)]
    row = row_of("quorum gets, 64 in flight", gets_at_64(bare, client, [figures(1)] * 3))
    assert (row.yardstick, row.cluster, row.reads) == (1000, 800, "client")
    assert row.ratios == [0.8, 0.9, 0.5]
    assert row.ratio == 0.8


@pytest.mark.parametrize("better", ["client", "server"])
def test_the_better_way_to_read_is_taken(better: str) -> None:
    good, bad = [figures(950, p99_ms=1)] * 3, [figures(100, p99_ms=9)] * 3
    client, server = (good, bad) if better == "client" else (bad, good)
    measured = gets_at_64([figures()] * 3, client, server)
    assert row_of("quorum gets, 64 in flight", measured).reads == better
    assert row_of("get p99, 64 in flight", measured).reads == better


@pytest.mark.parametrize(
    ("more_is_better", "ratio", "holds"),
    [(True, 0.5, True), (True, 0.49, False), (False, 0.5, True), (False, 0.51, False)],
)
def test_rates_have_a_floor_and_latencies_a_ceiling(
    more_is_better: bool, ratio: float, holds: bool
) -> None:
    target = Target("x", CELLS[0], "/s", lambda f: f.ops_per_s, 0.5, 1.0, more_is_better)
    assert target.holds(ratio, target.at_least) is holds


def test_every_target_names_a_cell_that_is_measured() -> None:
    assert {target.cell for target in TARGETS} == set(CELLS)
    assert all(
        target.holds(target.aim, target.at_least) and not target.holds(target.at_least, target.aim)
        for target in TARGETS
    )


def test_the_large_data_set_is_checked_against_its_bounds() -> None:
    gets, puts = [figures(1000)] * 3, [figures(900), figures(1100)]
    drifting = [figures(2000), figures(750), figures(10)]

    good = figures(600), {"n1": 299_000_000}, 2.9
    assert all(check.holds for check in checks(Scale("client", gets, drifting, puts, *good)))

    bad = figures(599), {"n1": 1, "n2": 300_000_000}, 3
    slow = [figures(1000), figures(740), figures(740)]
    found = checks(Scale("client", gets, slow, puts, *bad))
    assert [check.holds for check in found] == [False] * 4
