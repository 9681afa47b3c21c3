"""What a large data set costs: a cluster with 1 million keys beside one with 20 thousand.

20 thousand keys:  gets      gets      gets      puts                     puts
1 million keys:         gets      gets      gets      puts for a minute        clean stop · start

Both are filled first, read once from all replicas, and then measured in turn: what the machine does
meanwhile it does to both, and neither waits for its disk, as a million keys would after a start.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median
from typing import NamedTuple

from dynamo_bench.cluster import NODES, Cluster
from dynamo_bench.load import Load, Reads
from dynamo_bench.measure import Figures
from dynamo_bench.targets import CellWorkload

CONCURRENCY = 64
GETS_RATIO = (0.75, 1.25)
PUTS_RATIO_MIN = 0.6
MEMORY_BYTES_MAX = 300_000_000
START_S_MAX = 3.0
MEMORY_SAMPLE_S = 0.5
TURN_S = 2.0
"""Of gets over few keys before those over many keys. Raising it: more of what the machine does in
between is in the ratio; lowering it: the first operations of a turn weigh more."""

Loads = Mapping[Reads, Load]
"""One cluster's keys, by who coordinates the reads."""
Started = Callable[[str], None]


class Plan(NamedTuple):
    """How much is measured, for how long."""

    keys: int = 1_000_000
    few_keys: int = 20_000
    value_bytes: int = 1024
    rounds: int = 3
    seconds: float = 10.0
    sustained_s: float = 60.0
    settle_s: float = 3.0
    """Rest before each measurement, so that the checkpoint of the last one is done."""


class Scale(NamedTuple):
    """Everything that was measured."""

    reads: Reads
    """The better way to read."""
    few_gets: Sequence[Figures]
    """One per turn, each followed by that of the many."""
    many_gets: Sequence[Figures]
    few_puts: Sequence[Figures]
    """Before and after those over many keys."""
    many_puts: Figures
    memory_bytes: Mapping[str, int]
    """The most anonymous memory seen of each node with many keys, by name."""
    start_s: float
    """From the command to the ready file, after a clean stop."""


class Check(NamedTuple):
    """One bound and the figure that must keep it."""

    name: str
    figure: float
    unit: str
    bound: str
    holds: bool


async def measure_scale(
    few: Loads, many: Loads, large: Cluster, plan: Plan, started: Started
) -> Scale:
    """Fill both clusters and measure them in turn; `large` is the one with many keys."""
    for loads, keys in ((few, plan.few_keys), (many, plan.keys)):
        load = next(iter(loads.values()))
        started(f"filling {keys} keys")
        await load.fill()
        started(f"reading {keys} keys once")
        await load.read_all(NODES)
    reads = await _better_reads(few, plan, started)
    few_gets, many_gets = await _gets_in_turn(few[reads], many[reads], plan, started)
    before = await _measured(few[reads], "put", plan, started, "before, few keys")
    started(f"many keys, puts for {plan.sustained_s:.0f} s")
    many_puts, memory = await _sustained_puts(large, many[reads], plan)
    after = await _measured(few[reads], "put", plan, started, "after, few keys")
    started("clean stop and start")
    await large.stop()
    start_s = await large.start()
    return Scale(reads, few_gets, many_gets, [before, after], many_puts, memory, start_s)


def checks(scale: Scale) -> list[Check]:
    """The figures against the numbers to hold."""
    gets = median(
        _ratio(many, few.ops_per_s)
        for many, few in zip(scale.many_gets, scale.few_gets, strict=True)
    )
    puts = _ratio(scale.many_puts, mean(figures.ops_per_s for figures in scale.few_puts))
    low, high = GETS_RATIO
    memory = max(scale.memory_bytes.values())
    return [
        Check("gets, many keys to few", gets, "×", f"{low} to {high}", low <= gets <= high),
        Check(
            *("sustained puts, many keys to few", puts, "×"),
            *(f"≥ {PUTS_RATIO_MIN}", puts >= PUTS_RATIO_MIN),
        ),
        Check(
            *("anonymous memory of a node", memory / 1e6, "MB"),
            *(f"< {MEMORY_BYTES_MAX / 1e6:.0f}", memory < MEMORY_BYTES_MAX),
        ),
        Check(
            *("start after a clean stop", scale.start_s, "s"),
            *(f"< {START_S_MAX:.0f}", scale.start_s < START_S_MAX),
        ),
    ]


def as_json(scale: Scale) -> dict[str, object]:
    """The shape that scripts rely on."""
    return {
        "reads": scale.reads,
        "few": {"get": _as_json(scale.few_gets), "put": _as_json(scale.few_puts)},
        "many": {"get": _as_json(scale.many_gets), "put": _as_json([scale.many_puts])},
        "rss_anon_bytes": scale.memory_bytes,
        "start_s": round(scale.start_s, 3),
        "checks": [check._asdict() for check in checks(scale)],
    }


def _as_json(measured: Sequence[Figures]) -> list[dict[str, object]]:
    return [figures.as_json() for figures in measured]


async def _better_reads(loads: Loads, plan: Plan, started: Started) -> Reads:
    """The way to read that is faster over few keys."""
    rates: dict[Reads, float] = {}
    for reads, load in loads.items():
        label = f"reads by the {reads}, few keys"
        rates[reads] = (await _measured(load, "get", plan, started, label)).ops_per_s
    return max(rates, key=lambda reads: rates[reads])


async def _gets_in_turn(
    few: Load, many: Load, plan: Plan, started: Started
) -> tuple[list[Figures], list[Figures]]:
    """Short turns, and as many as fill the time of all rounds: a shared machine is another one a
    few seconds later, and gets leave nothing behind for which the next turn would have to wait."""
    seconds = min(plan.seconds, TURN_S)
    turns = round(plan.rounds * plan.seconds / seconds)
    await asyncio.sleep(plan.settle_s)
    few_gets, many_gets = [], []
    for turn in range(1, turns + 1):
        started(f"turn {turn}/{turns}, gets, few keys and many keys")
        few_gets.append(await few.measure("get", concurrency=CONCURRENCY, seconds=seconds))
        many_gets.append(await many.measure("get", concurrency=CONCURRENCY, seconds=seconds))
    return few_gets, many_gets


async def _measured(
    load: Load, workload: CellWorkload, plan: Plan, started: Started, label: str
) -> Figures:
    started(f"{label}, {workload}s")
    await asyncio.sleep(plan.settle_s)
    return await load.measure(workload, concurrency=CONCURRENCY, seconds=plan.seconds)


async def _sustained_puts(
    cluster: Cluster, load: Load, plan: Plan
) -> tuple[Figures, dict[str, int]]:
    """Puts for long, and the most memory that each node took meanwhile."""
    most: dict[str, int] = {}
    running = asyncio.ensure_future(
        load.measure("put", concurrency=CONCURRENCY, seconds=plan.sustained_s)
    )
    while not running.done():
        most = _larger(most, cluster.anonymous_bytes())
        await asyncio.wait([running], timeout=MEMORY_SAMPLE_S)
    return await running, most


def _larger(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other[name]) for name in other}


def _ratio(mine: Figures, ops_per_s: float) -> float:
    return mine.ops_per_s / ops_per_s if ops_per_s else float("inf")
