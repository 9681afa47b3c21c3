"""The simulated disk forgets what was not synced, in every way a real one may, and nothing else."""

from random import Random

import pytest

from dynamo.errors import StorageFailed
from dynamo.storage.files import SECTOR_BYTES, DiskFull
from dynamo.testing.disk import PowerLost, SimulatedFiles

NEW = b"\xaa" * SECTOR_BYTES
OLD = bytes(SECTOR_BYTES)


def disk_with_file(sectors: int = 4) -> tuple[SimulatedFiles, int]:
    files = SimulatedFiles()
    files.create("file", sectors * SECTOR_BYTES)
    files.sync_directory()
    return files, files.open("file")


def test_synced_bytes_survive_every_power_loss() -> None:
    for seed in range(20):
        files, handle = disk_with_file()
        files.pwrite(handle, b"safe", 510)
        files.fdatasync(handle)
        files.power_loss(Random(seed))
        assert files.read("file")[510:514] == b"safe"


def test_each_unsynced_sector_is_kept_dropped_or_torn_on_its_own() -> None:
    fates = set()
    for seed in range(60):
        files, handle = disk_with_file(2)
        files.pwrite(handle, NEW + NEW, 0)
        files.power_loss(Random(seed))
        data = files.read("file")
        fates.add(tuple(fate(data[start : start + SECTOR_BYTES]) for start in (0, SECTOR_BYTES)))
    names = ("kept", "dropped", "torn")
    assert fates == {(one, other) for one in names for other in names}


def fate(sector: bytes) -> str:
    kept = len(sector.rstrip(b"\x00"))
    assert sector == NEW[:kept] + OLD[kept:], "a torn sector is new at first, then old"
    return "kept" if kept == SECTOR_BYTES else "torn" if kept else "dropped"


def test_a_write_inside_a_sector_lays_itself_over_earlier_unsynced_ones() -> None:
    files, handle = disk_with_file()
    files.pwrite(handle, b"first", 500)
    files.pwrite(handle, b"second", 508)
    assert files.read("file")[500:514] == b"first\x00\x00\x00second"
    files.fdatasync(handle)
    assert files.read("file")[500:514] == b"first\x00\x00\x00second"


def test_unsynced_names_are_kept_in_order_up_to_some_point() -> None:
    found = set()
    for seed in range(30):
        files = SimulatedFiles()
        files.create("a", 512)
        files.sync_directory()
        files.rename("a", "b")
        files.create("c", 512)
        files.remove("b")
        files.power_loss(Random(seed))
        found.add(tuple(files.list()))
    assert found == {("a",), ("b",), ("b", "c"), ("c",)}


def test_a_crash_of_the_process_loses_nothing_but_the_handles() -> None:
    files, handle = disk_with_file()
    files.pwrite(handle, b"unsynced", 0)
    files.process_crash()
    assert files.read("file").startswith(b"unsynced")
    with pytest.raises(KeyError):
        files.fdatasync(handle)


def test_a_failed_sync_drops_what_it_should_have_saved() -> None:
    files, handle = disk_with_file()
    files.pwrite(handle, b"gone", 0)
    files.fail_next("fdatasync")
    with pytest.raises(StorageFailed):
        files.fdatasync(handle)
    files.fdatasync(handle)
    assert files.read("file")[:4] == bytes(4)


def test_the_disk_has_an_end_and_a_pace() -> None:
    files = SimulatedFiles(capacity_bytes=1000)
    files.create("a", 600)
    with pytest.raises(DiskFull):
        files.create("b", 600)
    assert (files.list(), files.free_bytes()) == (["a"], 400)
    files.sync_ms = 7.0
    files.sync_directory()
    files.fdatasync(files.open("a"))
    assert (files.take_delay_ms(), files.take_delay_ms()) == (14.0, 0.0)


def test_power_fails_at_the_call_that_was_named_and_only_there() -> None:
    files, handle = disk_with_file()
    files.power_fails_at = files.calls + 2
    files.pwrite(handle, b"x", 0)
    with pytest.raises(PowerLost, match="fdatasync"):
        files.fdatasync(handle)
    files.power_loss(Random(0))
    files.fdatasync(files.open("file"))


def test_flipped_bits_and_a_wiped_disk() -> None:
    files, handle = disk_with_file()
    files.pwrite(handle, b"A", 0)
    files.fdatasync(handle)
    files.flip("file", 0, 0x20)
    assert files.read("file")[:1] == b"a"
    files.wipe()
    assert files.list() == []
