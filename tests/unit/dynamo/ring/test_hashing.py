"""The token's layout, pinned: clients in other languages are checked against these vectors."""

import pytest

from dynamo.ring.hashing import TABLE_ID_MAX, partition_of, partitions_are_legal, token_of
from dynamo.types import TableId, Token

VECTORS = [
    (0, b"", 0x0000000000000000),
    (1, b"", 0x4610ABE56EFF5CB5),
    (0, b"hello", 0xCBD8A7B341BD9B02),
    (1, b"hello", 0xA78DDFF5ADAE8D10),
    (1, b"cart:1234", 0xCEC37A9F3A76CE42),
    (2, b"cart:1234", 0x0D05CE1D55FF0956),
    (4294967295, bytes(range(40)), 0xC36A8F50DE88472B),
    (42, b"gr\xc3\xb6\xc3\x9fe", 0x3F4A196092C06A33),
]


@pytest.mark.parametrize(("table", "key", "token"), VECTORS)
def test_token_vectors(table: int, key: bytes, token: int) -> None:
    assert token_of(TableId(table), key) == token


@pytest.mark.parametrize("table", [-1, TABLE_ID_MAX + 1])
def test_a_table_id_that_is_no_seed_is_refused(table: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        token_of(TableId(table), b"key")


@pytest.mark.parametrize("partitions", [1, 2, 256, 65536])
def test_partitions_are_equal_ranges_in_token_order(partitions: int) -> None:
    width = 2**64 // partitions
    for partition in {0, partitions // 2, partitions - 1}:
        assert partition_of(Token(partition * width), partitions) == partition
        assert partition_of(Token((partition + 1) * width - 1), partitions) == partition


def test_tables_spread_the_same_keys_differently() -> None:
    keys = [b"user-%d" % number for number in range(1000)]
    same = sum(
        partition_of(token_of(TableId(1), key), 256) == partition_of(token_of(TableId(2), key), 256)
        for key in keys
    )
    assert same < 20, "two tables should agree on one key in 256"


def test_keys_spread_over_partitions() -> None:
    counts = [0] * 16
    for number in range(4096):
        counts[partition_of(token_of(TableId(7), b"user-%d" % number), 16)] += 1
    assert min(counts) > 180
    assert max(counts) < 340


def test_legal_partition_counts() -> None:
    assert [q for q in range(-2, 20) if partitions_are_legal(q)] == [1, 2, 4, 8, 16]
    assert not partitions_are_legal(2**17)
