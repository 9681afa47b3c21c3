"""The yardstick does what it must: it answers, durably, and leaves nothing behind."""

import os
from pathlib import Path

import pytest

from dynamo_bench.yardstick import Yardstick
from dynamo_bench.yardstick_wire import GET


@pytest.mark.slow
@pytest.mark.integration
async def test_half_a_second_of_puts_and_gets(tmp_path: Path) -> None:
    async with Yardstick(keys=100, value_bytes=10, directory=tmp_path) as yardstick:
        await yardstick.fill()
        puts = await yardstick.measure("put", concurrency=8, seconds=0.25)
        gets = await yardstick.measure("get", concurrency=8, seconds=0.25)
        read = [await yardstick._ask(node, GET, b"k7", None) for node in range(3)]
    assert puts.operations
    assert gets.operations
    assert read == [yardstick._value] * 3
    assert os.listdir(tmp_path) == []
