"""The rules of a cart: what a change does, what is refused, what is stored."""

import pytest

from dynamo_client import MSGPACK
from dynamo_shop.cart import (
    EMPTY,
    LINES_MAX,
    MARKS_MAX,
    QUANTITY_MAX,
    REMEMBER_MS,
    REMEMBERED_MAX,
    Cart,
    Mark,
    added,
    as_value,
    from_value,
    line_removed,
    lines,
    quantity_set,
)
from dynamo_shop.errors import Full, Refused, Unreadable

NOW_MS = 1_000_000


def mark(product_id: str = "apple", quantity: int = 1, is_set: bool = False) -> Mark:
    return Mark(product_id, quantity, is_set, NOW_MS)


def test_additions_add_up() -> None:
    cart = added(added(EMPTY, "apple", 2, "r1", NOW_MS), "apple", 3, "r2", NOW_MS)
    assert lines(cart) == [("apple", 5)]


def test_lines_are_in_the_order_of_their_products() -> None:
    cart = added(added(EMPTY, "pear", 1, "r1", NOW_MS), "apple", 1, "r2", NOW_MS)
    assert lines(cart) == [("apple", 1), ("pear", 1)]


def test_a_repeated_addition_changes_nothing() -> None:
    cart = added(EMPTY, "apple", 2, "r1", NOW_MS)
    assert added(cart, "apple", 2, "r1", NOW_MS + 5) is cart


def test_a_repeated_addition_does_not_return_after_its_line_was_removed() -> None:
    cart = line_removed(added(EMPTY, "apple", 2, "r1", NOW_MS), "apple", "r2", NOW_MS)
    assert lines(added(cart, "apple", 2, "r1", NOW_MS)) == []


def test_a_repeated_removal_spares_what_was_added_since() -> None:
    cart = line_removed(added(EMPTY, "apple", 2, "r1", NOW_MS), "apple", "r2", NOW_MS)
    cart = added(cart, "apple", 7, "r3", NOW_MS)
    assert lines(line_removed(cart, "apple", "r2", NOW_MS)) == [("apple", 7)]


def test_a_removal_spares_what_was_added_beside_it() -> None:
    before = added(EMPTY, "apple", 2, "r1", NOW_MS)
    here = line_removed(before, "apple", "r2", NOW_MS)
    there = added(before, "apple", 3, "r3", NOW_MS)
    assert lines(here.merged(there)) == [("apple", 3)]


def test_a_quantity_replaces_what_it_saw_and_is_added_to() -> None:
    before = added(EMPTY, "apple", 2, "r1", NOW_MS)
    here = quantity_set(before, "apple", 9, "r2", NOW_MS)
    there = added(before, "apple", 3, "r3", NOW_MS)
    assert lines(here) == [("apple", 9)]
    assert lines(here.merged(there)) == [("apple", 12)]


def test_of_two_quantities_at_once_the_latest_counts() -> None:
    here = quantity_set(EMPTY, "apple", 9, "r1", NOW_MS)
    there = quantity_set(EMPTY, "apple", 4, "r2", NOW_MS + 1)
    assert lines(here.merged(there)) == lines(there.merged(here)) == [("apple", 4)]


@pytest.mark.parametrize("request_id", ["r1", "r2"])
def test_an_id_stands_for_one_change_only(request_id: str) -> None:
    cart = quantity_set(added(EMPTY, "apple", 2, "r1", NOW_MS), "pear", 2, "r2", NOW_MS)
    with pytest.raises(Refused, match="another change"):
        added(cart, "pear", 2, request_id, NOW_MS)
    with pytest.raises(Refused, match="another change"):
        line_removed(cart, "pear", request_id, NOW_MS)


@pytest.mark.parametrize("quantity", [0, -1, QUANTITY_MAX + 1])
def test_a_quantity_has_a_range(quantity: int) -> None:
    for change in (added, quantity_set):
        with pytest.raises(Refused, match="not within 1 to 10,000"):
            change(EMPTY, "apple", quantity, "r1", NOW_MS)


