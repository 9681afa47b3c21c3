"""The three services over gRPC: what they pass to the store, and what a caller is told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from shop_world import Shop, running_shop

from dynamo.errors import Code, Failure
from dynamo_client import OutcomeUnknown, QuorumNotReached
from dynamo_protos import shop_pb2
from dynamo_shop import cart as carts
from dynamo_shop.errors import CannotServe
from dynamo_shop.server import MESSAGE_BYTES_MAX, SERVICES, start_server
from dynamo_shop.session import store_key
from dynamo_shop.tables import Tables

ADD = shop_pb2.AddItemRequest(cart_id="alice", product_id="mug", quantity=2, request_id="r1")
MUG = shop_pb2.Product(
    product_id="mug", name="Mug", price=shop_pb2.Money(currency_code="USD", units=8, nanos=5)
)


@pytest_asyncio.fixture
async def shop() -> AsyncIterator[Shop]:
    async with running_shop() as shop:
        yield shop


async def refusal_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


def lines_of(cart: shop_pb2.Cart) -> list[tuple[str, int]]:
    return [(line.product_id, line.quantity) for line in cart.lines]


async def test_a_cart_is_filled_changed_and_read(shop: Shop) -> None:
    who = {"cart_id": "alice", "product_id": "mug"}
    assert lines_of(await shop.carts.GetCart(shop_pb2.GetCartRequest(cart_id="alice"))) == []
    assert lines_of(await shop.carts.AddItem(ADD)) == [("mug", 2)]
    assert lines_of(await shop.carts.AddItem(ADD)) == [("mug", 2)]
    request = shop_pb2.SetQuantityRequest(quantity=7, request_id="r2", **who)  # type: ignore[arg-type]
    assert lines_of(await shop.carts.SetQuantity(request)) == [("mug", 7)]
    cart = await shop.carts.GetCart(shop_pb2.GetCartRequest(cart_id="alice"))
    assert (cart.cart_id, lines_of(cart)) == ("alice", [("mug", 7)])
    remove = shop_pb2.RemoveItemRequest(**who, request_id="r3")
    assert lines_of(await shop.carts.RemoveItem(remove)) == []


async def test_siblings_are_merged_by_reads_and_changes(shop: Shop) -> None:
    await shop.carts.AddItem(ADD)
    other = carts.added(carts.EMPTY, "mug", 3, "r9", 1)
    shop.cart_table.beside("alice", carts.as_value(other))
    cart = await shop.carts.GetCart(shop_pb2.GetCartRequest(cart_id="alice"))
    assert lines_of(cart) == [("mug", 5)]
    one = shop_pb2.AddItemRequest(cart_id="alice", product_id="mug", quantity=1, request_id="r2")
    assert lines_of(await shop.carts.AddItem(one)) == [("mug", 6)]
    assert len(shop.cart_table.items["alice"]) == 1


async def test_a_write_of_unknown_fate_is_repeated_without_doubling(shop: Shop) -> None:
    shop.cart_table.error = OutcomeUnknown(Failure(Code.DEADLINE_EXCEEDED), "op")
    shop.cart_table.applies_all_the_same = True
    code, said = await refusal_of(shop.carts.AddItem(ADD))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "unknown; repeat the call" in said
    assert lines_of(await shop.carts.AddItem(ADD)) == [("mug", 2)]


async def test_the_deadline_of_a_call_is_the_stores(shop: Shop) -> None:
    await shop.carts.AddItem(ADD)
    await shop.carts.AddItem(ADD, timeout=30)
    first, second = shop.cart_table.timeouts
    assert 900 < first <= 1000
    assert 25_000 < second < 30_000


async def test_a_store_without_a_quorum_is_unavailable(shop: Shop) -> None:
    failure = Failure(Code.QUORUM_NOT_REACHED, needed=2, got=1, asked=3)
    shop.product_table.error = QuorumNotReached(failure)
    request = shop_pb2.GetProductRequest(product_id="mug")
    code, said = await refusal_of(shop.catalog.GetProduct(request))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "needed 2, got 1 of 3" in said


@pytest.mark.parametrize("field", ["cart_id", "product_id", "request_id", "quantity"])
async def test_a_change_says_all_it_must(shop: Shop, field: str) -> None:
    request = shop_pb2.AddItemRequest()
    request.CopyFrom(ADD)
    request.ClearField(field)  # type: ignore[arg-type]
    code, said = await refusal_of(shop.carts.AddItem(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in said
    assert not shop.cart_table.items


@pytest.mark.parametrize("data", [b"\xff\xff garbage", b"\x0a\x02\xff\xfe"])
async def test_what_is_no_request_is_refused_like_a_wrong_one(shop: Shop, data: bytes) -> None:
    for name in ("CartService/AddItem", "SessionService/Revoke", "CatalogService/PutProduct"):
        method: Any = shop.channel.unary_unary(f"/shop.v1.{name}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(data)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "cannot be parsed" in (caught.value.details() or "")
        assert "grpc-status-details-bin" in dict(caught.value.trailing_metadata() or ())


async def test_a_session_is_made_touched_and_revoked(shop: Shop) -> None:
    made = await shop.sessions.Create(shop_pb2.CreateSessionRequest(user_id="u1", ttl_ms=60_000))
    assert (made.user_id, made.state) == ("u1", shop_pb2.SESSION_STATE_ACTIVE)
    assert made.expires_ms == made.created_ms + 60_000
    assert list(shop.session_table.items) == [store_key(made.session_id)]
    id = made.session_id
    touched = await shop.sessions.Touch(shop_pb2.TouchSessionRequest(session_id=id))
    assert touched.expires_ms >= made.expires_ms
    revoked = await shop.sessions.Revoke(shop_pb2.RevokeSessionRequest(session_id=id))
    assert revoked.state == shop_pb2.SESSION_STATE_REVOKED
    again = await shop.sessions.Get(shop_pb2.GetSessionRequest(session_id=id))
    assert again == revoked
    code, said = await refusal_of(shop.sessions.Touch(shop_pb2.TouchSessionRequest(session_id=id)))
    assert (code, said) == (grpc.StatusCode.FAILED_PRECONDITION, "the session is revoked")


async def test_sessions_have_ids_of_their_own_and_others_are_not_there(shop: Shop) -> None:
    request = shop_pb2.CreateSessionRequest(user_id="u1")
    made = [await shop.sessions.Create(request) for _ in range(3)]
    assert len({each.session_id for each in made}) == 3
    unknown = shop_pb2.GetSessionRequest(session_id="0" * 32)
    assert (await refusal_of(shop.sessions.Get(unknown)))[0] is grpc.StatusCode.NOT_FOUND
    wrong = shop_pb2.GetSessionRequest(session_id="my secret")
    code, said = await refusal_of(shop.sessions.Get(wrong))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "secret" not in said


async def test_products_are_written_read_and_removed(shop: Shop) -> None:
    assert await shop.catalog.PutProduct(shop_pb2.PutProductRequest(product=MUG)) == MUG
    assert await shop.catalog.GetProduct(shop_pb2.GetProductRequest(product_id="mug")) == MUG
    batch = shop_pb2.BatchGetProductsRequest(product_ids=["pot", "mug", "mug"])
    several = await shop.catalog.BatchGetProducts(batch)
    assert (list(several.products), list(several.missing)) == ([MUG], ["pot"])
    await shop.catalog.DeleteProduct(shop_pb2.DeleteProductRequest(product_id="mug"))
    assert shop.product_table.quorums == [2, 2], (
        "N-W+1: writes come after all that was acknowledged"
    )
    request = shop_pb2.GetProductRequest(product_id="mug")
    code, said = await refusal_of(shop.catalog.GetProduct(request))
    assert (code, said) == (grpc.StatusCode.NOT_FOUND, "there is no product 'mug'")


async def test_a_wrong_product_or_batch_is_refused(shop: Shop) -> None:
    nothing = shop_pb2.PutProductRequest()
    code, _ = await refusal_of(shop.catalog.PutProduct(nothing))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    batch = shop_pb2.BatchGetProductsRequest(product_ids=["p"] * 3 + [f"p{i}" for i in range(50)])
    code, _ = await refusal_of(shop.catalog.BatchGetProducts(batch))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_call_above_the_bound_is_refused() -> None:
    go, entered = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        entered.set()
        await go.wait()

    async with running_shop(calls_max=1) as shop:
        shop.cart_table.before = held
        first = asyncio.ensure_future(shop.carts.AddItem(ADD, timeout=30))
        await entered.wait()
        code, said = await refusal_of(shop.carts.AddItem(ADD))
        assert (code, said) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "1 calls are underway; try again later",
        )
        go.set()
        assert lines_of(await first) == [("mug", 2)]


async def test_a_message_has_so_many_bytes(shop: Shop) -> None:
    product = shop_pb2.Product(product_id="mug", name="x" * (MESSAGE_BYTES_MAX + 1))
    code, _ = await refusal_of(shop.catalog.PutProduct(shop_pb2.PutProductRequest(product=product)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stop_waits_for_calls_and_refuses_others(shop: Shop) -> None:
    go, entered = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        entered.set()
        await go.wait()

    shop.cart_table.before = held
    first = asyncio.ensure_future(shop.carts.AddItem(ADD, timeout=30))
    await entered.wait()
    stopping = asyncio.ensure_future(shop.server.stop(30))
    while (await shop.health.Check(health_pb2.HealthCheckRequest())).status == 1:
        await asyncio.sleep(0)
    code, _ = await refusal_of(shop.carts.AddItem(ADD))
    assert code is grpc.StatusCode.UNAVAILABLE
    go.set()
    assert lines_of(await first) == [("mug", 2)]
    await stopping


async def test_health_and_reflection_know_the_services(shop: Shop) -> None:
    for name in ("", *SERVICES):
        answer = await shop.health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    await shop.server.set_serving(False)
    answer = await shop.health.Check(health_pb2.HealthCheckRequest(service=SERVICES[0]))
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(shop.channel)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    async for listed in stub.ServerReflectionInfo(iter([ask])):
        names = {service.name for service in listed.list_services_response.service}
        assert set(SERVICES) <= names
        assert len(SERVICES) == 3
        break


async def test_a_taken_port_is_told(shop: Shop) -> None:
    tables: Any = (shop.cart_table, shop.session_table, shop.product_table, 2)
    with pytest.raises(CannotServe, match="cannot be used"):
        await start_server(Tables(*tables), "127.0.0.1", shop.server.port)
