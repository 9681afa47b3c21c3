r"""LMDB takes keys of up to 511 bytes; here they may be of any length, in exact byte order.

A trie of chunks. A key of up to C bytes is its own physical key. Of a longer one, the first C bytes
and a 00 are a link to a bucket, and the rest is a key in that bucket, by the same rule:

    keys       K                     -> value          len(K) <= 510
               K[:510] · 00          -> bucket id      the only physical keys of 511 bytes
    buckets    id · R                -> value          R the rest, len(R) <= 502
               id · R[:502] · 00     -> bucket id      the only physical keys of 511 bytes

Law: order is exact and nothing collides. No direct key has the length of a link, so the two are
never confused. A link K[:C]·00 sorts right behind the direct key K[:C], where all keys that it
stands for belong: a direct key above K[:C] cannot begin with it, and so is above the link as well.

A bucket that becomes empty goes, and its link with it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import lmdb

DIRECT_BYTES_MAX = 510
"""Keys up to this length are stored as they are."""

_ID_BYTES = 8
_LINK_BYTES = DIRECT_BYTES_MAX + 1
_NEXT_ID = b"next bucket"


class Databases(NamedTuple):
    """Where the trie lives in an environment."""

    keys: "lmdb._Database"
    buckets: "lmdb._Database"
    counters: "lmdb._Database"


class _Place(NamedTuple):
    """A physical key: which database, under which bucket id (empty for `keys`)."""

    database: "lmdb._Database"
    physical: bytes


def get(
    transaction: "lmdb.Transaction[memoryview]", databases: Databases, key: bytes
) -> memoryview | None:
    """The value under `key`, as it lies in the transaction's pages."""
    bucket = b""
    while len(bucket) + len(key) > DIRECT_BYTES_MAX:
        link, key = _split(databases, bucket, key)
        found = transaction.get(link.physical, db=link.database)
        if found is None:
            return None
        bucket = bytes(found)
    return transaction.get(bucket + key, db=databases.buckets if bucket else databases.keys)


def put(
    transaction: "lmdb.Transaction[bytes]", databases: Databases, key: bytes, value: bytes
) -> None:
    """Set the value under `key`, making the buckets on the way."""
    bucket = b""
    while len(bucket) + len(key) > DIRECT_BYTES_MAX:
        link, key = _split(databases, bucket, key)
        bucket = transaction.get(link.physical, db=link.database) or b""
        if not bucket:
            bucket = _new_bucket(transaction, databases)
            transaction.put(link.physical, bucket, db=link.database)
    database = databases.buckets if bucket else databases.keys
    transaction.put(bucket + key, value, db=database)


def delete(transaction: "lmdb.Transaction[bytes]", databases: Databases, key: bytes) -> None:
    """Remove `key` if it is there, and the buckets that it leaves empty."""
    bucket, links = b"", []
    while len(bucket) + len(key) > DIRECT_BYTES_MAX:
        link, key = _split(databases, bucket, key)
        found = transaction.get(link.physical, db=link.database)
        if found is None:
            return
        bucket = found
        links.append((link, bucket))
    transaction.delete(bucket + key, db=databases.buckets if bucket else databases.keys)
    for link, bucket in reversed(links):
        cursor = transaction.cursor(databases.buckets)
        if cursor.set_range(bucket) and cursor.key().startswith(bucket):
            return
        transaction.delete(link.physical, db=link.database)


def scan(
    transaction: "lmdb.Transaction[bytes]", databases: Databases, after: bytes, until: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) for all keys with after < key < until, in key order."""
    for key, value in _walk(transaction, databases, b"", b"", after):
        if key >= until:
            return
        yield key, value


def _walk(
    transaction: "lmdb.Transaction[bytes]",
    databases: Databases,
    bucket: bytes,
    path: bytes,
    after: bytes,
) -> Iterator[tuple[bytes, bytes]]:
    """All keys above `after` in one bucket and below it; `path` is what leads to the bucket.

    `after` is the whole bound, of which the caller has seen to it that it either begins with `path`
    or is below everything here.
    """
    rest = after[len(path) :] if after.startswith(path) else b""
    cursor = transaction.cursor(databases.buckets if bucket else databases.keys)
    chunk = DIRECT_BYTES_MAX - len(bucket)
    if not cursor.set_range(bucket + rest[:chunk]):
        return
    for physical, value in cursor:
        if not physical.startswith(bucket):
            return
        key = path + physical[len(bucket) :]
        if len(physical) == _LINK_BYTES:
            yield from _walk(transaction, databases, value, key[:-1], after)
        elif key > after:
            yield key, value


def _split(databases: Databases, bucket: bytes, key: bytes) -> tuple[_Place, bytes]:
    """The link that stands for the key's first chunk, and the rest of the key."""
    chunk = DIRECT_BYTES_MAX - len(bucket)
    database = databases.buckets if bucket else databases.keys
    return _Place(database, bucket + key[:chunk] + b"\x00"), key[chunk:]


def _new_bucket(transaction: "lmdb.Transaction[bytes]", databases: Databases) -> bytes:
    """An id that was never used before; ids are never used again."""
    last = transaction.get(_NEXT_ID, b"", db=databases.counters)
    bucket = (int.from_bytes(last, "big") + 1).to_bytes(_ID_BYTES, "big")
    transaction.put(_NEXT_ID, bucket, db=databases.counters)
    return bucket
