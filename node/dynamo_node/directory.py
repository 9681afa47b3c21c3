"""Directories that one process owns: locks, pid files, atomic files, the cluster's id."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamo.config import LOCAL_ID, ConfigError, check_cluster_id


class CannotStart(Exception):
    """What a command was asked is right, but the machine is not ready for it; one sentence."""


CLUSTER_ID = "cluster-id"
"""The file beside the nodes' directories that says whose they are."""
_OWNER = "owner"
"""The file in a node's directory that says whose it is."""


@contextmanager
def locked(directory: Path, name: str, in_use: str) -> Iterator[None]:
    """Own `directory`, made if absent, through its lock file `name`.

    The lock ends with the process, however that ends; the file stays, since removing a locked
    file lets two processes hold two locks. Raises CannotStart with `in_use` and the holder's pid.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = os.open(directory / name, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CannotStart(f"{directory} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise CannotStart(
                f"{directory} {in_use} (pid {holder}); stop it or choose another --data"
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


@contextmanager
def node_directory(directory: Path) -> Iterator[None]:
    """Own a node's directory: `node.lock` while alive, `node.pid` until a clean end."""
    with locked(directory, "node.lock", "is in use by another node"):
        pid = directory / "node.pid"
        write_atomically(pid, f"{os.getpid()}\n")
        try:
            yield
        finally:
            pid.unlink(missing_ok=True)


def is_owned(directory: Path) -> bool:
    """Whether some node has begun to use it."""
    return (directory / _OWNER).exists()


def require_own(directory: Path, cluster: str, node: str) -> None:
    """Mark `directory` as this node's when it is first used. Raises ConfigError if it is another's.

    Under another name or in another cluster the data would count as what it is not.
    """
    file = directory / _OWNER
    mine = f"{node} of cluster {cluster}"
    if not file.exists():
        write_atomically(file, f"{mine}\n")
    elif (owner := file.read_text(encoding="utf-8", errors="replace").strip()) != mine:
        raise ConfigError(
            f"nodes.{node}.data",
            f"{directory} holds the data of {owner}, not of {mine}; name the right directory or id",
        )


def cluster_id(directory: Path, wanted: str = LOCAL_ID) -> str:
    """The id of the cluster whose nodes live in `directory`, chosen there once and for all.

    `local` takes what the directory has, or else a new random id; any other `wanted` must be what
    the directory has. Raises ConfigError if it is not.
    """
    file = directory / CLUSTER_ID
    if not file.exists():
        directory.mkdir(parents=True, exist_ok=True)
        _create(file, secrets.token_hex(16) if wanted == LOCAL_ID else wanted)
    id = file.read_text(encoding="ascii", errors="replace").strip()
    check_cluster_id(id)
    if wanted not in (LOCAL_ID, id):
        raise ConfigError(
            "cluster.id",
            f"{directory} belongs to cluster {id}, but the configuration says {wanted}",
        )
    return id


def write_atomically(file: Path, text: str) -> None:
    """Readers of `file` find the old text or the new one; after a power loss too."""
    partial = _partial(file, text)
    os.replace(partial, file)
    _sync(file.parent)


def _create(file: Path, text: str) -> None:
    """Make `file` with `text` unless somebody else is first; never seen empty."""
    partial = _partial(file, text + "\n")
    try:
        os.link(partial, file)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
    _sync(file.parent)


def _partial(file: Path, text: str) -> Path:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return partial


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
