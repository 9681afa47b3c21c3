"""Keys in byte order, in buckets by their first two bytes: cheap to add to, sorted when read.

In an item key the first two bytes are its partition, so a bucket holds what a partition has, and
sorting one is short enough for an event loop. Order across buckets is order of keys, since
a[:2] < b[:2] implies a < b.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

_PREFIX_BYTES = 2


class KeyIndex:
    """A set of keys that can be read in order between two bounds."""

    def __init__(self) -> None:
        self._buckets: dict[bytes, list[bytes]] = {}
        self._prefixes: list[bytes] = []
        self._unsorted: set[bytes] = set()

    def add(self, key: bytes) -> None:
        """Add a key that is not in the index."""
        prefix = key[:_PREFIX_BYTES]
        bucket = self._buckets.get(prefix)
        if bucket is None:
            self._buckets[prefix] = [key]
            insort(self._prefixes, prefix)
            return
        if prefix not in self._unsorted and key < bucket[-1]:
            self._unsorted.add(prefix)
        bucket.append(key)

    def discard(self, key: bytes) -> None:
        """Remove a key that is in the index."""
        prefix = key[:_PREFIX_BYTES]
        bucket = self._sorted(prefix)
        del bucket[bisect_left(bucket, key)]
        if not bucket:
            del self._buckets[prefix]
            del self._prefixes[bisect_left(self._prefixes, prefix)]

    def between(self, after: bytes, until: bytes) -> Iterator[bytes]:
        """The keys with after < key < until, in order; the index must not change meanwhile."""
        first = bisect_left(self._prefixes, after[:_PREFIX_BYTES])
        for prefix in self._prefixes[first:]:
            if prefix >= until:
                return
            bucket = self._sorted(prefix)
            for place in range(bisect_right(bucket, after), len(bucket)):
                if bucket[place] >= until:
                    return
                yield bucket[place]

    def all(self) -> Iterator[bytes]:
        """Every key, in order."""
        for prefix in self._prefixes:
            yield from self._sorted(prefix)

    def _sorted(self, prefix: bytes) -> list[bytes]:
        bucket = self._buckets[prefix]
        if prefix in self._unsorted:
            self._unsorted.discard(prefix)
            bucket.sort()
        return bucket
