"""Full disks, failed syncs, damaged values, and two processes at one directory."""

from pathlib import Path
from random import Random

import lmdb
import pytest
from storage_world import SMALL, StorageWorld

from dynamo.errors import CorruptData, StorageFailed
from dynamo.storage import DirectoryInUse, EngineOptions, LogEngine, OsFiles, open_engine
from dynamo.storage.files import DiskFull
from dynamo.storage.lmdb_table import LmdbTable
from dynamo.types import ItemKey

KEY = ItemKey(b"key")
REAL = EngineOptions(segment_bytes=1 << 16, disk_reserve_bytes=0)


@pytest.fixture
def world() -> StorageWorld:
    made = StorageWorld()
    made.open()
    return made


def fill_the_log(world: StorageWorld) -> None:
    for number in range(100):
        world.put(b"%d" % number, bytes(1500))
        world.group()


@pytest.mark.parametrize("verb", ["pwrite", "fdatasync"])
def test_after_a_failed_write_or_sync_the_log_refuses_everything(
    world: StorageWorld, verb: str
) -> None:
    world.write({b"kept": b"1"})
    world.files.fail_next(verb)
    world.put(b"lost", b"1")
    group = world.engine.take_group()
    assert group is not None
    with pytest.raises(StorageFailed, match="cannot be trusted"):
        group.run()
    with pytest.raises(StorageFailed, match="failed before"):
        group.run()
    with pytest.raises(StorageFailed, match="failed before"):
        world.engine.sync()
    world.lose_power(Random(1))
    world.open()
    assert world.contents() == {b"kept": b"1"}


def test_a_failed_sync_of_the_interval_is_as_final() -> None:
    world = StorageWorld(SMALL._replace(durability="interval"))
    world.open()
    world.write({b"a": b"1"})
    world.files.fail_next("fdatasync")
    with pytest.raises(StorageFailed):
        world.engine.sync()
    world.put(b"b", b"1")
    group = world.engine.take_group()
    assert group is not None
    with pytest.raises(StorageFailed):
        group.run()


def test_a_full_disk_refuses_writes_and_heals_once_there_is_room(world: StorageWorld) -> None:
    world.files.capacity_bytes = sum(world.files.size(name) for name in world.files.list())
    with pytest.raises(DiskFull):
        fill_the_log(world)
    assert world.engine.refusal() == "disk full"
    before = world.contents()
    world.files.capacity_bytes += 1 << 20
    world.engine.check_disk()
    assert world.engine.refusal() is None
    assert world.engine.close_clean(), "the group that found no room is written now"
    world.open()
    assert world.contents() == before


def test_a_group_that_found_no_room_can_be_run_again(world: StorageWorld) -> None:
    world.files.capacity_bytes = 4096
    world.write({b"a": bytes(1500)})
    world.put(b"b", bytes(1900), "b")
    group = world.engine.take_group()
    assert group is not None
    with pytest.raises(DiskFull):
        group.run()
    world.files.capacity_bytes = 1 << 20
    group.run()
    assert world.engine.synced(group) == ["b"]


def test_a_full_disk_is_no_reason_not_to_start(world: StorageWorld) -> None:
    world.write({b"a": b"1"})
    world.files.capacity_bytes = 0
    recovery = world.open()
    assert (recovery.groups_replayed, recovery.damaged) == (1, False)
    assert world.get(b"a") == b"1"
    assert world.engine.refusal() == "disk full"
    world.checkpoint()
    world.write({b"b": b"1"})
    assert world.open().damaged is False
    assert world.contents() == {b"a": b"1", b"b": b"1"}


def test_the_reserve_is_for_checkpoints_and_deletes(world: StorageWorld) -> None:
    options = SMALL._replace(disk_reserve_bytes=1 << 20)
    engine = LogEngine(world.files, world.table, options)
    engine.open()
    assert engine.refusal() is None
    world.files.capacity_bytes = 1 << 20
    engine.check_disk()
    assert engine.refusal() == "disk full"


