"""The rules of a product: what it may say, and how it is stored."""

from typing import Any

import pytest

from dynamo_client import MSGPACK
from dynamo_shop.catalog import (
    BATCH_MAX,
    CATEGORIES_MAX,
    PRODUCT_BYTES_MAX,
    REMOVED,
    Money,
    Product,
    as_value,
    check,
    check_batch,
    found,
    from_value,
)
from dynamo_shop.errors import Full, Refused, Unreadable

MUG = Product("mug-1", "Mug", "For tea.", "mug.jpg", Money("USD", 8, 990_000_000), ("kitchen",))


def test_a_product_passes() -> None:
    check(MUG)
    check(MUG._replace(price=Money("JPY", 0, 0), categories=("c",) * CATEGORIES_MAX))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"product_id": "a b"}, "product_id"),
        ({"product_id": "x" * 65}, "product_id"),
        ({"name": ""}, "name"),
        ({"price": Money("usd", 1, 0)}, "price.currency_code"),
        ({"price": Money("", 1, 0)}, "price.currency_code"),
        ({"price": Money("USD", -1, 0)}, "price.units"),
        ({"price": Money("USD", 10**16, 0)}, "price.units"),
        ({"price": Money("USD", 1, 10**9)}, "price.nanos"),
        ({"price": Money("USD", 1, -1)}, "price.nanos"),
    ],
)
def test_a_wrong_product_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        check(MUG._replace(**changes))
    assert caught.value.field == f"product.{field}"


def test_a_product_has_so_many_bytes() -> None:
    spare = PRODUCT_BYTES_MAX - len(MSGPACK.encode(as_value(MUG)))
    check(MUG._replace(description="x" * spare))
    with pytest.raises(Full, match="at most 65,536"):
        check(MUG._replace(description="x" * PRODUCT_BYTES_MAX))
    with pytest.raises(Full, match="33 categories"):
        check(MUG._replace(categories=("c",) * (CATEGORIES_MAX + 1)))


def test_a_batch_has_so_many_products() -> None:
    check_batch(["p"] * BATCH_MAX)
    with pytest.raises(Full, match="51 products are more than 50"):
        check_batch(["p"] * (BATCH_MAX + 1))
    with pytest.raises(Refused, match="empty"):
        check_batch([])
    with pytest.raises(Refused, match="is no id"):
        check_batch(["p", ""])


def test_a_stored_product_reads_back() -> None:
    assert found([MSGPACK.decode(MSGPACK.encode(as_value(MUG)))]) == MUG


def test_a_removed_product_is_not_found() -> None:
    assert found([]) is None
    assert found([MSGPACK.decode(MSGPACK.encode(REMOVED))]) is None


@pytest.mark.parametrize("value", [None, 5, [], [2], [2, *as_value(MUG)[1:]], ["apples"]])
def test_what_is_no_product_is_told(value: object) -> None:
    with pytest.raises(Unreadable):
        from_value(value)


def test_siblings_are_not_chosen_from() -> None:
    with pytest.raises(Unreadable, match="must be lww"):
        found([as_value(MUG), as_value(MUG)])
