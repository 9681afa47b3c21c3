"""What a start makes of its log: torn tails are cut, damage is told, old segments stay old."""

from random import Random

import pytest
from storage_world import SMALL, StorageWorld

from dynamo.errors import CorruptData
from dynamo.storage.segment import HEADER_BYTES, SECTOR_BYTES, group_at, sound_groups

VALUE = bytes(range(256))


@pytest.fixture
def world() -> StorageWorld:
    made = StorageWorld()
    assert made.open().fresh
    return made


def write_groups(world: StorageWorld, count: int, name: str = "k") -> None:
    for number in range(count):
        world.write({f"{name}{number}".encode(): VALUE})


def place_of_group(world: StorageWorld, number: int) -> tuple[str, int]:
    """(file, offset) of a group in the log."""
    for name in world.segments():
        data = world.files.read(name)
        for offset in range(HEADER_BYTES, len(data), SECTOR_BYTES):
            group = group_at(data, offset, int(name.removeprefix("log-")))
            if group is not None and group.number == number:
                return name, offset
    raise AssertionError(f"group {number} is nowhere")


def test_a_new_directory_is_fresh_until_something_was_written() -> None:
    world = StorageWorld()
    assert world.open().fresh
    assert world.open().fresh
    world.write({b"a": b"1"})
    assert not world.open().fresh


def test_groups_are_replayed_and_states_with_them(world: StorageWorld) -> None:
    world.write({b"a": b"1", b"b": b"2"})
    world.engine.put_meta("boot", b"4")
    world.write({b"a": None})
    world.lose_power(Random(1))
    recovery = world.open()
    assert (recovery.groups_replayed, recovery.damaged, recovery.clean) == (2, False, False)
    assert recovery.bytes_replayed > 0
    assert world.contents() == {b"b": b"2"}
    assert world.engine.get_meta("boot") == b"4"


def test_a_torn_tail_is_cut(world: StorageWorld) -> None:
    write_groups(world, 3)
    name, offset = place_of_group(world, 3)
    world.files.flip(name, offset + 60)
    recovery = world.open()
    assert not recovery.damaged
    assert sorted(world.contents()) == [b"k0", b"k1"]


def test_unsynced_groups_behind_a_torn_one_are_cut_with_it() -> None:
    world = StorageWorld(SMALL._replace(durability="interval"))
    world.open()
    write_groups(world, 4)
    world.files.power_loss(NthSectorsOnly())
    recovery = world.open()
    assert not recovery.damaged
    assert recovery.torn_bytes > 0
    assert world.contents() == {b"k0": VALUE}


class NthSectorsOnly(Random):
    """Drops the second group's sector and keeps everything else (one sector holds one group)."""

    def randint(self, a: int, b: int) -> int:
        return b

    def choice(self, options):  # type: ignore[no-untyped-def]
        self.drawn = getattr(self, "drawn", 0) + 1
        return options[0] if self.drawn == 2 else options[1]


def test_a_cut_tail_never_comes_back() -> None:
    """Its numbers were given again; once a checkpoint covers those, they must not look next."""
    world = StorageWorld(SMALL._replace(durability="interval"))
    world.open()
    write_groups(world, 4)
    world.files.power_loss(NthSectorsOnly())
    world.open()
    world.write({b"k2": b"newer"})  # takes the number of the group that was torn
    world.engine.sync()
    world.checkpoint()
    world.lose_power(Random(3))
    recovery = world.open()
    assert not recovery.damaged
    assert world.contents() == {b"k0": VALUE, b"k2": b"newer"}


@pytest.mark.parametrize("number", [1, 2, 7])
def test_damage_below_a_synced_number_is_told_and_the_rest_replayed(
    world: StorageWorld, number: int
) -> None:
    write_groups(world, 12)
    assert len(world.segments()) >= 2, "the damage may lie in an older segment"
    name, offset = place_of_group(world, number)
    world.files.flip(name, offset + 60)
    for _ in range(2):
        recovery = world.open()
        assert recovery.damaged, "also at the next start, until a checkpoint"
    assert len(world.contents()) == 11
    world.write({b"after": b"1"})
    assert world.open().damaged
    world.checkpoint()
    assert not world.open().damaged
    assert len(world.contents()) == 12


