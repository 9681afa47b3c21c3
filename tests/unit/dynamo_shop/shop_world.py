"""The shop's server over tables in memory, and a client."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from dynamo_client import MSGPACK, Item
from dynamo_protos import shop_pb2_grpc
from dynamo_shop.server import ShopServer, start_server
from dynamo_shop.tables import Tables


class FakeTable:
    """Encoded values by key; what was asked stands in `timeouts` and `quorums`; `error` is raised
    once."""

    def __init__(self) -> None:
        self.items: dict[str | bytes, list[bytes]] = {}
        self.timeouts: list[float] = []
        self.quorums: list[int | None] = []
        self.error: Exception | None = None
        self.applies_all_the_same = False
        """Whether a write that fails is applied nevertheless."""
        self.before: Callable[[], Any] | None = None
        """Awaited in every operation."""

    def beside(self, key: str | bytes, value: Any) -> None:
        """A value that a concurrent writer wrote."""
        self.items.setdefault(key, []).append(MSGPACK.encode(value))

    async def get(self, key: str | bytes, *, timeout_ms: float) -> Item:
        await self._begun(timeout_ms)
        self._failed()
        return Item(self._values(key), b"")

    async def put(self, key: str | bytes, value: Any, *, timeout_ms: float) -> bytes:
        await self._begun(timeout_ms)
        self._written(key, [*self.items.get(key, []), MSGPACK.encode(value)])
        return b""

    async def update(
        self,
        key: str | bytes,
        fn: Callable[[list[Any]], Any],
        *,
        r: int | None = None,
        timeout_ms: float,
    ) -> Item:
        await self._begun(timeout_ms)
        self.quorums.append(r)
        value = fn(self._values(key))
        self._written(key, [MSGPACK.encode(value)])
        return Item([value], b"")

    async def _begun(self, timeout_ms: float) -> None:
        self.timeouts.append(timeout_ms)
        if self.before is not None:
            await self.before()

    def _written(self, key: str | bytes, values: list[bytes]) -> None:
        if self.error is None or self.applies_all_the_same:
            self.items[key] = values
        self._failed()

    def _failed(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error

    def _values(self, key: str | bytes) -> list[Any]:
        return [MSGPACK.decode(value) for value in self.items.get(key, [])]


class Shop:
    """A running server, its tables, and stubs for it."""

    def __init__(self, server: ShopServer, tables: Any) -> None:
        self.server = server
        self.cart_table, self.session_table, self.product_table, _ = tables
        options = [("grpc.max_send_message_length", -1)]
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options)
        self.carts: Any = shop_pb2_grpc.CartServiceStub(self.channel)
        self.sessions: Any = shop_pb2_grpc.SessionServiceStub(self.channel)
        self.catalog: Any = shop_pb2_grpc.CatalogServiceStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)


@asynccontextmanager
async def running_shop(calls_max: int = 512) -> AsyncIterator[Shop]:
    """A shop over empty tables."""
    tables: Any = Tables(FakeTable(), FakeTable(), FakeTable(), 2)  # type: ignore[arg-type]
    server = await start_server(tables, "127.0.0.1", 0, calls_max=calls_max)
    await server.set_serving(True)
    shop = Shop(server, tables)
    try:
        yield shop
    finally:
        await shop.channel.close()
        await server.stop(0)