def test_a_line_has_a_largest_quantity() -> None:
    cart = added(EMPTY, "apple", QUANTITY_MAX, "r1", NOW_MS)
    with pytest.raises(Full, match="more than 10,000 of 'apple'"):
        added(cart, "apple", 1, "r2", NOW_MS)


def test_a_cart_has_so_many_lines() -> None:
    full = Cart({f"r{i}": mark(f"p{i}") for i in range(LINES_MAX)}, {})
    with pytest.raises(Full, match="500 products"):
        added(full, "one-more", 1, "r", NOW_MS)
    assert len(lines(added(full, "p0", 1, "r", NOW_MS))) == LINES_MAX


def test_a_cart_has_so_many_additions() -> None:
    full = Cart({f"r{i}": mark() for i in range(MARKS_MAX)}, {})
    with pytest.raises(Full, match="1,000 additions"):
        added(full, "apple", 1, "r", NOW_MS)
    joined = quantity_set(full, "apple", 1_001, "r", NOW_MS)
    assert len(joined.marks) == 1
    assert lines(added(joined, "apple", 1, "s", NOW_MS)) == [("apple", 1_002)]


def test_a_cart_remembers_so_many_changes() -> None:
    removed = {f"r{i}": NOW_MS for i in range(REMEMBERED_MAX)}
    full = Cart({}, removed)
    with pytest.raises(Full, match="2,000 times"):
        line_removed(full, "apple", "r", NOW_MS)
    later = line_removed(full, "apple", "r", NOW_MS + REMEMBER_MS + 1)
    assert later.removed == {"r": NOW_MS + REMEMBER_MS + 1}


def test_a_cart_that_merging_filled_beyond_its_bounds_can_be_changed_back() -> None:
    over = {f"r{i}": mark(f"p{i % (LINES_MAX + 9)}") for i in range(MARKS_MAX + 50)}
    cart = Cart({**over, "s": mark("p0", QUANTITY_MAX)}, {f"o{i}": NOW_MS for i in range(9)})
    with pytest.raises(Full, match="additions"):
        added(cart, "p1", 1, "r", NOW_MS)
    fewer = quantity_set(cart, "p0", 1, "r", NOW_MS)
    assert len(fewer.marks) < len(cart.marks)
    assert dict(lines(fewer))["p0"] == 1
    assert "p0" not in dict(lines(line_removed(fewer, "p0", "t", NOW_MS)))


def test_an_addition_is_not_refused_for_what_is_over() -> None:
    cart = Cart({}, {f"r{i}": NOW_MS for i in range(REMEMBERED_MAX + 5)})
    assert lines(added(cart, "apple", 1, "r", NOW_MS)) == [("apple", 1)]


def test_what_is_remembered_is_so_for_a_day() -> None:
    cart = line_removed(added(EMPTY, "apple", 2, "r1", NOW_MS), "apple", "r2", NOW_MS)
    cart = added(cart, "pear", 1, "r3", NOW_MS + REMEMBER_MS)
    assert lines(added(cart, "apple", 2, "r1", NOW_MS + REMEMBER_MS)) == [("pear", 1)]


def test_the_fullest_cart_and_its_like_fit_the_store() -> None:
    id = "x" * 58
    marks = {f"{id}{i:06}": mark(f"{id}{i % 500:06}", QUANTITY_MAX) for i in range(MARKS_MAX)}
    cart = Cart(marks, {f"{id}{i:06}": 1 << 41 for i in range(10_000, 10_000 + REMEMBERED_MAX)})
    assert 2 * len(MSGPACK.encode(as_value(cart))) < 1 << 20


def test_a_stored_cart_reads_back() -> None:
    cart = line_removed(added(EMPTY, "apple", 2, "r1", NOW_MS), "apple", "r2", NOW_MS)
    cart = quantity_set(cart, "pear", 2, "r3", NOW_MS)
    assert from_value(MSGPACK.decode(MSGPACK.encode(as_value(cart)))) == cart


@pytest.mark.parametrize(
    "value",
    [None, 5, ["apples"], {}, {"format": 2}, {"format": 1, "marks": [["r"]], "removed": []}],
)
def test_what_is_no_cart_is_told(value: object) -> None:
    with pytest.raises(Unreadable):
        from_value(value)
