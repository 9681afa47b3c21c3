"""A checkpoint's number covers what was frozen and nothing that is written afterwards."""

from random import Random

from storage_world import StorageWorld


def test_what_is_written_after_the_freeze_is_in_no_group_that_the_checkpoint_covers() -> None:
    """The simulator found it: a write that joined the waiting group after the freeze was neither
    in the checkpoint nor, for its number, in the log that a start replays."""
    world = StorageWorld()
    world.open()
    world.put(b"a", b"before")
    assert world.engine.begin_checkpoint() is None, "the log has still to sync what is frozen"
    world.put(b"a", b"after")
    assert world.group()
    world.checkpoint()
    world.lose_power(Random(1))
    world.open()
    assert world.get(b"a") == b"after"
