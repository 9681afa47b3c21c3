"""A full disk that anybody may make: ballast holds the free room above one node's reserve, or not.

    |── data ──|── ballast ──|──────── free ────────|        room: free = reserve + ROOM
    |── data ──|──── ballast ────|── free ──|                full: free = reserve - ROOM
                                |── reserve ──────|

Other programs use the disk too, so the ballast is made smaller or larger as they come and go: it
starts as large as what they may take meanwhile. Real blocks are taken (`posix_fallocate`), and
given back at the end.
"""

import asyncio
import os
import shutil
from pathlib import Path

ROOM_BYTES = 1 << 30
"""Between free room and the reserve. Higher: other programs may write faster without filling the
node before its time."""
CUSHION_BYTES = 4 << 30
"""Ballast at the start. Higher: other programs may keep more."""
FREE_BYTES_MIN = 16 << 30
"""With less free room than this the fault is left out: a bench must not fill anybody's disk."""
ADJUST_S = 0.1


class Ballast:
    """Room that is taken and given back; while it is kept, it follows what others use."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "ballast"
        self._free_bytes = shutil.disk_usage(directory).free
        self._target_bytes = 0

    @property
    def is_possible(self) -> bool:
        """Whether the disk is large enough to play with."""
        return self._free_bytes >= FREE_BYTES_MIN

    @property
    def reserve_bytes(self) -> int:
        """What the node that shall fill up must keep in reserve (`disk_reserve_bytes`)."""
        return self._free_bytes - CUSHION_BYTES - ROOM_BYTES

    async def keep(self) -> None:
        """Hold the free room where it shall be, until cancelled."""
        try:
            self.give_back()
            while True:
                await asyncio.to_thread(self._adjust)
                await asyncio.sleep(ADJUST_S)
        finally:
            self._file.unlink(missing_ok=True)

    def take(self) -> None:
        """From now on the disk is full, as far as that node is concerned."""
        self._target_bytes = self.reserve_bytes - ROOM_BYTES

    def give_back(self) -> None:
        """From now on there is room."""
        self._target_bytes = self.reserve_bytes + ROOM_BYTES

    def _adjust(self) -> None:
        with self._file.open("ab") as file:
            size = os.fstat(file.fileno()).st_size
            wanted = size + shutil.disk_usage(self._file.parent).free - self._target_bytes
            if wanted < size:
                file.truncate(max(wanted, 0))
            elif wanted > size:
                os.posix_fallocate(file.fileno(), size, wanted - size)
