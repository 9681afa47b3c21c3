"""Asks every replica itself what it holds: no quorum in between, no broken network, no repair.

    asked of each owner of a key    ReplicaGet ─▶ its record · nothing · refused (rebuilding)

This is what a client does that coordinates its own reads, so a node answers it as it would a real
reader; but nothing is told afterwards of what differs, so that looking changes nothing. As a reader
does, it says on every link which ring it goes by.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple

from dynamo.keys import item_key
from dynamo.messages import (
    ASK_CLUSTER,
    ASK_STATUS,
    CLUSTER_IS,
    REPLICA_GET,
    REPLICA_RECORD,
    REPLICA_REFUSED,
    STATUS_IS,
    AskCluster,
    AskStatus,
    ReplicaGet,
)
from dynamo.messages_members import CLIENT_EPOCH
from dynamo.ring import Ring
from dynamo.ring.hashing import partition_of, token_of
from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import NOTHING, Record, supersedes
from dynamo.testing.checkers import alike
from dynamo.types import ItemKey, NodeId, PartitionId, TableId
from dynamo.wire import Callbacks, Hello, Link, LinkSet, Message
from dynamo_bench.chaos.journal import Place
from dynamo_bench.chaos.nodes import TABLES, N
from dynamo_bench.chaos.sites import Site

ANSWER_S = 5.0
WATCH_PAUSE_S = 0.2
BATCH = 32
"""Questions at a time, so that whoever else runs in this process is not held up for long."""


class Held(NamedTuple):
    """What a replica said of one key."""

    record: bytes | None
    """None: it holds nothing. It says nothing else, or it is not here at all."""
    asked: float
    answered: float

    def decoded(self) -> Record:
        """The record."""
        return NOTHING if self.record is None else decode_record(self.record)


class Auditor:
    """Links to all nodes, past all faults of the network, inside the context."""

    def __init__(self, sites: Mapping[str, Site], places: Sequence[Place]) -> None:
        self._sites, self.places = sites, places
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._numbers = count(1)
        self._links: dict[str, Link] = {}
        self._dialing = asyncio.Lock()
        self._set = LinkSet(Callbacks(self._hello, _opened, self._received, self._lost))
        self.ring: Ring | None = None

    async def __aenter__(self) -> "Auditor":
        await self._set.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._set.close("the audit is over")

    async def learn(self) -> None:
        """Whom to ask for what, as the first node says. Raises OSError if none answers."""
        for node in self._sites:
            ring = await self.ring_at(node)
            if ring is not None:
                self.ring = ring
                for link in self._links.values():
                    if link.is_open:
                        link.send((CLIENT_EPOCH, ring.epoch))
                return
        raise ConnectionError("no node says what its cluster is")

    async def ring_at(self, node: str) -> Ring | None:
        """The ring that a node goes by; None: it does not say."""
        answer = await self._ask(node, AskCluster(ASK_CLUSTER, 0))
        if answer is None or answer[0] != CLUSTER_IS:
            return None
        return Ring.from_value(answer[2])

    async def status_at(self, node: str) -> dict[str, Any]:
        """What a node says of itself; empty: nothing."""
        answer = await self._ask(node, AskStatus(ASK_STATUS, 0))
        return answer[2] if answer is not None and answer[0] == STATUS_IS else {}

    def owners(self, place: Place) -> tuple[NodeId, ...]:
        """Who must hold a key."""
        assert self.ring is not None, "learned before"
        return self.ring.preference_list(self._partition(place), N)

    async def holdings(self, node: str, places: Sequence[Place]) -> dict[Place, Held]:
        """What one node holds of these keys; keys that it refuses or does not answer are absent."""
        found: dict[Place, Held] = {}
        for first in range(0, len(places), BATCH):
            batch = places[first : first + BATCH]
            answers = await asyncio.gather(*(self._held(node, place) for place in batch))
            found |= {p: held for p, held in zip(batch, answers, strict=True) if held is not None}
        return found

    async def all_holdings(self) -> dict[Place, dict[str, Held]]:
        """What all owners hold of all keys."""
        found: dict[Place, dict[str, Held]] = {place: {} for place in self.places}
        for node in self._sites:
            mine = [place for place in self.places if node in self.owners(place)]
            for place, held in (await self.holdings(node, mine)).items():
                found[place][node] = held
        return found

    async def differing(self) -> int:
        """Keys whose owners do not all hold the same."""
        found = await self.all_holdings()
        return sum(not are_alike(place_held, N) for place_held in found.values())

    async def caught_up(self, node: str, until: float) -> float | None:
        """The seconds until the node held all that its fellow owners hold now; None: it did not.

        `until`: the last moment (monotonic) to look.
        """
        began = time.monotonic()
        mine = [place for place in self.places if node in self.owners(place)]
        wanted: dict[Place, list[Held]] = {place: [] for place in mine}
        for other in self._sites:
            if other != node:
                theirs = [place for place in mine if other in self.owners(place)]
                for place, held in (await self.holdings(other, theirs)).items():
                    wanted[place].append(held)
        while wanted and time.monotonic() < until:
            for place, held in (await self.holdings(node, list(wanted))).items():
                if all(knows(held, other) for other in wanted[place]):
                    del wanted[place]
            if wanted:
                await asyncio.sleep(WATCH_PAUSE_S)
        return None if wanted else time.monotonic() - began

    async def watch(self, node: str, done: asyncio.Event) -> list[tuple[Place, Held]]:
        """All that a node says of its keys, over and over until `done`, and once more after."""
        mine = [place for place in self.places if node in self.owners(place)]
        said: list[tuple[Place, Held]] = []
        while True:
            last = done.is_set()
            said += (await self.holdings(node, mine)).items()
            if last:
                return said
            await asyncio.sleep(WATCH_PAUSE_S)

    async def _held(self, node: str, place: Place) -> Held | None:
        asked = time.monotonic()
        answer = await self._ask(node, ReplicaGet(REPLICA_GET, 0, self._item(place), None))
        if answer is None or answer[0] == REPLICA_REFUSED:
            return None
        assert answer[0] == REPLICA_RECORD, f"asked for a record, not for {answer}"
        return Held(answer[2], asked, time.monotonic())

    async def _ask(self, node: str, message: AskCluster | AskStatus | ReplicaGet) -> Message | None:
        try:
            link = await self._link(node)
        except (OSError, TimeoutError):
            return None
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        link.send(message._replace(id=number))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await future
        except (TimeoutError, ConnectionError):
            return None
        finally:
            del self._waiting[number]

    async def _link(self, node: str) -> Link:
        async with self._dialing:
            link = self._links.get(node)
            if link is None or not link.is_open:
                site = self._sites[node]
                link = await self._set.dial(site.control, site.listen_port)
                self._links[node] = link
                if self.ring is not None:
                    link.send((CLIENT_EPOCH, self.ring.epoch))
            return link

    def _partition(self, place: Place) -> PartitionId:
        assert self.ring is not None, "learned before"
        table, key = place
        return partition_of(token_of(_table_id(table), key), self.ring.partitions)

    def _item(self, place: Place) -> ItemKey:
        table, key = place
        return item_key(self._partition(place), _table_id(table), key, b"")

    def _hello(self, theirs: Hello | None) -> Hello:
        return Hello("client", "the audit", b"")

    def _received(self, link: Link, messages: list[Message]) -> None:
        for message in messages:
            future = self._waiting.get(message[1])
            if future is not None and not future.done():
                future.set_result(message)

    def _lost(self, link: Link, reason: str | None) -> None:
        """Whoever waits for an answer of that node waits in vain until its time is up."""


def are_alike(held: Mapping[str, Held], owners: int) -> bool:
    """Whether all owners answered, and hold the same."""
    if len(held) < owners:
        return False
    first, *others = held.values()
    return all(
        other.record == first.record or alike(first.decoded(), other.decoded()) for other in others
    )


def knows(one: Held, other: Held) -> bool:
    """Whether one replica knows all that the other knew."""
    return one.record == other.record or supersedes(one.decoded(), other.decoded())


def _opened(link: Link, hello: Hello) -> None:
    """Nothing to do: who dials waits for it."""


def _table_id(table: str) -> TableId:
    return TableId(TABLES[table]["id"])  # type: ignore[arg-type]
