"""`dynamo-node` on a disk that falls sick when told: touch a file in $SICK and it does.

    python sick_node.py run --config … --name n3

    SICK/fsync-fails     every fdatasync answers EIO
    SICK/no-room         the disk says that nothing is free, and takes no new file

Segments are small and the reserve is 4 MiB, so that a small disk of its own can be filled too.
"""

import errno
import os
from pathlib import Path
from typing import Any

from dynamo.storage import files
from dynamo.storage.port import EngineOptions
from dynamo_node import engines
from dynamo_node.cli import main

SICK = Path(os.environ["SICK"])
SMALL = {"segment_bytes": 1 << 20, "log_bytes_max": 3 << 20, "disk_reserve_bytes": 4 << 20}

_Healthy = files.OsFiles


class SickFiles(_Healthy):
    """The real directory, unless it is told to be sick."""

    def fdatasync(self, handle: int) -> None:
        """EIO if told."""
        if (SICK / "fsync-fails").exists():
            raise files._translated(OSError(errno.EIO, "Input/output error"), "sync", self._path)
        super().fdatasync(handle)

    def create(self, name: str, size: int, *, written: bool = True) -> None:
        """ENOSPC if told."""
        if (SICK / "no-room").exists():
            raise files._translated(OSError(errno.ENOSPC, "No space left"), "create", name)
        super().create(name, size, written=written)

    def free_bytes(self) -> int:
        """Nothing if told."""
        return 0 if (SICK / "no-room").exists() else super().free_bytes()


def small(**options: Any) -> EngineOptions:
    """The node's options on a small disk."""
    return EngineOptions(**{**options, **SMALL})


if __name__ == "__main__":
    from dynamo.storage import opening

    opening.OsFiles = SickFiles  # type: ignore[misc]
    engines.EngineOptions = small  # type: ignore[assignment,misc]
    main()
