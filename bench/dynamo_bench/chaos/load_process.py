"""One client process: told on standard input what to do, a line of JSON each; answers likewise.

    {"do": "fill"}                                       write every key of this process's share
    {"do": "stock"}                                      write its share of the items nobody touches
    {"do": "maximum", "seconds": 3, "in_flight": 32}     a closed loop: how fast can it go?
    {"do": "play", "rate": 300, "begin": T, "seconds": 60}   the open loop, from then on
    {"do": "settle"}                                     what became of the unknown?
    {"do": "inspect"}                                    are those items there as they were written?
    {"do": "save", "file": F}                            write the journal down

Started as `python -m dynamo_bench.chaos.load_process SPEC`; it ends with its standard input.
"""

import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, cast

import uvloop

from dynamo_bench.chaos.arrivals import arrivals, open_loop
from dynamo_bench.chaos.items import Items
from dynamo_bench.chaos.journal import Journal
from dynamo_bench.chaos.player import Player, Table
from dynamo_bench.in_flight import for_each
from dynamo_bench.measure import closed_loop
from dynamo_client import RAW, Database, connect

TIMEOUT_MS = 5000
"""The deadline within which the client library tries again what failed."""
FILL_IN_FLIGHT = 32
ASK_S = 1.0
"""Between two rounds of questions. A record remembers 64 operations, and for a while only."""
TRIES_MAX = 3
"""Of a question at the end."""


class Puppet:
    """What one process does when told."""

    def __init__(self, database: Database, spec: dict[str, Any]) -> None:
        self._database, self._spec = database, spec
        self._process: int = spec["process"]
        self._journal = Journal(self._process, time.monotonic)
        self._rng = Random(f"{spec['seed']} {self._process}")
        tables = {name: cast(Table, database.table(name, codec=RAW)) for name in spec["tables"]}
        self._player = Player(
            f"c{self._process}", tables, self._journal, self._rng, spec["keys"], spec["value_bytes"]
        )
        owners = {
            name: cast(Table, database.table(name, codec=RAW, strict=True))
            for name in spec["tables"]
        }
        share = range(self._process - 1, spec["items"], spec["processes"])
        self._items = Items(owners, share, spec["value_bytes"])

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what a line says; the answer."""
        does = getattr(self, f"_{order.pop('do')}")
        answer: dict[str, Any] = await does(**order)
        return answer

    async def _fill(self) -> dict[str, Any]:
        """Each process writes its share, so that no key is written twice."""
        share = self._player.keys[self._process - 1 :: self._spec["processes"]]

        async def one(place: tuple[str, bytes]) -> None:
            while not await self._player.do("blind", *place, self._journal.now()):
                await asyncio.sleep(0.05)

        places = [(table, key) for key in share for table in self._spec["tables"]]
        await for_each(places, one, in_flight=FILL_IN_FLIGHT)
        self._journal.operations.clear()
        return {"filled": len(places)}

    async def _stock(self) -> dict[str, Any]:
        return {"written": await self._items.write()}

    async def _inspect(self) -> dict[str, Any]:
        return (await self._items.read())._asdict()

    async def _maximum(self, seconds: float, in_flight: int) -> dict[str, Any]:
        async def operate() -> None:
            await self._player.operate(self._journal.now())

        figures = await closed_loop([operate] * in_flight, seconds)
        self._journal.operations.clear()
        return {"ops_per_s": figures.ops_per_s}

    async def _play(self, rate: float, begin: float, seconds: float) -> dict[str, Any]:
        intended = arrivals(self._rng, rate, seconds)
        asking = asyncio.create_task(self._keep_asking())
        await open_loop(self._player.operate, intended, begin, time.monotonic)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        return {"operations": len(self._journal.operations)}

    async def _keep_asking(self) -> None:
        """What became of the unknown, while the store still remembers it."""
        while True:
            await asyncio.sleep(ASK_S)
            await self._player.settle(self._database.outcome)

    async def _settle(self) -> dict[str, Any]:
        unknown = 0
        for _ in range(TRIES_MAX):
            unknown = await self._player.settle(self._database.outcome)
            if not unknown:
                break
        return {"unknown": unknown}

    async def _save(self, file: str) -> dict[str, Any]:
        self._journal.save(Path(file))
        return {"steps": len(self._journal.steps)}


async def serve(spec: dict[str, Any]) -> None:
    """Obey until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with connect(
        *spec["seeds"], reads=spec["reads"], timeout_ms=TIMEOUT_MS, connect_timeout_ms=10_000
    ) as database:
        puppet = Puppet(database, spec)
        _say({"ready": True})
        while line := await reader.readline():
            _say(await puppet.obey(json.loads(line)))


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(json.loads(sys.argv[1])))
