"""`dynamo-shop serve`: all services in one process, until SIGTERM or Ctrl-C, then drain.

While the store has no quorum for a read, health says NOT_SERVING: a load balancer may then prefer
another process, and calls that come all the same are told why.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog

from dynamo_client import DynamoError, Table, connect
from dynamo_shop.server import ShopServer, start_server
from dynamo_shop.tables import open_tables

GRACE_S = 10.0
"""What calls underway get at the end. Raising it: a stop may take longer."""
PROBE_INTERVAL_S, PROBE_TIMEOUT_MS = 1.0, 1000
PROBE_KEY = "health probe"
"""Nobody's cart: an id has no spaces."""


class ServeOptions(NamedTuple):
    """What the command line said."""

    seeds: str
    host: str
    port: int
    ready_file: Path | None


async def serve(options: ServeOptions) -> None:
    """Serve until a signal. Raises CannotServe, DynamoError."""
    log, stop = structlog.get_logger(), _stop_signal()
    async with connect(options.seeds) as database:
        tables = await open_tables(database)
        server = await start_server(tables, options.host, options.port)
        try:
            async with _watched(server, tables.cart):
                with _ready_file(options, server.port):
                    log.info("serving", host=options.host, port=server.port)
                    await stop
            log.info("stopping")
        finally:
            await server.stop(GRACE_S)


@asynccontextmanager
async def _watched(server: ShopServer, table: Table) -> AsyncIterator[None]:
    """Health follows the store, from the first look on."""
    serving = await _answers(table)
    await server.set_serving(serving)
    watch = asyncio.get_running_loop().create_task(_watch(server, table, serving))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.wait([watch])


async def _watch(server: ShopServer, table: Table, serving: bool) -> None:
    while True:
        await asyncio.sleep(PROBE_INTERVAL_S)
        answers = await _answers(table)
        if answers is not serving:
            structlog.get_logger().warning("the store", answers=answers)
            await server.set_serving(answers)
        serving = answers


async def _answers(table: Table) -> bool:
    """Whether the store has a quorum for a read."""
    try:
        await table.get(PROBE_KEY, timeout_ms=PROBE_TIMEOUT_MS)
    except DynamoError:
        return False
    return True


@contextmanager
def _ready_file(options: ServeOptions, port: int) -> Iterator[None]:
    """A file that is there, complete, while calls are answered."""
    file = options.ready_file
    if file is None:
        yield
        return
    facts = {"pid": os.getpid(), "host": options.host, "port": port}
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(facts), encoding="utf-8")
    fresh.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _stop_signal() -> "asyncio.Future[None]":
    """Done at the first SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def stopped() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    return stop
