"""Members come and go under load, as an operator orders it, and what every change moved.

    dynamo-node run --join ─▶ plan ─▶ dynamo member commit ─▶ every member holds the final ring ─▶ …
                                                              who leaves: ─▶ SIGTERM

Law:  moved = slots that the ring after a change gives to nodes that had them not before
            = what the planner (`dynamo member plan`) makes of the ring before
            = what those nodes say, while it is under way, that they copy
            = sum over nodes of max(0, slots after - slots before), which no other way to the same
              shares can be below
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dynamo.membership.plan import Join, Leave, plan_of
from dynamo.ring import Member, Ring
from dynamo.ring.placement import slots_of
from dynamo.types import NodeId
from dynamo_bench.chaos.audit import Auditor
from dynamo_bench.chaos.judging import MOMENT_S
from dynamo_bench.chaos.nodes import Nodes
from dynamo_bench.chaos.operator import Operator, Refused

JOINT, FINAL = 1, 2
"""The epochs of a change, counted from the one before."""
LOOK_S = 0.2
FINAL_S = 60.0
"""How long after the command has returned a member may take to hold the final ring."""
WHOLE_S = 30.0
"""How long a change waits for all members to serve all they own after the last."""


class Change(NamedTuple):
    """One change of members as it went; times are monotonic."""

    what: str
    began: float
    """When the first member was seen to know of it."""
    ended: float
    """When every member held the final ring, or it was given up."""
    planned: int
    """Copies of a partition that were to move."""
    gained: Mapping[str, int]
    """Slots that each node has and had not, by the rings before and after."""
    told: Mapping[str, int]
    """Copies that each node said it had to make, of those that were seen while they did."""
    least: int
    """No way to the same shares moves fewer."""
    failure: str = ""
    """Why it did not come to its end."""

    @property
    def moved(self) -> int:
        """Slots that changed hands."""
        return sum(self.gained.values())

    @property
    def is_least(self) -> bool:
        """Whether just what was planned has moved, nobody copied anything else, and no other way
        would have been cheaper."""
        copied = all(count == self.gained.get(node, 0) for node, count in self.told.items())
        return self.moved == self.planned == self.least and copied


class Members:
    """Who brings nodes in and takes nodes out."""

    def __init__(self, nodes: Nodes, auditor: Auditor, moments: list[float]) -> None:
        """`moments`: where it is noted when writes under way may be sent again."""
        self._nodes, self._auditor, self._moments = nodes, auditor, moments
        self._operator = Operator(lambda: nodes.seeds)
        self.changes: list[Change] = []

    async def walk(self, joining: Sequence[str], leaving: Sequence[str]) -> None:
        """All join, then some leave, one after the other; it ends with the first that fails.

        Raises CannotMeasure if a node does not start.
        """
        for name in joining:
            await self._nodes.join(name)
            zone, address = self._nodes.zones[name], self._nodes.seed(name)
            words = ("join", name, "--zone", zone, "--address", address)
            wish = Join(Member(NodeId(name), name, zone, 1.0))
            if not await self._change(wish, words, [*self._nodes.names, name]):
                return
            self._nodes.names.append(name)
        for name in leaving:
            after = [member for member in self._nodes.names if member != name]
            if not await self._change(Leave(NodeId(name)), ("leave", name), after):
                return
            await self._nodes.leave(name)
            self._moments.append(time.monotonic())

    async def _change(self, wish: Join | Leave, words: Sequence[str], after: Sequence[str]) -> bool:
        """Plan it, order it, see it through; whether it came to its end."""
        assert self._auditor.ring is not None, "learned at the start"
        failure, planned, before = "", 0, self._auditor.ring
        look = Look(self._auditor, {*self._nodes.names, *after}, after)
        try:
            await self._whole()
            look.epoch = (before := await self._ring(self._nodes.names)).epoch
            planned = (await asyncio.to_thread(plan_of, wish, before)).copies
            commit = ("commit", *words, "--epoch", str(before.epoch), "--wait")
            await look.during(self._operator.member(*commit))
            became = await self._ring(after)
        except Refused as refused:
            failure, became = str(refused), before
        await self._auditor.learn()
        self._moments += look.moments
        made = Change(
            *(" ".join(words[:2]), look.began, time.monotonic(), planned),
            *(gained(before, became), look.told, least(before, became), failure),
        )
        self.changes.append(made)
        return not failure

    async def _whole(self) -> None:
        """Wait until every member serves all it owns. Raises Refused."""
        until = time.monotonic() + WHOLE_S
        while not await self._nodes.are_whole():
            if time.monotonic() > until:
                raise Refused(f"a member did not serve all it owns {WHOLE_S:g} s later")
            await asyncio.sleep(LOOK_S)

    async def _ring(self, members: Sequence[str]) -> Ring:
        """The one that all of them hold. Raises Refused if it is not one."""
        rings = [await self._auditor.ring_at(name) for name in members]
        found = {ring.digest(): ring for ring in rings if ring is not None}
        if len(found) != 1 or None in rings:
            told = ", ".join(
                f"{name}: {'nothing' if ring is None else f'epoch {ring.epoch}'}"
                for name, ring in zip(members, rings, strict=True)
            )
            raise Refused(f"the members do not hold one ring: {told}")
        return found.popitem()[1]


class Look:
    """Looks at all nodes over and over while a change is under way."""

    def __init__(self, auditor: Auditor, nodes: Iterable[str], after: Sequence[str]) -> None:
        """`after`: the members that the change leaves."""
        self._auditor, self._nodes, self._after = auditor, list(nodes), after
        self._epochs: dict[str, int] = {}
        self._looked = self.began = time.monotonic()
        self.epoch = 0
        """The one from which the change begins."""
        self.moments: list[float] = []
        """Between two of them some node went over to another epoch."""
        self.told: dict[str, int] = {}

    async def during(self, order: Coroutine[Any, Any, object]) -> None:
        """Until it is done and every member holds the final ring. Raises Refused."""
        ordering = asyncio.create_task(order)
        try:
            while not ordering.done():
                await self._once()
            await ordering
            until = time.monotonic() + FINAL_S
            while not await self._once():
                if time.monotonic() > until:
                    raise Refused(f"not every member held the final ring {FINAL_S:g} s later")
        finally:
            ordering.cancel()

    async def _once(self) -> bool:
        """Look, and rest a little; whether the change is over everywhere."""
        said = await asyncio.gather(*(self._auditor.status_at(node) for node in self._nodes))
        statuses = dict(zip(self._nodes, said, strict=True))
        epochs = {node: status.get("ring_epoch", 0) for node, status in statuses.items()}
        now = time.monotonic()
        if self._epochs and epochs != self._epochs:
            self.moments += moments(self._looked, now)
        if max(self._epochs.values(), default=0) <= self.epoch < max(epochs.values()):
            self.began = now
        self._epochs, self._looked = epochs, now
        for node, status in statuses.items():
            if epochs[node] == self.epoch + JOINT and "transfers" in status:
                self.told[node] = status["transfers"]["of"]
        await asyncio.sleep(LOOK_S)
        return all(epochs[node] >= self.epoch + FINAL for node in self._after)


def gained(before: Ring, after: Ring) -> dict[str, int]:
    """The slots that each node has and had not."""
    return dict(Counter(move.node for move in after.gains(before, after.n_max)))


def least(before: Ring, after: Ring) -> int:
    """So many slots at least change hands, whatever is moved how."""
    had = slots_of(before, before.n_max)
    has = slots_of(after, after.n_max)
    return sum(max(0, count - had.get(node, 0)) for node, count in has.items())


def moments(since: float, until: float) -> list[float]:
    """Moments so near to each other that none between is far from all of them."""
    count = math.ceil((until - since) / MOMENT_S)
    return [*(since + MOMENT_S * number for number in range(count)), until]
