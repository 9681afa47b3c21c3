"""Item keys sort as (partition, table, partition key, sort key), whatever bytes are in them."""

from hypothesis import example, given
from hypothesis import strategies as st

from dynamo.keys import (
    TABLE_ID_MAX,
    item_key,
    parse_item_key,
    partition_bounds,
    partition_of_key,
    table_of_key,
)
from dynamo.types import PartitionId, TableId

some_bytes = st.one_of(
    st.binary(max_size=6),
    st.lists(st.sampled_from([b"\x00", b"\x01", b"\xff", b"a"]), max_size=5).map(b"".join),
)
parts = st.tuples(
    st.sampled_from([0, 1, 255, 256, 0xFFFE, 0xFFFF]).map(PartitionId),
    st.sampled_from([1, 2, 255, 256, TABLE_ID_MAX]).map(TableId),
    some_bytes.filter(bool),
    some_bytes,
)


@given(parts)
def test_a_key_is_parsed_into_what_it_was_made_of(one: tuple) -> None:  # type: ignore[type-arg]
    key = item_key(*one)
    assert parse_item_key(key) == one
    assert (partition_of_key(key), table_of_key(key)) == one[:2]


@given(parts, parts)
def test_keys_are_ordered_as_their_parts(one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    assert (item_key(*one) < item_key(*other)) == (one < other)
    assert (item_key(*one) == item_key(*other)) == (one == other)


@given(parts, st.sampled_from([0, 1, 255, 256, 0xFFFE, 0xFFFF]))
@example((PartitionId(0xFFFF), TableId(TABLE_ID_MAX), b"\xff" * 20, b"\xff"), 0xFFFF)
def test_a_partitions_bounds_hold_its_keys_and_no_others(one: tuple, partition: int) -> None:  # type: ignore[type-arg]
    after, until = partition_bounds(PartitionId(partition))
    assert (after < item_key(*one) < until) == (one[0] == partition)


@given(parts, some_bytes, some_bytes)
def test_items_of_one_partition_key_lie_together(one: tuple, sort: bytes, other: bytes) -> None:  # type: ignore[type-arg]
    """Nothing of another partition key can stand between two sort keys of this one."""
    partition, table, key, _ = one
    low, high = sorted([item_key(partition, table, key, s) for s in (sort, other)])
    for neighbour in (key + b"\x00", key + b"\x01", key + b"\xff", key[:-1]):
        if neighbour:
            assert not low < item_key(partition, table, neighbour, b"") < high


def test_the_layout_is_what_the_document_says() -> None:
    key = item_key(PartitionId(0x0102), TableId(3), b"a\x00b", b"\x00s")
    assert key == b"\x01\x02" + b"\x00\x00\x00\x03" + b"a\x00\xffb" + b"\x00\x01" + b"\x00s"
