"""A node comes back far behind, and nobody asks for anything: how anti-entropy catches up.

    alone        n3 dies · many keys are written · n3 is back ──▶ equal: how long, how many bytes?
    under load   the same while clients go on by the clock: their p99 before it and meanwhile
    a step       the same, and clients suddenly ask for all they can: does the background give way,
                 and does it come back afterwards?

Three nodes own every key, so nobody can stand in: no hint helps. They are equal when n3 has seen
all its partitions equal with those of both others since it was back (`dynamo_in_sync_age_seconds`).
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import NamedTuple

from dynamo_bench.chaos.arrivals import arrivals, open_loop
from dynamo_bench.chaos.nodes import STRICT, Nodes
from dynamo_bench.chaos.sites import HOST, Site
from dynamo_bench.cluster import CannotMeasure, free_base_port
from dynamo_bench.load import Load
from dynamo_bench.measure import Figures, closed_loop, figures
from dynamo_bench.ports import Table
from dynamo_bench.scale import Check
from dynamo_client import Unavailable, connect

NAMES = ("n1", "n2", "n3")
BACK = "n3"
LOOK_S = 0.25
EQUAL_WITHIN_S = 300.0
WRITERS = 128
HARD_WORKERS = 128
BYTES_RATIO_MAX, BYTES_MORE = 3.0, 1 << 20
P99_RATIO_MAX = 2.0
NOISE_MS = 5.0
"""A p99 below this is no slower than another below it."""
FALLS_WITHIN_S = 2.0

AGE = "dynamo_in_sync_age_seconds"
LINK_BYTES = "dynamo_link_bytes_total{"
SHARE = 'dynamo_background_share{kind="exchange"}'

Started = Callable[[str], None]


class Seen(NamedTuple):
    """The least share of comparisons that any node gave them at one moment."""

    at: float
    share: float


class Plan(NamedTuple):
    """How much is written, and how long is measured."""

    keys: int = 100_000
    base_keys: int = 5_000
    """Those that clients go on with."""
    value_bytes: int = 512
    rate: float = 300.0
    """Operations a second of these, half of them puts."""
    calm_s: float = 15.0
    step_after_s: float = 3.0
    step_s: float = 6.0
    return_s: float = 20.0
    """How long the share of the background may take to come back."""


class CaughtUp(NamedTuple):
    """One return."""

    seconds: float
    """From its first word until all were equal."""
    bytes_moved: float
    """In and out at the node that was back, with both others, of all kinds."""


class Step(NamedTuple):
    """What the background was given of what it could take, at the busiest node."""

    before: float
    least: float
    falls_s: float | None
    """How long after the step it was half of that; None: never."""
    returns_s: float | None
    """How long after the end of the step it was what it had been."""


class Found(NamedTuple):
    """Everything that was measured."""

    alone: CaughtUp
    calm: Figures
    loaded: CaughtUp
    meanwhile: Figures
    step: Step


def checks(found: Found, plan: Plan) -> list[Check]:
    """The figures against what they must be."""
    lacked = plan.keys * plan.value_bytes
    most = BYTES_RATIO_MAX * lacked + BYTES_MORE
    slower = max(found.meanwhile.p99_ms, NOISE_MS) / max(found.calm.p99_ms, NOISE_MS)
    falls, returns = found.step.falls_s, found.step.returns_s
    failed = sum(found.meanwhile.errors.values())
    return [
        Check(
            "bytes moved to what was lacked",
            found.alone.bytes_moved / lacked,
            "×",
            f"≤ {BYTES_RATIO_MAX:.0f} and 1 MB",
            found.alone.bytes_moved <= most,
        ),
        Check(
            "p99 meanwhile to before", slower, "×", f"≤ {P99_RATIO_MAX}", slower <= P99_RATIO_MAX
        ),
        Check("operations that failed meanwhile", failed, "", "0", failed == 0),
        Check(
            "the background gives way after",
            -1.0 if falls is None else falls,
            "s",
            f"≤ {FALLS_WITHIN_S:.0f}",
            falls is not None and falls <= FALLS_WITHIN_S,
        ),
        Check(
            "and comes back after",
            -1.0 if returns is None else returns,
            "s",
            f"≤ {plan.return_s:.0f}",
            returns is not None,
        ),
    ]


def as_json(found: Found, made: Sequence[Check]) -> dict[str, object]:
    """The shape that scripts rely on."""
    return {
        "alone": found.alone._asdict(),
        "loaded": found.loaded._asdict(),
        "before": found.calm.as_json(),
        "meanwhile": found.meanwhile.as_json(),
        "step": found.step._asdict(),
        "checks": [check._asdict() for check in made],
    }


async def measure(directory: Path, plan: Plan, started: Started) -> Found:
    """Tell all three stories on one cluster of real processes. Raises CannotMeasure."""
    base = free_base_port(nodes=len(NAMES))
    places = {name: Site(HOST, base + i, HOST, base + i, HOST) for i, name in enumerate(NAMES)}
    async with (
        Nodes(directory, places, {}) as nodes,
        connect(",".join(nodes.seeds), timeout_ms=5000) as database,
    ):
        table = database.table(STRICT)
        load = Load(table, plan.base_keys, plan.value_bytes)
        await load.fill()
        started(f"{BACK} returns {plan.keys} keys behind, alone")
        alone = await _caught_up(nodes, table, plan, "alone")
        started(f"calm, {plan.rate:.0f} operations a second")
        calm = await _open(load, plan, plan.calm_s)
        started(f"{BACK} returns {plan.keys} keys behind, under that load")
        loaded, meanwhile = await _under_load(nodes, table, load, plan)
        started("again, and a step of the load")
        step = await _stepped(nodes, table, load, plan)
    return Found(alone, calm, loaded, meanwhile, step)


async def _caught_up(nodes: Nodes, table: Table, plan: Plan, prefix: str) -> CaughtUp:
    await _leave_behind(nodes, table, plan, prefix)
    return await _until_equal(nodes)


async def _leave_behind(nodes: Nodes, table: Table, plan: Plan, prefix: str) -> None:
    """Write many keys while n3 is dead, and start it again."""
    await nodes.by_name[BACK].kill()
    value, numbers = b"v" * plan.value_bytes, iter(range(plan.keys))

    async def write() -> None:
        for number in numbers:
            await _written(table, f"{prefix} {number}".encode(), value)

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(write())
    await nodes.by_name[BACK].start()


async def _written(table: Table, key: bytes, value: bytes) -> None:
    until = time.monotonic() + EQUAL_WITHIN_S
    while True:
        try:
            await table.put(key, value)
            return
        except Unavailable:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(LOOK_S)


async def _until_equal(nodes: Nodes) -> CaughtUp:
    """Look until the node has seen itself equal with both others since now."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < EQUAL_WITHIN_S:
        told = await nodes.by_name[BACK].metrics()
        age_s = told.get(AGE, took)
        if age_s < took - LOOK_S:
            moved = [value for name, value in told.items() if name.startswith(LINK_BYTES)]
            return CaughtUp(took - age_s, sum(moved))
        await asyncio.sleep(LOOK_S)
    raise CannotMeasure(f"{BACK} was not equal with the others in {EQUAL_WITHIN_S:.0f} s")


