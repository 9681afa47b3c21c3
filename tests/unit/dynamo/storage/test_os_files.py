"""The real directory: zeros that are written, names that are sorted, errors that are ours."""

from pathlib import Path

import pytest

from dynamo.errors import StorageFailed
from dynamo.storage.files import DirectoryInUse, DiskFull, OsFiles


@pytest.fixture
def files(tmp_path: Path) -> OsFiles:
    return OsFiles(str(tmp_path))


def test_a_created_file_is_zeros_that_take_room(files: OsFiles, tmp_path: Path) -> None:
    size = (1 << 20) + 4096
    files.create("log", size)
    assert files.read("log") == bytes(size)
    assert (tmp_path / "log").stat().st_blocks * 512 >= size
    assert files.size("log") == size


def test_what_is_written_is_read(files: OsFiles) -> None:
    files.create("log", 4096)
    handle = files.open("log")
    files.pwrite(handle, b"hello", 512)
    files.fdatasync(handle)
    files.close(handle)
    assert files.read("log")[510:520] == b"\x00\x00hello\x00\x00\x00"


def test_names_are_sorted_and_the_lock_is_not_among_them(files: OsFiles, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("b", "a", "c"):
        files.create(name, 512)
    files.rename("c", "0")
    files.remove("b")
    files.sync_directory()
    assert files.list() == ["0", "a"]


def test_the_directory_is_held_until_released(files: OsFiles, tmp_path: Path) -> None:
    with pytest.raises(DirectoryInUse):
        OsFiles(str(tmp_path))
    files.release()
    OsFiles(str(tmp_path)).release()


def test_a_file_too_large_for_the_disk_leaves_nothing(files: OsFiles) -> None:
    with pytest.raises((DiskFull, StorageFailed)):
        files.create("huge", files.free_bytes() + (1 << 40))
    assert files.list() == []


def test_foreign_errors_become_ours(files: OsFiles, tmp_path: Path) -> None:
    for call in (files.read, files.open, files.remove, files.size):
        with pytest.raises(StorageFailed, match="No such file"):
            call("absent")
    with pytest.raises(StorageFailed):
        files.rename("absent", "x")
    with pytest.raises(StorageFailed):
        files.fdatasync(999_999)
    with pytest.raises(StorageFailed):
        files.pwrite(999_999, b"x", 0)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="cannot make"):
        OsFiles(str(tmp_path / "file"))


def test_a_directory_is_made_with_those_above_it(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    OsFiles(str(deep)).release()
    OsFiles(str(deep)).release()
    assert deep.is_dir()
