"""The tables of the shop, and the rule that each must have.

The built-in configuration has them. In another cluster.yml they need the same names and rules; ids
and N, R and W are the operator's choice.
"""

from typing import NamedTuple

from dynamo_client import Database, Table, UnknownTable
from dynamo_shop.errors import CannotServe

RULES = {"shop_cart": "siblings", "shop_session": "siblings", "shop_product": "lww"}
"""Siblings are merged by this shop; a product is merged by the store."""


class Tables(NamedTuple):
    """One table per service."""

    cart: Table
    session: Table
    product: Table
    product_r: int
    """How many replicas to ask so that one of them has the last write: N-W+1."""


async def open_tables(database: Database) -> Tables:
    """The three tables. Raises CannotServe if one is missing or has another rule."""
    try:
        cart, session, product = (database.table(name) for name in RULES)
    except UnknownTable as error:
        wanted = ", ".join(f"{name} ({rule})" for name, rule in RULES.items())
        raise CannotServe(f"{error}; the cluster.yml must have the tables {wanted}") from error
    known = (await database.status())["tables"]
    for name, rule in RULES.items():
        if known[name]["conflict_rule"] != rule:
            raise CannotServe(f"the table {name} must have conflict_rule: {rule} in cluster.yml")
    numbers = known[product.name]
    return Tables(cart, session, product, numbers["n"] - numbers["w"] + 1)
