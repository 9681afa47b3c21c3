"""What a large data set costs: the figures at 1 million keys beside those at 20 thousand.

20 thousand keys:  gets · puts
1 million keys:    gets · puts for a minute, memory watched · clean stop · start
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from dynamo_bench.cluster import Cluster
from dynamo_bench.compare import Side
from dynamo_bench.load import Load, Reads
from dynamo_bench.measure import Figures
from dynamo_bench.targets import CellWorkload

CONCURRENCY = 64
GETS_RATIO = (0.75, 1.25)
PUTS_RATIO_MIN = 0.6
MEMORY_BYTES_MAX = 300_000_000
START_S_MAX = 3.0
MEMORY_SAMPLE_S = 0.5

Started = Callable[[str], None]
OpenLoads = Callable[[str, int, int], AbstractAsyncContextManager[Mapping[Reads, Load]]]
"""From seeds, number of keys and value bytes: one load per way to read."""


class Plan(NamedTuple):
    """How much is measured, for how long."""

    keys: int = 1_000_000
    few_keys: int = 20_000
    value_bytes: int = 1024
    seconds: float = 10.0
    sustained_s: float = 60.0
    settle_s: float = 3.0
    """Rest before each measurement, so that the checkpoint of the last one is done."""


class Rates(NamedTuple):
    """Both workloads over one number of keys."""

    gets: Figures
    puts: Figures


class Scale(NamedTuple):
    """Everything that was measured."""

    few: Rates
    many: Rates
    reads: Reads
    """The better way to read."""
    bare_before: Rates
    bare_after: Rates
    """The yardstick at either time, always over few keys: how much the machine itself drifted."""
    memory_bytes: dict[str, int]
    """The most anonymous memory seen of each node, by name."""
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
    cluster: Cluster, yardstick: Side, open_loads: OpenLoads, plan: Plan, started: Started
) -> Scale:
    """Fill the cluster and measure it on the way, the yardstick beside it."""
    async with open_loads(cluster.seeds, plan.few_keys, plan.value_bytes) as loads:
        bare_before = await _rates(yardstick, plan, started, "yardstick")
        few, reads = await _few(loads, plan, started)
    async with open_loads(cluster.seeds, plan.keys, plan.value_bytes) as loads:
        load = loads[reads]
        started(f"filling {plan.keys} keys")
        await load.fill()
        bare_after = await _rates(yardstick, plan, started, "yardstick")
        gets = await _measured(load, "get", plan, started, f"{plan.keys} keys")
        started(f"{plan.keys} keys, puts for {plan.sustained_s:.0f} s")
        puts, memory = await _sustained_puts(cluster, load, plan)
    started("clean stop and start")
    await cluster.stop()
    start_s = await cluster.start()
    return Scale(few, Rates(gets, puts), reads, bare_before, bare_after, memory, start_s)


def checks(scale: Scale) -> list[Check]:
    """The figures against the numbers to hold."""
    gets = _ratio(scale.many.gets, scale.few.gets)
    puts = _ratio(scale.many.puts, scale.few.puts)
    low, high = GETS_RATIO
    memory = max(scale.memory_bytes.values())
    drift = (
        ("machine's drift: yardstick gets", scale.bare_after.gets, scale.bare_before.gets),
        ("machine's drift: yardstick puts", scale.bare_after.puts, scale.bare_before.puts),
    )
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
        *(Check(name, _ratio(after, before), "×", "", True) for name, after, before in drift),
    ]


def as_json(scale: Scale) -> dict[str, object]:
    """The shape that scripts rely on."""
    return {
        "reads": scale.reads,
        "few": _rates_json(scale.few),
        "many": _rates_json(scale.many),
        "yardstick_before": _rates_json(scale.bare_before),
        "yardstick_after": _rates_json(scale.bare_after),
        "rss_anon_bytes": scale.memory_bytes,
        "start_s": round(scale.start_s, 3),
        "checks": [check._asdict() for check in checks(scale)],
    }


def _rates_json(rates: Rates) -> dict[str, object]:
    return {"get": rates.gets.as_json(), "put": rates.puts.as_json()}


async def _few(loads: Mapping[Reads, Load], plan: Plan, started: Started) -> tuple[Rates, Reads]:
    """The rates over few keys, and which way to read was better."""
    label = f"{plan.few_keys} keys"
    await next(iter(loads.values())).fill()
    gets: dict[Reads, Figures] = {}
    for reads, load in loads.items():
        gets[reads] = await _measured(load, "get", plan, started, f"{label} ({reads})")
    best = max(gets, key=lambda reads: gets[reads].ops_per_s)
    puts = await _measured(loads[best], "put", plan, started, label)
    return Rates(gets[best], puts), best


async def _rates(side: Side, plan: Plan, started: Started, label: str) -> Rates:
    gets = await _measured(side, "get", plan, started, label)
    return Rates(gets, await _measured(side, "put", plan, started, label))


async def _measured(
    side: Side, workload: CellWorkload, plan: Plan, started: Started, label: str
) -> Figures:
    started(f"{label}, {workload}s")
    await asyncio.sleep(plan.settle_s)
    return await side.measure(workload, concurrency=CONCURRENCY, seconds=plan.seconds)


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


def _ratio(mine: Figures, other: Figures) -> float:
    return mine.ops_per_s / other.ops_per_s if other.ops_per_s else float("inf")
