"""The methods of `shop.v1.CartService`: parse, read or update the table, render. No rule is here.

request -> change: Cart -> Cart -> table.update(merged siblings -> changed cart) -> lines
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from dynamo_client import Table
from dynamo_protos import shop_pb2, shop_pb2_grpc
from dynamo_shop.calls import Calls, Context, WallClock
from dynamo_shop.cart import (
    Cart,
    added,
    as_value,
    from_value,
    line_removed,
    lines,
    merged,
    quantity_set,
)
from dynamo_shop.ids import check_id

Change = Callable[[Cart, int], Cart]
"""(the cart as seen, now) -> the cart wanted."""


class CartService(shop_pb2_grpc.CartServiceServicer):
    """The servicer."""

    def __init__(self, calls: Calls, table: Table, wall_ms: WallClock) -> None:
        self._calls, self._table, self._wall_ms = calls, table, wall_ms

    async def GetCart(
        self,
        request: shop_pb2.GetCartRequest,
        context: Context[shop_pb2.GetCartRequest, shop_pb2.Cart],
    ) -> shop_pb2.Cart:
        """All lines of all siblings."""
        act = partial(self._read, request.cart_id)
        return _rendered(request.cart_id, await self._calls.answer(context, act, writes=False))

    async def AddItem(
        self,
        request: shop_pb2.AddItemRequest,
        context: Context[shop_pb2.AddItemRequest, shop_pb2.Cart],
    ) -> shop_pb2.Cart:
        """More of a product."""

        def change(cart: Cart, now_ms: int) -> Cart:
            return added(cart, request.product_id, request.quantity, request.request_id, now_ms)

        act = partial(self._changed, request, change)
        return _rendered(request.cart_id, await self._calls.answer(context, act, writes=True))

    async def SetQuantity(
        self,
        request: shop_pb2.SetQuantityRequest,
        context: Context[shop_pb2.SetQuantityRequest, shop_pb2.Cart],
    ) -> shop_pb2.Cart:
        """So many of a product."""

        def change(cart: Cart, now_ms: int) -> Cart:
            wanted = (request.product_id, request.quantity, request.request_id)
            return quantity_set(cart, *wanted, now_ms)

        act = partial(self._changed, request, change)
        return _rendered(request.cart_id, await self._calls.answer(context, act, writes=True))

    async def RemoveItem(
        self,
        request: shop_pb2.RemoveItemRequest,
        context: Context[shop_pb2.RemoveItemRequest, shop_pb2.Cart],
    ) -> shop_pb2.Cart:
        """No more of a product."""

        def change(cart: Cart, now_ms: int) -> Cart:
            return line_removed(cart, request.product_id, request.request_id, now_ms)

        act = partial(self._changed, request, change)
        return _rendered(request.cart_id, await self._calls.answer(context, act, writes=True))

    async def _read(self, cart_id: str, timeout_ms: float) -> Cart:
        check_id("cart_id", cart_id)
        item = await self._table.get(cart_id, timeout_ms=timeout_ms)
        return merged(map(from_value, item.values))

    async def _changed(
        self,
        request: shop_pb2.AddItemRequest | shop_pb2.SetQuantityRequest | shop_pb2.RemoveItemRequest,
        change: Change,
        timeout_ms: float,
    ) -> Cart:
        check_id("cart_id", request.cart_id)
        check_id("product_id", request.product_id)
        check_id("request_id", request.request_id)
        now_ms = self._wall_ms()

        def one(values: list[Any]) -> dict[str, Any]:
            return as_value(change(merged(map(from_value, values)), now_ms))

        item = await self._table.update(request.cart_id, one, timeout_ms=timeout_ms)
        return from_value(item.value)


def _rendered(cart_id: str, cart: Cart) -> shop_pb2.Cart:
    shown = [shop_pb2.CartLine(product_id=id, quantity=quantity) for id, quantity in lines(cart)]
    return shop_pb2.Cart(cart_id=cart_id, lines=shown)
