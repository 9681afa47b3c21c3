"""The disk of one node is full when it shall be, and not because others write."""

import shutil
from pathlib import Path

import pytest

from dynamo_bench.chaos import ballast as module
from dynamo_bench.chaos.ballast import CUSHION_BYTES, ROOM_BYTES, Ballast


class Disk:
    """A disk on which others keep some bytes; the ballast's file holds none in truth."""

    def __init__(self, ballast: Path, free_bytes: int) -> None:
        self._ballast, self.free_bytes = ballast, free_bytes

    def usage(self, path: Path) -> object:
        held = self._ballast.stat().st_size if self._ballast.exists() else 0
        return shutil._ntuple_diskusage(0, 0, self.free_bytes - held)  # type: ignore[attr-defined]

    @staticmethod
    def allocate(fd: int, offset: int, length: int) -> None:
        module.os.truncate(fd, offset + length)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(tmp_path / "ballast", 20 << 30)
    monkeypatch.setattr(module.shutil, "disk_usage", made.usage)
    monkeypatch.setattr(module.os, "posix_fallocate", made.allocate)
    return made


def free_bytes(disk: Disk, tmp_path: Path) -> int:
    return int(module.shutil.disk_usage(tmp_path).free)


def test_free_room_is_above_the_reserve_or_below_whatever_others_do(
    disk: Disk, tmp_path: Path
) -> None:
    ballast = Ballast(tmp_path)
    assert ballast.is_possible
    for others_bytes in (0, CUSHION_BYTES // 2, CUSHION_BYTES, -CUSHION_BYTES):
        disk.free_bytes = (20 << 30) - others_bytes
        ballast.give_back()
        ballast._adjust()
        assert free_bytes(disk, tmp_path) == ballast.reserve_bytes + ROOM_BYTES
        ballast.take()
        ballast._adjust()
        assert free_bytes(disk, tmp_path) == ballast.reserve_bytes - ROOM_BYTES


def test_a_small_disk_is_left_alone(disk: Disk, tmp_path: Path) -> None:
    disk.free_bytes = module.FREE_BYTES_MIN - 1
    assert not Ballast(tmp_path).is_possible
