"""Does what a schedule says, undoes it, and writes down when connections may have broken."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from dynamo_bench.chaos.audit import Auditor
from dynamo_bench.chaos.ballast import Ballast
from dynamo_bench.chaos.journal import Place
from dynamo_bench.chaos.members import Change, Members
from dynamo_bench.chaos.nodes import N, Nodes, R
from dynamo_bench.chaos.schedule import MEMBERS, TAKES_ALL, TWO, Fault
from dynamo_bench.chaos.weather import CLIENTS, Weather

FLAP_S = 0.7
"""Half a period of a flapping link."""
SLOW_DELAY_S = 0.08
SLOW_BYTES_PER_S = 200_000.0
EMPTY_DOWN_S = 1.0
"""How long a wiped node is away before it starts empty."""


class Happened(NamedTuple):
    """One fault as it went."""

    fault: Fault
    began: float
    healed: float
    """When it was undone: the node is up again, the network fine."""
    note: str = ""
    changes: tuple[Change, ...] = ()
    """Of `members`."""
    stripped: frozenset[Place] = frozenset()
    """Items of which so many copies were hurt that only sloppy writes of them must succeed."""


class Faults:
    """The hands that do it."""

    def __init__(self, nodes: Nodes, weather: Weather, ballast: Ballast, auditor: Auditor) -> None:
        self._nodes, self._weather, self._ballast = nodes, weather, ballast
        self.moments: list[float] = []
        """When connections may have broken: a write under way then may have been sent twice."""
        self._auditor, self._walker = auditor, Members(nodes, auditor, self.moments)
        self.wiped: dict[str, float] = {}
        """Nodes that started empty, and when."""

    async def inflict(self, fault: Fault) -> Happened:
        """Do it, wait as long as it lasts, undo it. Raises CannotMeasure."""
        do: Callable[[Fault], Awaitable[str]] = getattr(self, f"_{fault.kind.replace('-', '_')}")
        began = self._moment()
        try:
            note = await do(fault)
        finally:
            self.heal()
        changes = tuple(self._walker.changes) if fault.kind == MEMBERS else ()
        return Happened(fault, began, self._moment(), note, changes, self._stripped(fault))

    def victims(self, fault: Fault) -> list[str]:
        """The nodes that it hurts."""
        if fault.kind == TAKES_ALL:
            return list(self._nodes.names)
        if fault.kind == TWO:
            return [fault.node, fault.also]
        if fault.kind == MEMBERS:
            return []
        if fault.kind == "zone":
            zones = self._nodes.zones
            return [name for name in self._nodes.names if zones[name] == zones[fault.node]]
        return [fault.node]

    def heal(self) -> None:
        """Undo all that is not a dead process."""
        self._weather.clear()
        self._ballast.give_back()
        for node in self._nodes.by_name.values():
            node.signal(signal.SIGCONT)

    async def _kill(self, fault: Fault) -> str:
        return await self._killed([fault.node], fault.lasts_s)

    async def _zone(self, fault: Fault) -> str:
        return await self._killed(self.victims(fault), fault.lasts_s)

    async def _two(self, fault: Fault) -> str:
        return await self._killed(self.victims(fault), fault.lasts_s)

    async def _members(self, fault: Fault) -> str:
        await self._walker.walk(fault.joining, fault.leaving)
        stayed = ", ".join(self._nodes.names)
        return f"members are now {stayed}"

    async def _crash(self, fault: Fault) -> str:
        return await self._killed(self.victims(fault), fault.lasts_s)

    async def _killed(self, names: Sequence[str], seconds: float) -> str:
        nodes = [self._nodes.by_name[name] for name in names]
        await asyncio.gather(*(node.kill() for node in nodes))
        await asyncio.sleep(seconds)
        started_s = await asyncio.gather(*(node.start() for node in nodes))
        return f"{', '.join(names)} served {max(started_s):.1f} s after the start"

    async def _wipe(self, fault: Fault) -> str:
        node = self._nodes.by_name[fault.node]
        await node.kill()
        await asyncio.to_thread(node.wipe)
        await asyncio.sleep(min(EMPTY_DOWN_S, fault.lasts_s))
        self.wiped[fault.node] = time.monotonic()
        return f"served {await node.start():.1f} s after its start with an empty directory"

    async def _stop(self, fault: Fault) -> str:
        self._nodes.by_name[fault.node].signal(signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        return ""

    async def _partition(self, fault: Fault) -> str:
        for way in self._weather.between(fault.node, self._others(fault)):
            way.held = True
        return await self._lasting(fault.lasts_s)

    async def _one_way(self, fault: Fault) -> str:
        direction = self._weather.to if fault.variant % 2 else self._weather.of
        for way in direction(fault.node, self._peers(fault)):
            way.held = True
        return await self._lasting(fault.lasts_s)

    async def _flapping(self, fault: Fault) -> str:
        """Off and on; off breaks the connections."""
        ways = self._weather.between(fault.node, [*self._peers(fault), CLIENTS])
        until, times = time.monotonic() + fault.lasts_s, 0
        while time.monotonic() < until:
            for way in ways:
                way.cut = not way.cut
            times += ways[0].cut
            self._moment()
            await self._lasting(FLAP_S)
        return f"cut {times} times"

    async def _slow(self, fault: Fault) -> str:
        for way in self._weather.between(fault.node, [*self._peers(fault), CLIENTS]):
            way.delay_s, way.bytes_per_s = SLOW_DELAY_S, SLOW_BYTES_PER_S
        return await self._lasting(fault.lasts_s)

    async def _full(self, fault: Fault) -> str:
        self._ballast.take()
        await asyncio.sleep(fault.lasts_s)
        refuses = await self._nodes.by_name[fault.node].refuses_writes()
        return "it refused writes" if refuses else "it did NOT refuse writes"

    async def _lasting(self, seconds: float) -> str:
        self._weather.changed()
        await asyncio.sleep(seconds)
        return ""

    def _others(self, fault: Fault) -> list[str]:
        return [*self._peers(fault), *([CLIENTS] if fault.variant % 2 else [])]

    def _peers(self, fault: Fault) -> list[str]:
        return [name for name in self._nodes.names if name != fault.node]

    def _stripped(self, fault: Fault) -> frozenset[Place]:
        """The items of which so many owners were dead that R of them cannot be asked."""
        dead = {*self.victims(fault)} if fault.kind == TWO else set()
        owners = self._auditor.owners
        places = self._auditor.places if dead else ()
        return frozenset(place for place in places if len(dead.intersection(owners(place))) > N - R)

    def _moment(self) -> float:
        now = time.monotonic()
        self.moments.append(now)
        return now
