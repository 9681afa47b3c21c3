"""A product: what it may say, and how it is stored. The last one to write it wins.

The merge is the store's own (`conflict_rule: lww`, decision 005): a product is written whole, by
few and seldom, and half of one version beside half of another would be a product that nobody
wrote. A removal is a write as well, of a value that says so.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from dynamo_client import MSGPACK
from dynamo_shop.errors import Full, Refused, Unreadable
from dynamo_shop.ids import check_id

PRODUCT_BYTES_MAX = 64 * 1024
"""As stored. Raising it: with BATCH_MAX it must stay below the 4 MiB that gRPC clients take."""
CATEGORIES_MAX = 32
BATCH_MAX = 50
"""Products read at once, each a read of its own in the store."""
NANOS_MAX = 999_999_999
UNITS_MAX = 10**15

_FORMAT = 1
_CURRENCY = re.compile(r"[A-Z]{3}")


class Money(NamedTuple):
    """An amount: never a float."""

    currency_code: str
    units: int
    nanos: int


class Product(NamedTuple):
    """One version of a product, whole."""

    product_id: str
    name: str
    description: str
    picture: str
    price: Money
    categories: tuple[str, ...]


REMOVED = [_FORMAT]
"""What is stored in place of a product that was removed."""


def check(product: Product) -> None:
    """Raise Refused or Full if this cannot be a product."""
    check_id("product.product_id", product.product_id)
    if not product.name:
        raise Refused("product.name", "a product has a name")
    price = product.price
    if not _CURRENCY.fullmatch(price.currency_code):
        raise Refused(
            "product.price.currency_code",
            f"{price.currency_code[:16]!r} is no currency code: three capital letters",
        )
    if not 0 <= price.units <= UNITS_MAX:
        raise Refused(
            "product.price.units",
            f"units {price.units} of the price are not within 0 to {UNITS_MAX:,}",
        )
    if not 0 <= price.nanos <= NANOS_MAX:
        raise Refused(
            "product.price.nanos",
            f"nanos {price.nanos} of the price are not within 0 to {NANOS_MAX:,}",
        )
    if len(product.categories) > CATEGORIES_MAX:
        raise Full(f"{len(product.categories)} categories are more than {CATEGORIES_MAX}")
    size = len(MSGPACK.encode(as_value(product)))
    if size > PRODUCT_BYTES_MAX:
        raise Full(f"the product has {size:,} bytes, at most {PRODUCT_BYTES_MAX:,}")


def check_batch(product_ids: Sequence[str]) -> None:
    """Raise Refused or Full unless these may be read at once."""
    if not product_ids:
        raise Refused("product_ids", "product_ids is empty")
    if len(product_ids) > BATCH_MAX:
        raise Full(f"{len(product_ids)} products are more than {BATCH_MAX} at once")
    for product_id in product_ids:
        check_id("product_id", product_id)


def found(values: Sequence[Any]) -> Product | None:
    """The product that a read found, if there is one. Raises Unreadable."""
    if len(values) > 1:
        raise Unreadable(f"the catalog's table keeps {len(values)} siblings; its rule must be lww")
    return from_value(values[0]) if values else None


def as_value(product: Product) -> list[Any]:
    """What is stored; `from_value` is its inverse."""
    return [_FORMAT, *product[:4], list(product.price), list(product.categories)]


def from_value(value: Any) -> Product | None:
    """The product of a stored value; None if it was removed. Raises Unreadable."""
    if value == REMOVED:
        return None
    try:
        format, product_id, name, description, picture, price, categories = value
        currency_code, units, nanos = price
        money = Money(str(currency_code), int(units), int(nanos))
        texts = tuple(str(category) for category in categories)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"the table holds what is no product: {error}") from error
    if format != _FORMAT:
        raise Unreadable(f"a product of format {format!r}; this service reads {_FORMAT}")
    return Product(str(product_id), str(name), str(description), str(picture), money, texts)
