"""The methods of `shop.v1.CatalogService`: parse, read or write the table, render. No rule is here.

A write reads first, from so many replicas that the last write is among the answers: then it is the
later one by the context it carries, whatever the clocks of two services say.
"""

import asyncio
from functools import partial
from typing import Any

from dynamo_client import Table
from dynamo_protos import shop_pb2, shop_pb2_grpc
from dynamo_shop.calls import Calls, Context
from dynamo_shop.catalog import REMOVED, Money, Product, as_value, check, check_batch, found
from dynamo_shop.errors import NotThere
from dynamo_shop.ids import check_id


class CatalogService(shop_pb2_grpc.CatalogServiceServicer):
    """The servicer."""

    def __init__(self, calls: Calls, table: Table, r: int) -> None:
        self._calls, self._table, self._r = calls, table, r

    async def GetProduct(
        self,
        request: shop_pb2.GetProductRequest,
        context: Context[shop_pb2.GetProductRequest, shop_pb2.Product],
    ) -> shop_pb2.Product:
        """One product."""
        act = partial(self._existing, request.product_id)
        return _rendered(await self._calls.answer(context, act, writes=False))

    async def BatchGetProducts(
        self,
        request: shop_pb2.BatchGetProductsRequest,
        context: Context[shop_pb2.BatchGetProductsRequest, shop_pb2.BatchGetProductsResponse],
    ) -> shop_pb2.BatchGetProductsResponse:
        """Several at once."""
        wanted = list(dict.fromkeys(request.product_ids))
        products = await self._calls.answer(context, partial(self._several, wanted), writes=False)
        return shop_pb2.BatchGetProductsResponse(
            products=[_rendered(product) for product in products if product is not None],
            missing=[id for id, product in zip(wanted, products, strict=True) if product is None],
        )

    async def PutProduct(
        self,
        request: shop_pb2.PutProductRequest,
        context: Context[shop_pb2.PutProductRequest, shop_pb2.Product],
    ) -> shop_pb2.Product:
        """A whole product."""
        act = partial(self._put, _parsed(request.product))
        return _rendered(await self._calls.answer(context, act, writes=True))

    async def DeleteProduct(
        self,
        request: shop_pb2.DeleteProductRequest,
        context: Context[shop_pb2.DeleteProductRequest, shop_pb2.DeleteProductResponse],
    ) -> shop_pb2.DeleteProductResponse:
        """No product any more."""
        act = partial(self._remove, request.product_id)
        await self._calls.answer(context, act, writes=True)
        return shop_pb2.DeleteProductResponse()

    async def _existing(self, product_id: str, timeout_ms: float) -> Product:
        check_id("product_id", product_id)
        product = await self._read(product_id, timeout_ms)
        if product is None:
            raise NotThere(f"there is no product {product_id!r}")
        return product

    async def _several(self, product_ids: list[str], timeout_ms: float) -> list[Product | None]:
        check_batch(product_ids)
        return await asyncio.gather(*(self._read(id, timeout_ms) for id in product_ids))

    async def _read(self, product_id: str, timeout_ms: float) -> Product | None:
        return found((await self._table.get(product_id, timeout_ms=timeout_ms)).values)

    async def _put(self, product: Product, timeout_ms: float) -> Product:
        check(product)
        await self._write(product.product_id, as_value(product), timeout_ms)
        return product

    async def _remove(self, product_id: str, timeout_ms: float) -> None:
        check_id("product_id", product_id)
        await self._write(product_id, REMOVED, timeout_ms)

    async def _write(self, product_id: str, value: list[Any], timeout_ms: float) -> None:
        await self._table.update(product_id, lambda _: value, r=self._r, timeout_ms=timeout_ms)


def _parsed(said: shop_pb2.Product) -> Product:
    price = Money(said.price.currency_code, said.price.units, said.price.nanos)
    texts = (said.product_id, said.name, said.description, said.picture)
    return Product(*texts, price, tuple(said.categories))


def _rendered(product: Product) -> shop_pb2.Product:
    return shop_pb2.Product(
        product_id=product.product_id,
        name=product.name,
        description=product.description,
        picture=product.picture,
        price=shop_pb2.Money(**product.price._asdict()),
        categories=product.categories,
    )
