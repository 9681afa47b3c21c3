"""The shop on a real cluster, with two processes of its services, nodes killed and frozen.

Whatever fails is repeated with the same request id, perhaps at the other process.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cluster_process import DEADLINE_S, ClusterProcess, Program, pause, until
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dynamo_protos import shop_pb2, shop_pb2_grpc

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHOP_COMMAND = (sys.executable, "-P", "-m", "dynamo_shop")
CLIENTS, ADDITIONS, PRODUCTS = 50, 8, 4
ATTEMPTS = 200
WORTH_REPEATING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class ShopProcess:
    """`dynamo-shop serve` as a process of its own, and stubs for it."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.carts: Any = shop_pb2_grpc.CartServiceStub(self.channel)
        self.sessions: Any = shop_pb2_grpc.SessionServiceStub(self.channel)
        self.catalog: Any = shop_pb2_grpc.CatalogServiceStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)


@asynccontextmanager
async def shop_process(cluster: ClusterProcess, ready: Path) -> AsyncIterator[ShopProcess]:
    program = Program(
        *(*SHOP_COMMAND, "serve", "--seeds", cluster.seeds, "--port", "0"),
        *("--ready-file", str(ready)),
    )
    try:
        await until(lambda: port_of(ready) or program.status is not None, "the shop serves")
        assert program.status is None, program.told()
        shop = ShopProcess(program, port_of(ready))
        yield shop
        await shop.channel.close()
    finally:
        program.signal(signal.SIGTERM)
        status = await program.ended()
    assert status == 0, program.told()
    assert not port_of(ready), "the file is gone with the process"


@asynccontextmanager
async def two_shops(
    tmp_path: Path, nodes: int = 3
) -> AsyncIterator[tuple[ClusterProcess, list[ShopProcess]]]:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(ClusterProcess(tmp_path / "data", nodes))
        shops = [
            await stack.enter_async_context(shop_process(cluster, tmp_path / f"ready{i}"))
            for i in range(2)
        ]
        yield cluster, shops


def port_of(ready: Path) -> int:
    """What the ready file says; 0 while there is none."""
    return int(json.loads(ready.read_text())["port"]) if ready.exists() else 0


async def patiently(method: Any, request: Any) -> Any:
    """The answer of a call that is repeated while the store is in the way."""
    for _ in range(ATTEMPTS):
        try:
            return await method(request, timeout=2)
        except grpc.aio.AioRpcError as error:
            if error.code() not in WORTH_REPEATING:
                raise
            await pause()
    raise AssertionError(f"no answer in {ATTEMPTS} attempts")


async def until_health(shop: ShopProcess, status: int) -> None:
    """Wait until the health service says so; it looks at the store once a second."""
    async with asyncio.timeout(DEADLINE_S):
        while (await shop.health.Check(health_pb2.HealthCheckRequest())).status != status:
            await pause()


def addition(product_id: str, request_id: str) -> shop_pb2.AddItemRequest:
    return shop_pb2.AddItemRequest(
        cart_id="alice", product_id=product_id, quantity=1, request_id=request_id
    )


async def test_nothing_added_is_lost_or_doubled_when_a_node_dies(tmp_path: Path) -> None:
    async with two_shops(tmp_path, nodes=5) as (cluster, shops):
        killed: list[int] = []
        made = 0

        async def add_many(client: int) -> None:
            nonlocal made
            for i in range(ADDITIONS):
                request = addition(f"p{i % PRODUCTS}", f"{client}-{i}")
                await patiently(shops[client % 2].carts.AddItem, request)
                if i % 3 == 0:  # a caller that had no answer repeats, perhaps elsewhere
                    await patiently(shops[1 - client % 2].carts.AddItem, request)
                made += 1
                if made == CLIENTS * ADDITIONS // 3:
                    killed.extend(cluster.kill("n2"))

        await asyncio.gather(*(add_many(client) for client in range(CLIENTS)))
        assert killed
        whole = [(f"p{i}", CLIENTS * ADDITIONS // PRODUCTS) for i in range(PRODUCTS)]
        for shop in shops:
            cart = await patiently(shop.carts.GetCart, shop_pb2.GetCartRequest(cart_id="alice"))
            assert [(line.product_id, line.quantity) for line in cart.lines] == whole
        await cluster.until_serving(not_by=killed)


async def test_a_store_that_stands_still_is_told_in_time(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (cluster, (shop, other)):
        await patiently(shop.carts.AddItem, addition("mug", "r1"))
        await cluster.freeze("n2", "n3")
        for method, request in (
            (shop.carts.AddItem, addition("mug", "r2")),
            (shop.carts.GetCart, shop_pb2.GetCartRequest(cart_id="alice")),
            (other.sessions.Create, shop_pb2.CreateSessionRequest(user_id="alice")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(request, timeout=1)
            assert caught.value.code() in WORTH_REPEATING
            assert "grpc-status-details-bin" in dict(caught.value.trailing_metadata() or ())
        await until_health(shop, health_pb2.HealthCheckResponse.NOT_SERVING)
        cluster.thaw("n2", "n3")
        cart = await patiently(other.carts.AddItem, addition("mug", "r2"))
        assert [(line.product_id, line.quantity) for line in cart.lines] == [("mug", 2)]
        await until_health(shop, health_pb2.HealthCheckResponse.SERVING)


async def test_sessions_stay_revoked_and_the_last_product_wins(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (cluster, (one, other)):
        request = shop_pb2.CreateSessionRequest(user_id="alice")
        made = await patiently(one.sessions.Create, request)
        id = made.session_id
        touch, revoke = shop_pb2.TouchSessionRequest, shop_pb2.RevokeSessionRequest
        outcomes = await asyncio.gather(
            *(shop.sessions.Touch(touch(session_id=id), timeout=5) for shop in [one, other] * 5),
            other.sessions.Revoke(revoke(session_id=id), timeout=5),
            *(shop.sessions.Touch(touch(session_id=id), timeout=5) for shop in [one, other] * 5),
            return_exceptions=True,
        )
        assert outcomes[10].state == shop_pb2.SESSION_STATE_REVOKED  # type: ignore[union-attr]
        killed = cluster.kill("n1")
        for shop in (one, other):
            seen = await patiently(shop.sessions.Get, shop_pb2.GetSessionRequest(session_id=id))
            assert seen.state == shop_pb2.SESSION_STATE_REVOKED
        await cluster.until_serving(not_by=killed)

        for number, shop in enumerate([one, other, one, other]):
            price = shop_pb2.Money(currency_code="EUR", units=number)
            product = shop_pb2.Product(product_id="mug", name="Mug", price=price)
            await patiently(shop.catalog.PutProduct, shop_pb2.PutProductRequest(product=product))
        get = shop_pb2.GetProductRequest(product_id="mug")
        for shop in (one, other):  # R=1: a replica may be a moment behind
            for _ in range(ATTEMPTS):
                product = await patiently(shop.catalog.GetProduct, get)
                if product.price.units == 3:
                    break
            assert product.price.units == 3

        answer = await one.health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for shop in (one, other):
        assert id not in shop.program.told()
