"""The load generator: no key is written by two at once, and no record grows."""

import pytest
from fake_table import FakeTable

from dynamo_bench.load import Load

SECONDS = 0.01


async def test_filling_writes_each_key_once_and_only_once() -> None:
    table = FakeTable()
    load = Load(table, 100, 10)
    await load.fill()
    first = dict(table.items)
    await load.fill()
    assert len(first) == 100
    assert table.items == first
    assert all([len(value) for value in values.values()] == [10] for values in first.values())


async def test_filling_again_with_another_size_replaces() -> None:
    table = FakeTable()
    await Load(table, 10, 10).fill()
    await Load(table, 10, 20).fill()
    assert [[len(v) for v in values.values()] for values in table.items.values()] == [[20]] * 10


async def test_all_keys_are_read_once_from_as_many_replicas() -> None:
    table = FakeTable()
    load = Load(table, 100, 10)
    await load.fill()
    table.reads.clear()
    await load.read_all(3)
    assert sorted(table.reads) == sorted((key, 3) for key in table.items)


@pytest.mark.parametrize("workload", ["put", "mixed"])
async def test_puts_replace_what_was_put_before(workload: str) -> None:
    table = FakeTable()
    load = Load(table, 30, 10)
    await load.fill()
    figures = await load.measure(workload, concurrency=7, seconds=SECONDS)
    assert figures.operations > 30
    assert not figures.errors
    assert {len(values) for values in table.items.values()} == {1}


@pytest.mark.parametrize("fault", ["not applied", "lost", "late"])
async def test_after_a_failed_put_the_key_is_read_again(fault: str) -> None:
    table = FakeTable([None] * 3 + [fault] * 3)
    load = Load(table, 3, 10)
    await load.fill()
    figures = await load.measure("put", concurrency=3, seconds=0.05)
    assert sum(figures.errors.values()) == 3
    assert figures.operations > 3
    assert {len(values) for values in table.items.values()} == {1}


async def test_a_second_connection_shares_the_contexts() -> None:
    table = FakeTable()
    load = Load(table, 10, 10)
    await load.fill()
    await load.through(table).measure("put", concurrency=2, seconds=SECONDS)
    await load.measure("put", concurrency=2, seconds=SECONDS)
    assert {len(values) for values in table.items.values()} == {1}


async def test_more_workers_than_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="64 workers need as many keys, not 10"):
        await Load(FakeTable(), 10, 10).measure("get", concurrency=64, seconds=SECONDS)
