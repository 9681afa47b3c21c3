"""One run from beginning to end.

nodes, proxy, clients ─▶ fill ─▶ how fast can it go? ─▶ load at a share of that, and faults ─▶
  all healed ─▶ what became of the unknown? ─▶ replicas alike? ─▶ judged
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from dynamo_bench.chaos.audit import Auditor, Held
from dynamo_bench.chaos.ballast import Ballast
from dynamo_bench.chaos.faults import Faults, Happened
from dynamo_bench.chaos.items import Found, together
from dynamo_bench.chaos.journal import Place, load
from dynamo_bench.chaos.judging import Judge, Said
from dynamo_bench.chaos.loads import Loads
from dynamo_bench.chaos.namespaces import LEFT_OUT, Namespaces
from dynamo_bench.chaos.nodes import GRPC, METRICS, SLOPPY, TABLES, N, Nodes
from dynamo_bench.chaos.plan import Outcome, Plan, Tell
from dynamo_bench.chaos.proxy import Proxy
from dynamo_bench.chaos.schedule import MEMBERS, Fault, named
from dynamo_bench.chaos.sites import behind_proxy
from dynamo_bench.chaos.verdicts import End, verdicts
from dynamo_bench.chaos.weather import Weather
from dynamo_bench.chaos.windows import around, fates, windows
from dynamo_bench.cluster import free_base_port

LOAD_SHARE = 0.3
"""Of the measured maximum."""
RATE_MAX = 3000.0
"""Operations a second at most: more only makes the histories longer to judge."""
IN_FLIGHT = 32
"""Of each client process, while the maximum is measured."""
FRONT, OWN = 0, 50
"""Groups of ports above the base."""
LEAD_S = 0.3
"""Between the order to begin and the beginning."""
WHOLE_S = 30.0
"""How long a fault waits for the cluster to be whole after the last."""
CONVERGED_S = 60.0
"""How long replicas may take to become alike by themselves: each pair of nodes compares what it has
every 10 s or sooner."""
POLL_S = 0.2
MORE_S = 5.0
"""So long the load goes on at a time while a fault takes longer than planned."""


async def run(plan: Plan, tell: Tell) -> Outcome:
    """Run it; `tell` hears what is going on. Raises CannotMeasure."""
    directory = Path(tempfile.mkdtemp(prefix="dynamo-chaos-", dir=plan.directory))
    try:
        async with AsyncExitStack() as stack:
            return await Run(plan, tell, directory).go(stack)
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


class Run:
    """The parts of a run, and what it has seen so far."""

    def __init__(self, plan: Plan, tell: Tell, directory: Path) -> None:
        self._plan, self._tell, self._directory = plan, tell, directory
        self._ballast = Ballast(directory)
        joining = [name for fault in plan.schedule.faults for name in fault.joining]
        names = [*named(plan.nodes), *joining]
        base = free_base_port((FRONT, OWN, GRPC, METRICS), len(names))
        self._weather = Weather(names)
        self._network: Proxy | Namespaces
        if plan.network == "namespaces":
            self._network = Namespaces(self._weather, names, base)
            sites = self._network.sites
        else:
            sites = behind_proxy(names, base + FRONT, base + OWN)
            places = {name: (site.port, site.listen_port) for name, site in sites.items()}
            self._network = Proxy(self._weather, places)
        self._nodes = Nodes(directory, sites, self._limits(), plan.durability, joining)
        self._happened: list[tuple[Happened, float | None]] = []
        self._left_out: list[str] = []
        self._watched: list[Said] = []
        self._begin, self._seconds = 0.0, plan.schedule.seconds
        """When the load began (monotonic), and how long it was."""
        self._late_s, self._changing = 0.0, False
        """How much longer than planned members took to change; whether they do now."""
        keys = [(table, f"k{n}".encode()) for table in TABLES for n in range(plan.keys)]
        self._auditor = Auditor(sites, keys)
        self._faults = Faults(self._nodes, self._weather, self._ballast, self._auditor)

    async def go(self, stack: AsyncExitStack) -> Outcome:
        """All of it."""
        if self._fills:
            keeping = asyncio.create_task(self._ballast.keep())
            stack.push_async_callback(_ended, keeping)
        await stack.enter_async_context(self._network)
        await stack.enter_async_context(self._nodes)
        await stack.enter_async_context(self._auditor)
        loads = await stack.enter_async_context(self._loads())
        await self._auditor.learn()
        self._tell("filling")
        await loads.all(do="fill")
        if self._plan.items:
            self._tell(f"writing {self._plan.items:,} items that nobody will touch")
            await loads.all(do="stock")
        maximum, rate = await self._measured(loads)
        self._tell(f"{rate:,.0f} operations/s by the clock")
        await self._play(loads, rate)
        end, final = await self._finish(loads)
        book = load(await loads.save())
        self._tell(f"judging {len(book.steps):,} steps")
        judge = Judge([SLOPPY], self._faults.moments)
        judgement = await asyncio.to_thread(judge.judge, book.steps, self._watched, final)
        schedule = self._plan.schedule._replace(seconds=self._seconds)
        faults = [
            around(happened, book.operations, self._begin, schedule, caught_up)
            for happened, caught_up in self._happened
        ]
        fates_ = fates(book.operations, [each.happened for each in faults])
        return Outcome(
            maximum,
            rate,
            windows(book.operations, self._begin, 0.0, schedule.seconds),
            faults,
            self._left_out,
            judgement,
            verdicts(judgement, faults, fates_, end),
            fates_,
            end,
        )

    async def _measured(self, loads: Loads) -> tuple[float | None, float]:
        """What a closed loop reaches, and the rate of the load."""
        if self._plan.rate is not None:
            return None, self._plan.rate
        self._tell("measuring what it can do")
        answers = await loads.all(do="maximum", seconds=self._plan.maximum_s, in_flight=IN_FLIGHT)
        maximum = sum(float(answer["ops_per_s"]) for answer in answers)
        return maximum, min(LOAD_SHARE * maximum, RATE_MAX)

    async def _play(self, loads: Loads, rate: float) -> None:
        """The load, and the faults under it."""
        self._begin = time.monotonic() + LEAD_S
        async with asyncio.TaskGroup() as group:
            group.create_task(self._load(loads, rate))
            group.create_task(self._inflict_all())

    async def _load(self, loads: Loads, rate: float) -> None:
        """Operations by the clock, for as long as was meant, and longer if members take longer."""
        share, at = rate / self._plan.clients, self._begin
        ends = self._ends()
        while at < ends:
            await loads.all(do="play", rate=share, begin=at, seconds=ends - at)
            self._seconds, at = ends - self._begin, time.monotonic() + LEAD_S
            ends = at + MORE_S if self._changing else max(ends, self._ends())

    async def _inflict_all(self) -> None:
        """One fault after the other; all that follow a change of members that took longer are
        later."""
        for fault in self._plan.schedule.faults:
            await _until(self._begin + self._late_s + fault.at_s)
            began, self._changing = time.monotonic(), fault.kind == MEMBERS
            await self._inflict(fault)
            if self._changing:
                self._late_s += max(0.0, time.monotonic() - began - fault.lasts_s)
                self._changing = False

    async def _inflict(self, fault: Fault) -> None:
        """One fault, as soon as the cluster is whole after the last."""
        if self._plan.network == "namespaces" and fault.kind in LEFT_OUT:
            self._left_out.append(f"{fault.name}: only the proxy can")
            return
        if fault.kind == "full" and not self._ballast.is_possible:
            self._left_out.append(f"{fault.name}: too little room on this disk to play with")
            return
        if not await self._whole(WHOLE_S):
            self._left_out.append(f"{fault.name}: the cluster was not whole")
            return
        if not self._changing and time.monotonic() + fault.lasts_s > self._ends():
            self._left_out.append(f"{fault.name}: no time was left")
            return
        self._tell(f"{time.monotonic() - self._begin:6.1f} s  {fault.name}{fault.detail}")
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch(fault, done))
            happened = await self._faults.inflict(fault)
            until = self._begin + self._late_s + self._next_after(fault)
            caught_up = await self._caught_up(self._faults.victims(fault), until)
            done.set()
        self._watched += watch.result()
        self._happened.append((happened, caught_up))

    async def _caught_up(self, nodes: Sequence[str], until: float) -> float | None:
        """The seconds until all of them held what the others held; None: they did not."""
        took_s = [await self._auditor.caught_up(node, until) for node in nodes]
        return None if None in took_s else max(filter(None, took_s), default=0.0)

    async def _watch(self, fault: Fault, done: asyncio.Event) -> list[Said]:
        """What a node says that lost its disk, from its first word."""
        if fault.kind != "wipe":
            return []
        while fault.node not in self._faults.wiped and not done.is_set():
            await asyncio.sleep(POLL_S)
        since = self._faults.wiped.pop(fault.node)
        said = await self._auditor.watch(fault.node, done)
        return [Said(fault.node, p, held.record, since, held.answered) for p, held in said]

    async def _finish(self, loads: Loads) -> tuple[End, dict[Place, dict[str, bytes | None]]]:
        """All healed: ask, wait, compare, stop."""
        began = time.monotonic()
        self._faults.heal()
        await self._nodes.start()
        await self._whole(WHOLE_S)
        unknown = sum(int(answer["unknown"]) for answer in await loads.all(do="settle"))
        self._tell("waiting until all replicas are alike")
        differing = await self._alike(CONVERGED_S)
        seconds = None if differing else time.monotonic() - began
        hints = await self._hints(CONVERGED_S)
        items = await self._inspected(loads)
        holdings = await self._auditor.all_holdings()
        statuses = await self._nodes.stop()
        silent = N * len(holdings) - sum(map(len, holdings.values()))
        unheard = sum(not held for held in holdings.values())
        end = End(unknown, differing, silent, unheard, seconds, statuses, hints, items)
        return end, {place: _records(held) for place, held in holdings.items()}

    async def _alike(self, patience_s: float) -> int:
        """Wait for it; how many keys still differ."""
        until = time.monotonic() + patience_s
        while (differing := await self._auditor.differing()) and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
        return differing

    async def _hints(self, patience_s: float) -> int | None:
        """Wait until none is kept; how many are."""
        until = time.monotonic() + patience_s
        while (kept := await self._nodes.hints()) != 0 and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
        return kept

    async def _inspected(self, loads: Loads) -> Found | None:
        """What became of the items that nobody touched."""
        if not self._plan.items:
            return None
        self._tell(f"reading {self._plan.items:,} items")
        return together([Found(**answer) for answer in await loads.all(do="inspect")])

    async def _whole(self, patience_s: float) -> bool:
        until = time.monotonic() + patience_s
        while not (whole := await self._nodes.are_whole()) and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
        return whole

    def _ends(self) -> float:
        """When the load ends, as far as is known."""
        return self._begin + self._late_s + self._plan.schedule.seconds

    def _next_after(self, fault: Fault) -> float:
        """When the fault after this one begins, or the load ends."""
        later = [other.at_s for other in self._plan.schedule.faults if other.at_s > fault.at_s]
        return min(later, default=self._plan.schedule.seconds)

    def _limits(self) -> dict[str, dict[str, int]]:
        """The node whose disk shall be full has a reserve that ballast can reach."""
        return {node: {"disk_reserve_bytes": self._ballast.reserve_bytes} for node in self._fills}

    @property
    def _fills(self) -> list[str]:
        """Nodes whose disks shall be full."""
        faults = self._plan.schedule.faults if self._ballast.is_possible else ()
        return [fault.node for fault in faults if fault.kind == "full"]

    def _loads(self) -> Loads:
        spec: dict[str, Any] = {
            "seeds": self._nodes.seeds,
            "seed": self._plan.schedule.seed,
            "tables": list(TABLES),
            "keys": self._plan.keys,
            "value_bytes": self._plan.value_bytes,
            "items": self._plan.items,
        }
        return Loads(spec, self._plan.clients, self._directory)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


def _first(error: BaseException) -> BaseException:
    """What a group of errors began with."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _records(held: dict[str, Held]) -> dict[str, bytes | None]:
    return {node: one.record for node, one in held.items()}
