"""What the log needs of a directory, as a port, and the real one.

Everything between the engine and the disk passes through `Files`, so that the simulator can drop,
tear and reorder what was not synced, at every single call. Two rules hold for every implementation:

    bytes       survive a power loss once `fdatasync` returned, in sectors of 512 bytes before that
    names       survive it once `sync_directory` returned

Foreign errors end here: what comes out is `DiskFull` (nothing was harmed, room is missing),
`DirectoryInUse`, or `StorageFailed` (after which nothing on this disk may be trusted).
"""

import errno
import fcntl
import os
from typing import Protocol

from dynamo.errors import DynamoError, StorageFailed

SECTOR_BYTES = 512
"""What a disk writes at once or not at all."""

_ZEROS = bytes(1 << 20)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(DynamoError):
    """The disk has no room for another file; what it already holds is unharmed."""

    kind = "disk full"


class DirectoryInUse(StorageFailed):
    """Another process has this data directory open."""

    kind = "directory in use"


class Files(Protocol):
    """The operations on one directory of files, all of them blocking."""

    def list(self) -> list[str]:
        """The names of all files, sorted."""

    def create(self, name: str, size: int, *, written: bool = True) -> None:
        """A file of `size` zero bytes, synced but for its name. Raises DiskFull and leaves none.

        Not `written`: the room is only reserved, which is quick, but makes each sync dearer until
        it has been written once.
        """

    def open(self, name: str) -> int:
        """A handle for `pwrite` and `fdatasync`."""

    def close(self, handle: int) -> None:
        """Let go of a handle."""

    def pwrite(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of `data` inside the file as it was created."""

    def fdatasync(self, handle: int) -> None:
        """Return once everything written through `handle` is on the disk."""

    def read(self, name: str) -> bytes:
        """The whole file."""

    def size(self, name: str) -> int:
        """The file's length in bytes."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name; durable after `sync_directory`."""

    def remove(self, name: str) -> None:
        """Remove a file; durable after `sync_directory`."""

    def sync_directory(self) -> None:
        """Return once all names are as durable as they are visible."""

    def free_bytes(self) -> int:
        """The room left for this directory."""

    def release(self) -> None:
        """Let another process have the directory."""


class OsFiles:
    """`Files` over a directory of the operating system, held alone by a lock on its `LOCK`."""

    def __init__(self, path: str) -> None:
        """Make the directory if need be and lock it. Raises DirectoryInUse, StorageFailed."""
        self._path = path
        make_directory(path)
        try:
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            self._lock = os.open(f"{path}/LOCK", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _translated(error, "open", path) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            os.close(self._directory)
            raise DirectoryInUse(f"{path} is in use by another process") from error

    def list(self) -> list[str]:
        """The names of all plain files but the lock."""
        with os.scandir(self._path) as entries:
            return sorted(e.name for e in entries if e.is_file() and e.name != "LOCK")

    def create(self, name: str, size: int, *, written: bool = True) -> None:
        """Reserve the room first, then write zeros over it.

        The zeros matter: a write into room that was only reserved must journal that it is now
        written, at every fdatasync, which was measured to cost 40 % of the log's speed.
        """
        path = f"{self._path}/{name}"
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
            try:
                os.posix_fallocate(handle, 0, size)
                for offset in range(0, size if written else 0, len(_ZEROS)):
                    os.pwrite(handle, _ZEROS[: size - offset], offset)
                os.fsync(handle)
            except OSError:
                os.unlink(path)
                raise
            finally:
                os.close(handle)
        except OSError as error:
            raise _translated(error, "create", path) from error

    def open(self, name: str) -> int:
        """A file descriptor."""
        path = f"{self._path}/{name}"
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _translated(error, "open", path) from error

    def close(self, handle: int) -> None:
        """Close the descriptor."""
        os.close(handle)

    def pwrite(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of it, in several calls when the system takes it in pieces."""
        try:
            written = os.pwrite(handle, data, offset)
            while written < len(data):
                written += os.pwrite(handle, data[written:], offset + written)
        except OSError as error:
            raise _translated(error, "write", self._path) from error

    def fdatasync(self, handle: int) -> None:
        """Sync the bytes; no metadata changes, since the file never grows."""
        try:
            os.fdatasync(handle)
        except OSError as error:
            raise _translated(error, "sync", self._path) from error

    def read(self, name: str) -> bytes:
        """The whole file."""
        path = f"{self._path}/{name}"
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise _translated(error, "read", path) from error

    def size(self, name: str) -> int:
        """The file's length in bytes."""
        path = f"{self._path}/{name}"
        try:
            return os.stat(path).st_size
        except OSError as error:
            raise _translated(error, "stat", path) from error

    def rename(self, old: str, new: str) -> None:
        """Rename within the directory."""
        try:
            os.rename(f"{self._path}/{old}", f"{self._path}/{new}")
        except OSError as error:
            raise _translated(error, "rename", old) from error

    def remove(self, name: str) -> None:
        """Unlink the file."""
        try:
            os.unlink(f"{self._path}/{name}")
        except OSError as error:
            raise _translated(error, "remove", name) from error

    def sync_directory(self) -> None:
        """Sync the directory itself."""
        try:
            os.fsync(self._directory)
        except OSError as error:
            raise _translated(error, "sync", self._path) from error

    def free_bytes(self) -> int:
        """What the file system would still give to an ordinary user."""
        try:
            status = os.fstatvfs(self._directory)
        except OSError as error:
            raise _translated(error, "stat", self._path) from error
        return status.f_bavail * status.f_frsize

    def release(self) -> None:
        """Closing the lock's descriptor unlocks it."""
        os.close(self._lock)
        os.close(self._directory)


def make_directory(path: str) -> None:
    """Make the directory and those above it, names included durable. Raises StorageFailed."""
    missing = []
    at = os.path.abspath(path)
    while not os.path.isdir(at):
        missing.append(at)
        at = os.path.dirname(at)
    try:
        for directory in reversed(missing):
            os.mkdir(directory)
            sync_names(os.path.dirname(directory))
    except OSError as error:
        raise _translated(error, "make", path) from error


def sync_names(path: str) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _translated(error: OSError, verb: str, what: str) -> DynamoError:
    sentence = f"cannot {verb} {what}: {error.strerror}"
    return DiskFull(sentence) if error.errno in _NO_ROOM else StorageFailed(sentence)
