"""The checkpoint table over LMDB, the heir of the Berkeley DB that Dynamo used (paper 4.2).

Readers never block, keys are ordered, and the GIL is released while a transaction commits. One
read transaction is kept open between commits, since beginning one costs as much as a read; it is
replaced as soon as a write has committed, so that it pins no page for longer than a slice.
"""

import errno
import os
from itertools import islice
from typing import NoReturn

import lmdb

from dynamo.errors import CorruptData, StorageFailed
from dynamo.storage import long_keys
from dynamo.storage.files import DiskFull, make_directory, sync_names
from dynamo.storage.long_keys import DIRECT_BYTES_MAX
from dynamo.storage.tables import Items

MAP_BYTES = 1 << 40
"""Address space, not disk: the file grows as pages are used."""

_CORRUPT = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
)
_FULL = (lmdb.MapFullError,)
SHORT_WRITE_BYTES = 16 << 20
"""LMDB calls a write that was cut short an I/O error. With less free room than this, several
transactions' worth, that was a full disk: nothing of the transaction is visible, it may be tried
again. A disk that is really broken fails the next sync of the log as well."""


class LmdbTable:
    """`CheckpointTable` in a directory of its own."""

    def __init__(self, path: str, map_bytes: int = MAP_BYTES) -> None:
        """Open or make it. The caller holds the directory alone. Raises CorruptData, DiskFull."""
        self._path = path
        make_directory(path)
        try:
            self._environment = lmdb.open(
                path, map_size=map_bytes, max_dbs=4, max_readers=16, readahead=False
            )
            self._require_whole_file()
            self._databases = long_keys.Databases(
                keys=self._environment.open_db(b"keys"),
                buckets=self._environment.open_db(b"buckets"),
                counters=self._environment.open_db(b"counters"),
            )
            self._meta = self._environment.open_db(b"meta")
            sync_names(path)  # LMDB syncs its file's content, not the name of a new one
        except lmdb.Error as error:
            self._raise(error)
        self._commits = 0
        self._begin_reading()

    def get(self, key: bytes) -> memoryview | None:
        """The value under `key`, as it lies in the file's pages."""
        if self._seen_commits != self._commits:
            self.refresh()
        try:
            if len(key) <= DIRECT_BYTES_MAX:
                return self._get(key)
            return long_keys.get(self._reading, self._databases, key)
        except lmdb.Error as error:
            self._raise(error)

    def scan(self, after: bytes, until: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` items, read in a transaction that ends here."""
        try:
            with self._environment.begin() as reading:
                rows = long_keys.scan(reading, self._databases, after, until)
                return list(islice(rows, limit))
        except lmdb.Error as error:
            self._raise(error)

    def write(self, items: Items, meta: dict[str, bytes]) -> None:
        """One synced transaction; the many short keys that are set go in one call."""
        short = [
            (key, value)
            for key, value in items
            if value is not None and len(key) <= DIRECT_BYTES_MAX
        ]
        try:
            with self._environment.begin(write=True) as writing:
                writing.cursor(self._databases.keys).putmulti(short)
                if len(short) < len(items):
                    self._write_others(writing, items)
                for name, value in meta.items():
                    writing.put(name.encode(), value, db=self._meta)
        except lmdb.Error as error:
            self._raise(error)
        self._commits += 1

    def get_meta(self, name: str) -> memoryview | None:
        """A named value kept beside the items."""
        if self._seen_commits != self._commits:
            self.refresh()
        try:
            return self._reading.get(name.encode(), db=self._meta)
        except lmdb.Error as error:
            self._raise(error)

    def refresh(self) -> None:
        """Go on reading from the newest commit."""
        self._reading.abort()
        self._begin_reading()

    def close(self) -> None:
        """End the read transaction and close the environment."""
        self._reading.abort()
        self._environment.close()

    def _require_whole_file(self) -> None:
        """Raise CorruptData if pages are missing at the end: reading one would end the process."""
        pages = self._environment.info()["last_pgno"] + 1
        needed = pages * self._environment.stat()["psize"]
        found = os.path.getsize(f"{self._path}/data.mdb")
        if found < needed:
            self._environment.close()
            raise CorruptData(f"{self._path}/data.mdb has {found} bytes of {needed}")

    def _begin_reading(self) -> None:
        self._seen_commits = self._commits  # before begin: a commit in between is then seen again
        self._reading = self._environment.begin(self._databases.keys, buffers=True)
        self._get = self._reading.get

    def _write_others(self, writing: "lmdb.Transaction[bytes]", items: Items) -> None:
        for key, value in items:
            if value is None:
                long_keys.delete(writing, self._databases, key)
            elif len(key) > DIRECT_BYTES_MAX:
                long_keys.put(writing, self._databases, key, value)

    def _free_bytes(self) -> int:
        status = os.statvfs(self._path)
        return status.f_bavail * status.f_frsize

    def _raise(self, error: lmdb.Error) -> NoReturn:
        sentence = f"{self._path}: {error}"
        if isinstance(error, _CORRUPT):
            raise CorruptData(sentence) from error
        code = getattr(error, "code", 0)
        if isinstance(error, _FULL) or code in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(sentence) from error
        if code == errno.EIO and self._free_bytes() < SHORT_WRITE_BYTES:
            raise DiskFull(f"{sentence}, with no room left") from error
        raise StorageFailed(sentence) from error