async def _open(
    load: Load, plan: Plan, seconds: float, over: asyncio.Event | None = None
) -> Figures:
    """Operations by the clock; a latency counts from when one was meant to begin. `over`: ends it
    before its time."""
    operate, clock = load.worker("mixed"), time.perf_counter
    latencies, errors = array("d"), Counter[str]()

    async def one(intended_s: float) -> None:
        try:
            await operate()
            latencies.append(clock() - intended_s)
        except Unavailable as error:
            errors[error.kind] += 1

    starts = arrivals(Random(plan.keys), plan.rate, seconds)
    began = clock()
    going = starts if over is None else takewhile(lambda _: not over.is_set(), starts)
    await open_loop(one, going, began, clock)
    return figures(latencies, clock() - began, errors)


async def _under_load(
    nodes: Nodes, table: Table, load: Load, plan: Plan
) -> tuple[CaughtUp, Figures]:
    """The load begins when the node is back, and ends when it is equal."""
    await _leave_behind(nodes, table, plan, "loaded")
    over = asyncio.Event()
    going = asyncio.ensure_future(_open(load, plan, EQUAL_WITHIN_S, over))
    try:
        caught_up = await _until_equal(nodes)
    finally:
        over.set()
        await asyncio.wait([going])
    return caught_up, going.result()


async def _stepped(nodes: Nodes, table: Table, load: Load, plan: Plan) -> Step:
    """A closed loop of many workers for a few seconds while the node catches up."""
    await _leave_behind(nodes, table, plan, "stepped")
    seen: list[Seen] = []
    async with _watched(nodes, seen):
        await asyncio.sleep(plan.step_after_s)
        begins = time.monotonic()
        workers = [load.worker("mixed", first, HARD_WORKERS) for first in range(HARD_WORKERS)]
        await closed_loop(workers, plan.step_s)
        ends = time.monotonic()
        await asyncio.sleep(plan.return_s)
    return read_step(seen, begins, ends)


def read_step(seen: Sequence[Seen], begins: float, ends: float) -> Step:
    """What became of the share; it counts from the last look before the step."""
    before = [each.share for each in seen if each.at <= begins]
    if not before:
        raise CannotMeasure("nobody looked at the share before the step")
    during = [each for each in seen if begins < each.at <= ends]
    after = [each for each in seen if each.at > ends]
    falls = next((each.at - begins for each in during if each.share <= before[-1] / 2), None)
    returns = next((each.at - ends for each in after if each.share >= before[-1]), None)
    least = min((each.share for each in during), default=before[-1])
    return Step(before[-1], least, falls, returns)


@asynccontextmanager
async def _watched(nodes: Nodes, seen: list[Seen]) -> AsyncIterator[None]:
    """Look every so often while inside."""

    async def look() -> None:
        while True:
            told = await asyncio.gather(*(nodes.by_name[name].metrics() for name in NAMES))
            shares = [each[SHARE] for each in told if SHARE in each]
            if shares:
                seen.append(Seen(time.monotonic(), min(shares)))
            await asyncio.sleep(LOOK_S)

    looking = asyncio.ensure_future(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])