def test_a_segment_that_is_shorter_than_it_was_made_is_damage(world: StorageWorld) -> None:
    write_groups(world, 4)
    name, offset = place_of_group(world, 3)
    world.files.cut(name, offset)
    recovery = world.open()
    assert recovery.damaged, "groups were acknowledged behind the cut"
    assert sorted(world.contents()) == [b"k0", b"k1"]


def test_a_lost_segment_is_damage(world: StorageWorld) -> None:
    write_groups(world, 12)
    world.files.remove(world.segments()[0])
    assert world.open().damaged


def test_a_lost_current_segment_is_damage(world: StorageWorld) -> None:
    write_groups(world, 2)
    world.checkpoint()
    write_groups(world, 2)
    for name in world.segments():
        world.files.remove(name)
    assert world.open().damaged


def test_a_lost_table_is_damage(world: StorageWorld) -> None:
    write_groups(world, 2)
    world.checkpoint()
    world.table.values.clear()
    world.table.meta.clear()
    recovery = world.open()
    assert recovery.damaged
    assert not recovery.fresh


def test_a_damaged_position_is_corrupt_data(world: StorageWorld) -> None:
    world.table.meta["engine position"] = b"nonsense"
    with pytest.raises(CorruptData, match="engine position"):
        world.open()


def test_a_damaged_segment_header_is_damage_only_where_groups_follow(world: StorageWorld) -> None:
    write_groups(world, 1)
    world.files.flip(world.segments()[0], 3)
    assert world.open().damaged
    assert world.contents() == {b"k0": VALUE}


def test_a_newer_log_format_is_refused_with_a_sentence(world: StorageWorld) -> None:
    write_groups(world, 1)
    (name,) = world.segments()
    world.files.flip(name, len(b"dynamo-kv log\n") + 1, 0x02)
    recovery = world.open()
    assert recovery.damaged, "a bit alone does not make a format: the checksum covers it"


def test_recycled_segments_are_not_replayed(world: StorageWorld) -> None:
    for round_number in range(8):
        write_groups(world, 9, name=f"r{round_number}-")
        world.checkpoint()
    stale = [
        group
        for name in world.segments()
        for generation in range(int(name.removeprefix("log-")))
        for group in sound_groups(world.files.read(name), generation)
    ]
    assert stale, "recycled segments still hold sound groups of their former lives"
    world.write({b"last": b"1"})
    world.lose_power(Random(5))
    recovery = world.open()
    assert recovery.groups_replayed <= 9
    assert not recovery.damaged
    assert len(world.contents()) == 8 * 9 + 1


def test_a_clean_stop_replays_nothing_and_is_forgotten_at_once(world: StorageWorld) -> None:
    write_groups(world, 20)
    world.engine.put_meta("boot", b"1")
    world.put(b"waits", b"1", 7)
    assert world.engine.close_clean() == [7]
    recovery = world.open()
    assert (recovery.clean, recovery.groups_replayed) == (True, 0)
    assert len(world.contents()) == 21
    assert world.engine.get_meta("boot") == b"1"
    assert not world.open().clean
    world.write({b"more": b"1"})
    recovery = world.open()
    assert (recovery.clean, recovery.groups_replayed, recovery.damaged) == (False, 1, False)


def test_a_clean_stop_finishes_what_was_left_half_way(world: StorageWorld) -> None:
    world.put(b"a", b"1", "a")
    world.group()
    checkpoint = world.engine.begin_checkpoint()
    assert checkpoint is not None
    next(checkpoint.slices())()
    world.put(b"b", b"2", "b")
    assert world.engine.take_group() is not None
    world.put(b"c", b"3", "c")
    assert world.engine.close_clean() == ["b", "c"]
    assert world.open().clean
    assert world.contents() == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_crash_after_crash_without_a_write_leaves_no_heap_of_segments(world: StorageWorld) -> None:
    write_groups(world, 1)
    for seed in range(10):
        world.lose_power(Random(seed))
        assert world.open().groups_replayed == 1
    assert len(world.segments()) <= 5, "one that holds the group, one to go on in, three spares"
