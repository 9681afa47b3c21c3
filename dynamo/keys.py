r"""Item keys: one ordered byte string for partition, table, partition key and sort key.

    partition (2 bytes) · table (4 bytes) · partition key, escaped · 00 01 · sort key

Escaping writes each 00 of the partition key as 00 FF, so that the order of item keys is the order
of (partition, table, partition key, sort key), and all items of one partition key lie together.
The sort key comes last and needs no escape.
"""

from dynamo.limits import Limits
from dynamo.types import ItemKey, PartitionId, TableId

TABLE_ID_MAX = (1 << 32) - 2
"""The number above it bounds the last partition's keys, so no table has it."""

ITEM_KEY_BYTES_MIN = 8
"""Partition, table and the end of an empty partition key."""

_END = b"\x00\x01"


def item_key(
    partition: PartitionId, table: TableId, partition_key: bytes, sort_key: bytes
) -> ItemKey:
    """The item's key in logs, tables and messages between nodes."""
    if 0 in partition_key:  # the number: bytes are five times as slow to look for
        partition_key = partition_key.replace(b"\x00", b"\x00\xff")
    prefix = partition << 32 | table
    return ItemKey(prefix.to_bytes(6, "big") + partition_key + _END + sort_key)


def item_key_bytes_max(limits: Limits) -> int:
    """No legal item has a longer key: every byte of the partition key may need an escape."""
    return 6 + 2 * limits.key_bytes_max + len(_END) + limits.sort_key_bytes_max


def parse_item_key(key: ItemKey) -> tuple[PartitionId, TableId, bytes, bytes]:
    """(partition, table, partition key, sort key); the inverse of `item_key`."""
    end = key.index(_END, 6)
    partition_key = key[6:end].replace(b"\x00\xff", b"\x00")
    table = TableId(int.from_bytes(key[2:6], "big"))
    return partition_of_key(key), table, partition_key, key[end + 2 :]


def partition_of_key(key: ItemKey) -> PartitionId:
    """The partition in an item key."""
    return PartitionId(key[0] << 8 | key[1])


def table_of_key(key: ItemKey) -> TableId:
    """The table in an item key."""
    return TableId(int.from_bytes(key[2:6], "big"))


def partition_bounds(partition: PartitionId) -> tuple[ItemKey, ItemKey]:
    """(after, until), both excluded, between which all item keys of the partition lie."""
    prefix = partition.to_bytes(2, "big")
    return ItemKey(prefix), ItemKey(
        (partition + 1).to_bytes(3, "big")[-2:]
        if partition < 0xFFFF
        else b"\xff\xff" + (TABLE_ID_MAX + 1).to_bytes(4, "big")
    )


def table_bounds(partition: PartitionId, table: TableId) -> tuple[ItemKey, ItemKey]:
    """The same for the items of one table in a partition."""
    prefix = partition << 32 | table
    return ItemKey(prefix.to_bytes(6, "big")), ItemKey((prefix + 1).to_bytes(6, "big"))
