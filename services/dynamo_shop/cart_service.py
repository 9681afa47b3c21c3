"""The methods of `shop.v1.CartService`: parse, read or change the item, render. No rule is here.

request -> change: Cart -> Cart -> the item's next write (joined.py) -> lines
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

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
from dynamo_shop.joined import Joined

Request: TypeAlias = (
    shop_pb2.AddItemRequest | shop_pb2.SetQuantityRequest | shop_pb2.RemoveItemRequest
)


class CartService(shop_pb2_grpc.CartServiceServicer):
    """The servicer."""

    def __init__(self, calls: Calls, table: Table, wall_ms: WallClock) -> None:
        self._calls, self._wall_ms = calls, wall_ms
        self._carts = Joined(table, lambda values: merged(map(from_value, values)), as_value)

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
        wanted = (request.product_id, request.quantity, request.request_id, self._wall_ms())
        act = partial(self._changed, request, lambda cart: added(cart, *wanted))
        return _rendered(request.cart_id, await self._calls.answer(context, act, writes=True))

    async def SetQuantity(
        self,
        request: shop_pb2.SetQuantityRequest,
        context: Context[shop_pb2.SetQuantityRequest, shop_pb2.Cart],
    ) -> shop_pb2.Cart:
        """So many of a product."""
        wanted = (request.product_id, request.quantity, request.request_id, self._wall_ms())
        act = partial(self._changed, request, lambda cart: quantity_set(cart, *wanted))
        return _rendered(request.cart_id, await self._calls.answer(context, act, writes=True))

    async def RemoveItem(
        self,
        request: shop_pb2.RemoveItemRequest,
        context: Context[shop_pb2.RemoveItemRequest, shop_pb2.Cart],
    ) -> shop_pb2.Cart:
        """No more of a product."""
        unwanted = (request.product_id, request.request_id, self._wall_ms())
        act = partial(self._changed, request, lambda cart: line_removed(cart, *unwanted))
        return _rendered(request.cart_id, await self._calls.answer(context, act, writes=True))

    async def _read(self, cart_id: str, timeout_ms: float) -> Cart:
        check_id("cart_id", cart_id)
        return await self._carts.read(cart_id, timeout_ms)

    async def _changed(
        self, request: Request, change: Callable[[Cart], Cart], timeout_ms: float
    ) -> Cart:
        check_id("cart_id", request.cart_id)
        check_id("product_id", request.product_id)
        check_id("request_id", request.request_id)
        return await self._carts.changed(request.cart_id, change, timeout_ms)


def _rendered(cart_id: str, cart: Cart) -> shop_pb2.Cart:
    shown = [shop_pb2.CartLine(product_id=id, quantity=quantity) for id, quantity in lines(cart)]
    return shop_pb2.Cart(cart_id=cart_id, lines=shown)
