"""What anti-entropy puts on the wire, for few keys; `python -m dynamo_bench.exchange`: for many."""

import pytest

from dynamo_bench.exchange import exchange

pytestmark = pytest.mark.slow


def test_one_key_that_differs_costs_a_path_and_a_partition() -> None:
    found = exchange(keys=10_000, differing=1, value_bytes=100)
    assert found.wire_bytes < 40_000


def test_a_node_that_comes_back_is_sent_little_more_than_it_lacks() -> None:
    found = exchange(keys=10_000, differing=1000, value_bytes=1000)
    assert found.wire_bytes < 2 * found.differing_bytes + (1 << 19)
