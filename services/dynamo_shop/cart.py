"""A cart that two sides may change at once: nothing added is lost, and nothing is counted twice.

    marks      request id -> Mark          each addition, each quantity that was set
    removed    request id -> when          what was seen and taken away, and what was done

    merge(a, b) = (a.marks + b.marks - removed, removed)   where removed = a.removed + b.removed

So merging is commutative, associative and idempotent, with the empty cart as its neutral element:
an observed-remove set whose elements are named by the caller's request ids. Because a change is
named, a retry finds it and changes nothing; because a removal names what it saw, what was added
beside it stays. It is the cart of the Dynamo paper (section 4.4) without its returning lines.

The quantity of a line is the sum of its additions, on top of the latest quantity that was set. A
set removes all that it saw, so several remain only if they were set at the same time.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from dynamo_shop.errors import Full, Refused, Unreadable

LINES_MAX = 500
"""Products in a cart. Raising it: larger answers and records."""
QUANTITY_MAX = 10_000
"""Of one addition, and of a line when something is added. Merging never refuses."""
MARKS_MAX = 1_000
"""Additions that nothing has replaced; a quantity that is set replaces those of its line."""
REMEMBERED_MAX = 2_000
"""Changes that are over and remembered. Lowering it: fewer changes of one cart a day."""
REMEMBER_MS = 24 * 3600 * 1000
"""For so long after its removal a change is known. Lowering it: a later retry would add again, and
a removed line may return when two sides meet that did not for longer."""

_FORMAT = 1


class Mark(NamedTuple):
    """One change of one line; it is never altered."""

    product_id: str
    quantity: int
    is_set: bool
    """Whether the quantity was set, not added."""
    stamp_ms: int
    """When, by the clock of the service that made it; decides only between concurrent sets."""

    def merged(self, other: "Mark") -> "Mark":
        """One of two marks of one request that went to two services: the larger."""
        return max(self, other)

    def says(self, other: "Mark") -> bool:
        """Whether both ask for the same, whenever it was."""
        return self[:3] == other[:3]


class Line(NamedTuple):
    """What a caller sees of a product in a cart."""

    product_id: str
    quantity: int


class Cart(NamedTuple):
    """All marks that count, and the ids of all that is over; no id is in both."""

    marks: Mapping[str, Mark]
    removed: Mapping[str, int]

    def merged(self, other: "Cart") -> "Cart":
        """The least cart that knows what both know."""
        removed = {**self.removed}
        for id, when_ms in other.removed.items():
            removed[id] = max(when_ms, removed.get(id, 0))
        marks = {id: mark for id, mark in self.marks.items() if id not in removed}
        for id, mark in other.marks.items():
            if id not in removed:
                marks[id] = mark.merged(marks.get(id, mark))
        return Cart(marks, removed)

    def without(self, ids: Iterable[str], now_ms: int) -> "Cart":
        """The cart in which these requests are over."""
        removed = {**self.removed, **dict.fromkeys(ids, now_ms)}
        return Cart({id: mark for id, mark in self.marks.items() if id not in removed}, removed)

    def marked(self, id: str, mark: Mark) -> "Cart":
        """The cart with one mark more."""
        return self._replace(marks={**self.marks, id: mark})

    def of(self, product_id: str) -> list[str]:
        """The requests that count in a product's line."""
        return [id for id, mark in self.marks.items() if mark.product_id == product_id]


EMPTY = Cart({}, {})


def merged(carts: Iterable[Cart]) -> Cart:
    """One cart of all siblings."""
    return reduce(Cart.merged, carts, EMPTY)


def lines(cart: Cart) -> list[Line]:
    """One line per product, in the order of their ids."""
    added: dict[str, int] = {}
    latest: dict[str, tuple[int, str, int]] = {}
    for id, mark in cart.marks.items():
        if mark.is_set:
            rival = (mark.stamp_ms, id, mark.quantity)
            latest[mark.product_id] = max(rival, latest.get(mark.product_id, rival))
        else:
            added[mark.product_id] = added.get(mark.product_id, 0) + mark.quantity
    return [
        Line(product_id, added.get(product_id, 0) + latest.get(product_id, (0, "", 0))[2])
        for product_id in sorted({*added, *latest})
    ]


