"""The field's nouns as types: who, where, when. Every floor speaks these."""

from typing import NamedTuple, NewType

NodeId = NewType("NodeId", str)
"""A member's name as written in cluster.yml, such as `n1`."""

Actor = NewType("Actor", str)
"""One life of a member's disk, `node/incarnation`: the writer that a dot names."""

PartitionId = NewType("PartitionId", int)
"""One of the ring's Q equal ranges, 0 <= id < Q."""

Token = NewType("Token", int)
"""A position on the ring, an unsigned 64-bit hash."""

TableId = NewType("TableId", int)
"""A table's number, never reused; data is keyed by it."""

Stamp = NewType("Stamp", int)
"""A hybrid logical clock reading: milliseconds since 1970 << 16 | logical counter."""

OperationId = NewType("OperationId", bytes)
"""Stamp (8 bytes), client session (8), sequence number (4), big-endian: sorts by stamp."""

ItemKey = NewType("ItemKey", bytes)
"""Partition, table, partition key and sort key in one ordered byte string (`dynamo.keys`)."""


class Instant(NamedTuple):
    """One reading of both clocks, taken by a shell once per batch of events."""

    monotonic_ms: float
    """For deadlines and latencies; never goes back."""
    wall_ms: int
    """For hybrid stamps only; may jump."""
