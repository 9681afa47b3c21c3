"""The load generator: what `dynamo-bench run` does to a cluster through the client library.

Keys are dealt out to the workers, so that no two write one key at a time, and each put replaces
what the put before it wrote: the context that a put returns goes into the next put of its key.
So a record keeps one value however long the run, as it does in the yardstick.

    worker 0: k0 k3 k6 …      worker 1: k1 k4 k7 …      worker 2: k2 k5 k8 …      (3 workers)
"""

import asyncio
import itertools
import os
from collections.abc import Iterator
from typing import Any, Literal

from dynamo_bench.in_flight import for_each
from dynamo_bench.measure import Figures, Operate, Progress, closed_loop
from dynamo_bench.ports import Table
from dynamo_client import Unavailable

Workload = Literal["put", "get", "mixed"]
Reads = Literal["client", "server"]
"""Who asks the replicas for a get: the client itself, or a coordinating node."""

FILL_IN_FLIGHT = 64
FILL_TRIES_MAX = 100
FILL_PAUSE_S = 0.05


class Load:
    """The keys of one table under load, with the newest context of each.

    Keys are made when they are needed: a list of a million would cost the client cache misses that
    are none of the store's.
    """

    def __init__(self, table: Table, keys: int = 20_000, value_bytes: int = 1024) -> None:
        self._table = table
        self._keys = keys
        self._value = os.urandom(value_bytes)
        self._contexts: dict[bytes, Any] = {}

    def through(self, table: Table) -> "Load":
        """The same keys, values and contexts over another connection."""
        other = Load(table, 0, 0)
        other._keys, other._value, other._contexts = self._keys, self._value, self._contexts
        return other

    async def fill(self, progress: Progress | None = None) -> None:
        """Read every key and write those that lack a value of the wanted size."""

        async def fill_one(numbered: tuple[int, bytes]) -> None:
            number, key = numbered
            await self._fill_key(key)
            if progress:
                progress(number / self._keys)

        await for_each(enumerate(self._all()), fill_one, in_flight=FILL_IN_FLIGHT)

    async def read_all(self, replicas: int) -> None:
        """Read each key once from so many replicas, so that what follows finds warm caches."""
        get = self._table.get
        await for_each(self._all(), lambda key: get(key, r=replicas), in_flight=FILL_IN_FLIGHT)

    async def measure(
        self,
        workload: Workload,
        *,
        concurrency: int,
        seconds: float,
        progress: Progress | None = None,
    ) -> Figures:
        """Run one cell. Call `fill` first."""
        if concurrency > self._keys:
            raise ValueError(f"{concurrency} workers need as many keys, not {self._keys}")
        workers = [self.worker(workload, first, concurrency) for first in range(concurrency)]
        return await closed_loop(workers, seconds, progress)

    def worker(self, workload: Workload, first: int = 0, step: int = 1) -> Operate:
        """What does one operation after the other, on every step-th key from the first."""
        make = {"put": self._putter, "get": self._getter, "mixed": self._mixer}[workload]
        return make(first, step)

    def _all(self) -> Iterator[bytes]:
        return (_key(number) for number in range(self._keys))

    def _turns(self, first: int, step: int) -> Iterator[bytes]:
        """Every step-th key from the first, again and again."""
        while True:
            for number in range(first, self._keys, step):
                yield _key(number)

    def _getter(self, first: int, step: int) -> Operate:
        get, turns = self._table.get, self._turns(first, step)
        return lambda: get(next(turns))

    def _putter(self, first: int, step: int) -> Operate:
        table, value, contexts = self._table, self._value, self._contexts
        turns = self._turns(first, step)

        async def put() -> None:
            key = next(turns)
            context = contexts.pop(key, None)  # stays away if the put fails: its fate is unknown
            if context is None:
                context = (await table.get(key)).context
            contexts[key] = await table.put(key, value, context=context)

        return put

    def _mixer(self, first: int, step: int) -> Operate:
        kinds = itertools.cycle([self._getter(first, step), self._putter(first, step)])
        return lambda: next(kinds)()

    async def _fill_key(self, key: bytes) -> None:
        for tries_left in reversed(range(FILL_TRIES_MAX)):
            try:
                item = await self._table.get(key)
                context = item.context
                if [len(value) for value in item.values] != [len(self._value)]:
                    context = await self._table.put(key, self._value, context=context)
            except Unavailable:
                if not tries_left:
                    raise
                await asyncio.sleep(FILL_PAUSE_S)
            else:
                self._contexts[key] = context
                return


def _key(number: int) -> bytes:
    return b"k%d" % number
