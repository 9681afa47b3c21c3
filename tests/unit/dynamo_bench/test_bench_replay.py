"""The replay loses nothing, doubles nothing, and would see it if something did."""

import pytest
from fake_table import FakeDatabase, FakeTable

from dynamo_bench.replay import (
    AlreadyThere,
    Comparison,
    GaveUp,
    Replayer,
    cart_lines,
    compare_cart,
    merged,
)
from dynamo_bench.retail import SAMPLE, Invoice, invoices, read_rows

INVOICES = invoices(read_rows(SAMPLE, 200))
TWO_LINES = Invoice("1", [("1", "a"), ("1", "a")])


def replayer(table: FakeTable, unknown_first: int = 0, patience_s: float = 60.0) -> Replayer:
    database = FakeDatabase(table, unknown_first)
    return Replayer(database, table, in_flight=4, patience_s=patience_s, pause_s=0)


async def test_every_line_is_found_in_its_cart() -> None:
    table = FakeTable()
    figures = await replayer(table).write(INVOICES)
    comparison = await replayer(table).compare(INVOICES)
    assert figures.operations == 200
    assert comparison == Comparison(len(INVOICES), 200, 0, 0, 0, 0)
    assert comparison.exact


@pytest.mark.parametrize("fault", ["not applied", "lost", "late"])
async def test_a_failed_update_is_repeated_only_if_it_was_not_applied(fault: str) -> None:
    table = FakeTable([None, fault, None, fault])
    figures = await replayer(table, unknown_first=3).write(INVOICES)
    assert (await replayer(table).compare(INVOICES)).exact
    assert figures.operations == 200
    assert sum(figures.errors.values()) >= 2


async def test_a_cluster_that_never_comes_back_ends_the_replay() -> None:
    table = FakeTable(["not applied"] * 1000)
    with pytest.raises(GaveUp, match="needed 2, got 1"):
        await replayer(table, patience_s=0).write(INVOICES)


async def test_a_second_replay_into_one_table_is_refused() -> None:
    table = FakeTable()
    await replayer(table).write(INVOICES)
    with pytest.raises(AlreadyThere, match="536365"):
        await replayer(table).write(INVOICES)


async def test_progress_reaches_one() -> None:
    told: list[float] = []
    table = FakeTable()
    await replayer(table).write(INVOICES, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_equal_rows_of_an_invoice_are_different_lines() -> None:
    assert list(cart_lines(TWO_LINES)) == [(1, "1", "a"), (2, "1", "a")]


@pytest.mark.parametrize(
    ("values", "missing", "twice", "foreign", "siblings"),
    [
        ([[(1, "1", "a"), (2, "1", "a")]], 0, 0, 0, 0),
        ([[[2, "1", "a"], [1, "1", "a"]]], 0, 0, 0, 0),
        ([], 2, 0, 0, 0),
        ([[(1, "1", "a")]], 1, 0, 0, 0),
        ([[(1, "1", "a"), (2, "1", "a"), (2, "1", "a")]], 0, 1, 0, 0),
        ([[(1, "1", "a"), (2, "1", "b")]], 1, 0, 1, 0),
        ([[(1, "1", "a")], [(1, "1", "a"), (2, "1", "a")]], 0, 0, 0, 1),
        ([[(1, "1", "a"), (1, "1", "a")], [(2, "1", "a")]], 0, 1, 0, 1),
    ],
)
def test_a_cart_is_held_against_its_invoice(
    values: list[list[tuple[int, str, str]]], missing: int, twice: int, foreign: int, siblings: int
) -> None:
    found = compare_cart(TWO_LINES, values)
    assert found == Comparison(1, 2, missing, twice, foreign, siblings)
    assert found.exact is not bool(missing or twice or foreign)


def test_siblings_are_merged_without_doubling_what_both_inherited() -> None:
    assert merged([[(1, "a"), (3, "c")], [(1, "a"), (2, "b")]]) == [(1, "a"), (2, "b"), (3, "c")]