def test_a_checkpoint_that_found_no_room_keeps_everything(world: StorageWorld) -> None:
    world.write({b"a": b"1", b"b": b"1"})
    checkpoint = world.engine.begin_checkpoint()
    assert checkpoint is not None
    world.put(b"b", b"2")
    world.put(b"c", b"3")
    world.engine.checkpoint_failed(checkpoint)
    assert world.engine.refusal() == "disk full"
    expected = {b"a": b"1", b"b": b"2", b"c": b"3"}
    assert world.contents() == expected
    world.group()
    world.engine.check_disk()
    assert world.engine.refusal() is None
    world.checkpoint()
    assert world.contents() == expected


def test_nothing_reaches_the_table_before_the_log_has_synced_it() -> None:
    world = StorageWorld(SMALL._replace(durability="interval"))
    world.open()
    world.write({b"a": b"1"})
    assert world.engine.begin_checkpoint() is None, "the log is not synced yet"
    world.put(b"b", b"2")
    world.engine.sync()
    checkpoint = world.engine.begin_checkpoint()
    assert checkpoint is not None, "what came after the freeze is not in it"
    for step in checkpoint.slices():
        step()
    world.engine.checkpointed(checkpoint)
    assert list(world.table.values) == [b"a"]


def test_a_write_that_waits_holds_up_the_checkpoint_that_froze_it(world: StorageWorld) -> None:
    world.put(b"a", b"1")
    assert world.engine.begin_checkpoint() is None
    assert world.engine.checkpoint_due()
    world.group()
    assert world.engine.begin_checkpoint() is not None


def test_a_damaged_value_is_caught_and_named(world: StorageWorld) -> None:
    world.write({b"bad": b"value", b"good": b"value"})
    world.checkpoint()
    world.table.values[b"bad"] = b"valve" + world.table.values[b"bad"][5:]
    with pytest.raises(CorruptData, match="bad"):
        world.get(b"bad")
    assert world.contents() == {b"good": b"value"}, "to an exchange it looks missing"
    assert list(world.engine.damaged_keys) == [b"bad"]
    world.write({b"bad": b"repaired"})
    assert world.get(b"bad") == b"repaired"


def test_a_value_read_from_under_another_key_is_caught(world: StorageWorld) -> None:
    world.write({b"one": b"1", b"two": b"2"})
    world.checkpoint()
    world.table.values[b"one"] = world.table.values[b"two"]
    with pytest.raises(CorruptData, match="one"):
        world.get(b"one")


def test_a_damaged_lmdb_value_is_caught(tmp_path: Path) -> None:
    engine, _ = open_engine(str(tmp_path), REAL)
    engine.put(KEY, b"precious" * 20, 0)
    engine.close_clean()
    with lmdb.open(str(tmp_path / "table"), max_dbs=4) as environment:
        keys = environment.open_db(b"keys")
        with environment.begin(write=True) as transaction:
            data = bytearray(transaction.get(KEY, db=keys) or b"")
            data[7] ^= 4
            transaction.put(KEY, bytes(data), db=keys)
    engine, _ = open_engine(str(tmp_path), REAL)
    with pytest.raises(CorruptData, match="key"):
        engine.get(KEY)
    engine.close()


def test_a_table_that_is_no_table_is_corrupt_data(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "data.mdb").write_bytes(b"\x07" * 40_000)
    with pytest.raises(CorruptData):
        open_engine(str(tmp_path), REAL)
    open_engine_again = OsFiles(str(tmp_path))
    open_engine_again.release()


def test_a_table_that_is_full_says_so(tmp_path: Path) -> None:
    table = LmdbTable(str(tmp_path), map_bytes=1 << 17)
    with pytest.raises(DiskFull):
        table.write([(b"%06d" % number, bytes(1000)) for number in range(500)], {})
    table.write([(b"key", b"value")], {"name": b"1"})
    assert (table.get(b"key"), table.get_meta("name")) == (b"value", b"1")
    table.close()


def test_two_openers_of_one_directory(tmp_path: Path) -> None:
    engine, _ = open_engine(str(tmp_path), REAL)
    with pytest.raises(DirectoryInUse, match="in use by another process"):
        open_engine(str(tmp_path), REAL)
    engine.close()
    engine, recovery = open_engine(str(tmp_path), REAL)
    assert recovery.fresh
    engine.close()


def test_an_engine_in_memory_needs_no_directory() -> None:
    engine, recovery = open_engine("/nowhere", EngineOptions(durability="memory"))
    assert recovery.fresh
    engine.close()
