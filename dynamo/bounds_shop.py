"""The bounds of the shop; `dynamo.bounds` has the others, and says what this is for."""

from dynamo.bound import Bound

_CART_TEST = "unit/dynamo_shop/test_shop_cart.py"
_CATALOG_TEST = "unit/dynamo_shop/test_shop_catalog.py"
_JOINED_TEST = "unit/dynamo_shop/test_shop_joined.py"
_SERVER_TEST = "unit/dynamo_shop/test_shop_server.py"

SHOP: tuple[Bound, ...] = (
    Bound(
        "products in a cart",
        ("dynamo_shop.cart:LINES_MAX",),
        "another product is refused: RESOURCE_EXHAUSTED; merging never refuses",
        "",
        f"{_CART_TEST}::test_a_cart_has_so_many_lines",
    ),
    Bound(
        "additions of a cart that nothing has replaced",
        ("dynamo_shop.cart:MARKS_MAX",),
        "another is refused: RESOURCE_EXHAUSTED; setting a line's quantity joins its additions",
        "",
        f"{_CART_TEST}::test_a_cart_has_so_many_additions",
    ),
    Bound(
        "request ids that a cart remembers, 24 hours each",
        ("dynamo_shop.cart:REMEMBERED_MAX",),
        "another change is refused: RESOURCE_EXHAUSTED; older ones are forgotten at every change",
        "",
        f"{_CART_TEST}::test_a_cart_remembers_so_many_changes",
    ),
    Bound(
        "a product",
        ("dynamo_shop.catalog:PRODUCT_BYTES_MAX", "dynamo_shop.catalog:CATEGORIES_MAX"),
        "it is refused: RESOURCE_EXHAUSTED",
        "",
        f"{_CATALOG_TEST}::test_a_product_has_so_many_bytes",
    ),
    Bound(
        "products read at once",
        ("dynamo_shop.catalog:BATCH_MAX",),
        "a larger batch is refused: RESOURCE_EXHAUSTED",
        "",
        f"{_CATALOG_TEST}::test_a_batch_has_so_many_products",
    ),
    Bound(
        "changes of one cart or session in one write",
        ("dynamo_shop.joined:CHANGES_PER_TURN_MAX",),
        "the others wait for the next write, as long as their calls have time",
        "",
        f"{_JOINED_TEST}::test_a_turn_takes_so_many_changes",
    ),
    Bound(
        "calls of the shop",
        (
            *("dynamo_shop.calls:CALLS_MAX", "dynamo_shop.server:OTHER_CALLS_MAX"),
            "dynamo_shop.server:CALLS_PER_CONNECTION_MAX",
        ),
        "refused at once: RESOURCE_EXHAUSTED; beyond those of one connection they wait there",
        "",
        f"{_SERVER_TEST}::test_the_call_above_the_bound_is_refused",
    ),
    Bound(
        "connections and messages of the shop",
        ("dynamo_shop.server:CONNECTIONS_MAX", "dynamo_shop.server:MESSAGE_BYTES_MAX"),
        "the next connection is closed; a larger message is refused: RESOURCE_EXHAUSTED",
        "",
        f"{_SERVER_TEST}::test_a_message_has_so_many_bytes",
    ),
)
"""In the services of `dynamo-shop`."""

SHOP_OTHER_LIMITS: dict[str, str] = {
    "dynamo_shop.cart:QUANTITY_MAX": "a number's range",
    "dynamo_shop.catalog:NANOS_MAX": "a number's range",
    "dynamo_shop.catalog:UNITS_MAX": "a number's range",
    "dynamo_shop.failures:MESSAGE_BYTES_MAX": "one text, cut",
    "dynamo_shop.failures:OPERATION_CHARS_MAX": "one text, left out",
    "dynamo_shop.ids:ID_CHARS_MAX": "one argument, refused",
}
"""Names that end in `max` and bound nothing that grows while the shop runs."""
