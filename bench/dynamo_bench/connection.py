"""Loads over real connections: the one place where the bench opens the client library."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from dynamo_bench.load import Load, Reads
from dynamo_client import RAW, connect

READS: tuple[Reads, ...] = ("client", "server")


@asynccontextmanager
async def load_over(
    seeds: str, reads: Reads, keys: int, value_bytes: int, *, table: str = "cart"
) -> AsyncIterator[Load]:
    """A load on one connection."""
    async with connect(seeds, reads=reads) as database:
        yield Load(database.table(table, codec=RAW), keys, value_bytes)


@asynccontextmanager
async def loads_over(
    seeds: str, keys: int, value_bytes: int, *, table: str = "cart"
) -> AsyncIterator[dict[Reads, Load]]:
    """One load per way to read, each on a connection of its own, with the same keys."""
    async with AsyncExitStack() as connections:
        loads: dict[Reads, Load] = {}
        for reads in READS:
            database = await connections.enter_async_context(connect(seeds, reads=reads))
            over = database.table(table, codec=RAW)
            first = next(iter(loads.values()), None)
            loads[reads] = first.through(over) if first else Load(over, keys, value_bytes)
        yield loads
