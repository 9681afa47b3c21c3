"""Which position on the ring a key has. Dynamo paper, section 4.2.

Law:      the token depends on table id and partition key alone, so all items of one partition
          key share one replica set; clients and nodes of any language compute the same token.

Picture:  partition key ──MurmurHash3 x64 128, seed = table id──▶ 16 bytes: h1 (8) │ h2 (8)
          token     = h1, unsigned       (the digest's first 8 bytes, read little-endian)
          partition = token >> (64 - log2 Q)                                (the top bits)

Byte layout, for clients in other languages: the hashed bytes are exactly the partition key as it
travels on the wire, nothing before it and nothing after it, no length and no terminator; the sort
key takes no part. The table id is the seed, an unsigned 32-bit number that initialises both h1
and h2 (a library with a signed seed takes the same 32 bits). It is the seed and not a prefix
because a seed costs nothing, while a prefix copies every key on the hot path of client and node.
Tables differ in their seeds, so one key's hot partition in one table is not hot in all of them.
The vectors in `tests/unit/dynamo/ring/test_hashing.py` pin all of this.
"""

import mmh3

from dynamo.types import PartitionId, TableId, Token

TOKEN_BITS = 64
"""The width of a token; the ring is the numbers 0 <= token < 2 ** TOKEN_BITS."""

TABLE_ID_MAX = 2**32 - 1
"""The largest table id, because it travels as a 32-bit seed. Above it, `token_of` raises."""

PARTITIONS_MAX = 2**16
"""The largest Q. More would make the ring's value and every placement needlessly heavy."""


def token_of(table: TableId, partition_key: bytes) -> Token:
    """The position of a partition key on the ring; 0.2 us. Needs 0 <= table <= TABLE_ID_MAX."""
    # By keyword: some releases of mmh3 ignore `signed` when it is given by position.
    return Token(mmh3.hash64(partition_key, table, x64arch=True, signed=False)[0])


def partition_of(token: Token, partitions: int) -> PartitionId:
    """The partition that covers `token`, with Q = `partitions`, a power of two.

    A partition is an equal range of tokens, so doubling Q would split each into two neighbours:
    partition_of(t, 2 * Q) // 2 == partition_of(t, Q).
    """
    # A power of two 2 ** b has a bit length of b + 1: this shifts by 64 - b.
    return PartitionId(token >> (TOKEN_BITS + 1 - partitions.bit_length()))


def partitions_are_legal(partitions: int) -> bool:
    """Whether `partitions` may be a ring's Q: a power of two, at most PARTITIONS_MAX."""
    return 1 <= partitions <= PARTITIONS_MAX and partitions & (partitions - 1) == 0
