"""A door with a whole kernel behind it, but no daemon: one node, in memory, no threads."""

import asyncio
import time
from itertools import count
from typing import cast

from dynamo.config import ClusterConfig, TableConfig
from dynamo.coordination.identity import Identity
from dynamo.kernel import Kernel
from dynamo.messages import Event, Persisted, Received, Send
from dynamo.meters import Meters
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import Instant
from dynamo_node.door import Answer, Request


class KernelDoor:
    """`Door` of a cluster of one; every group of writes counts as durable at once."""

    def __init__(self, config: ClusterConfig) -> None:
        (node,) = config.nodes
        members = (Member(node.name, node.host, node.zone, float(node.weight)),)
        ring = plan(members, config.partitions, 1).ring
        identity = Identity(node.name, "1", 1, 1, ring.partitions)
        self._config, self._engine = config, MemoryEngine()
        self._engine.open()
        self._kernel = Kernel(config, ring, identity, self._engine, Meters())
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[Answer]] = {}

    async def call(self, message: Request, deadline_ms: int) -> Answer:
        id = next(self._ids)
        answer = asyncio.get_running_loop().create_future()
        self._answers[id] = answer
        try:
            self._feed(Received(0, (tuple(message._replace(id=id)),)))
            while (group := self._engine.take_group()) is not None:
                group.run()
                self._feed(Persisted(self._engine.synced(group)))
            return cast(Answer, await answer)
        finally:
            del self._answers[id]

    def table_by_name(self, name: str) -> TableConfig | None:
        return self._config.table(name)

    def _feed(self, event: Event) -> None:
        now = Instant(time.monotonic() * 1000, time.time_ns() // 1_000_000)
        for effect in self._kernel.handle(event, now):
            assert isinstance(effect, Send), f"a cluster of one has no use for {effect}"
            answer = cast(Answer, effect.message)
            self._answers[answer.id].set_result(answer)