def added(cart: Cart, product_id: str, quantity: int, request_id: str, now_ms: int) -> Cart:
    """The cart with so many more of a product. Raises Refused, Full."""
    mark = Mark(product_id, quantity, False, now_ms)
    if _is_done(cart, request_id, mark):
        return cart
    seen = _remembering(cart, now_ms)
    more = seen.marked(request_id, mark)
    line = Cart({id: more.marks[id] for id in more.of(product_id)}, {})
    if lines(line)[0].quantity > QUANTITY_MAX:
        raise Full(f"there would be more than {QUANTITY_MAX:,} of {product_id!r} in the cart")
    return _fitting(seen, more)


def quantity_set(cart: Cart, product_id: str, quantity: int, request_id: str, now_ms: int) -> Cart:
    """The cart with so many of a product, in place of all that is seen. Raises Refused, Full."""
    mark = Mark(product_id, quantity, True, now_ms)
    if _is_done(cart, request_id, mark):
        return cart
    seen = _remembering(cart, now_ms)
    rest = seen.without(seen.of(product_id), now_ms)
    return _fitting(seen, rest.marked(request_id, mark))


def line_removed(cart: Cart, product_id: str, request_id: str, now_ms: int) -> Cart:
    """The cart without all that is seen of a product. Raises Refused, Full."""
    if _is_done(cart, request_id, None):
        return cart
    seen = _remembering(cart, now_ms)
    return _fitting(seen, seen.without([*seen.of(product_id), request_id], now_ms))


def _is_done(cart: Cart, request_id: str, wanted: Mark | None) -> bool:
    """Whether the cart has this change. Raises Refused if it cannot be, or its id means another."""
    if wanted is not None and not 1 <= wanted.quantity <= QUANTITY_MAX:
        told = f"quantity {wanted.quantity} is not within 1 to {QUANTITY_MAX:,}"
        raise Refused("quantity", told)
    if request_id in cart.removed:
        return True
    known = cart.marks.get(request_id)
    if known is not None and (wanted is None or not known.says(wanted)):
        told = f"request id {request_id!r} stands for another change of this cart"
        raise Refused("request_id", told)
    return known is not None


def _remembering(cart: Cart, now_ms: int) -> Cart:
    """The cart without what may be forgotten."""
    since_ms = now_ms - REMEMBER_MS
    removed = {id: when_ms for id, when_ms in cart.removed.items() if when_ms >= since_ms}
    return cart._replace(removed=removed)


def _fitting(before: Cart, after: Cart) -> Cart:
    """The changed cart, unless it is over a bound, and further than it was. Raises Full.

    Merging never refuses, so a cart may be over a bound; it must be possible to change that.
    """
    if len(after.marks) > max(MARKS_MAX, len(before.marks)):
        raise Full(f"the cart has {MARKS_MAX:,} additions; set the quantity of a line to join its")
    if len(after.removed) > max(REMEMBERED_MAX, len(before.removed)):
        raise Full(f"the cart was changed more than {REMEMBERED_MAX:,} times within 24 hours")
    if len(_products(after)) > max(LINES_MAX, len(_products(before))):
        raise Full(f"the cart has {LINES_MAX} products")
    return after


def _products(cart: Cart) -> set[str]:
    return {mark.product_id for mark in cart.marks.values()}


def as_value(cart: Cart) -> dict[str, Any]:
    """What is stored; `from_value` is its inverse."""
    return {
        "format": _FORMAT,
        "marks": [[id, *mark] for id, mark in sorted(cart.marks.items())],
        "removed": [[id, when_ms] for id, when_ms in sorted(cart.removed.items())],
    }


def from_value(value: Any) -> Cart:
    """The cart of a stored value. Raises Unreadable."""
    try:
        if value["format"] != _FORMAT:
            raise Unreadable(f"a cart of format {value['format']!r}; this service reads {_FORMAT}")
        marks = {str(id): _mark(fields) for id, *fields in value["marks"]}
        return Cart(marks, {str(id): int(when_ms) for id, when_ms in value["removed"]})
    except (TypeError, KeyError, ValueError) as error:
        raise Unreadable(f"the table holds what is no cart: {error}") from error


def _mark(fields: Sequence[Any]) -> Mark:
    product_id, quantity, is_set, stamp_ms = fields
    return Mark(str(product_id), int(quantity), bool(is_set), int(stamp_ms))
