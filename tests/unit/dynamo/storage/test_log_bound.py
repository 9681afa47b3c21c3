"""The log does not grow with time: at its bound a checkpoint is due, and its segments come back."""

from storage_world import SMALL, StorageWorld


def test_overwriting_for_ever_does_not_grow_the_log() -> None:
    world = StorageWorld()
    world.open()
    checkpoints = 0
    segments = []
    for number in range(300):
        world.write({b"hot": bytes([number % 256]) * 300})
        if world.engine.checkpoint_due():
            world.checkpoint()
            checkpoints += 1
        segments.append(len(world.segments()))
        assert world.engine.figures().log_bytes <= SMALL.log_bytes_max + SMALL.group_bytes_max
    assert checkpoints > 5, "memory alone, one record, would never have asked for one"
    assert max(segments) <= 2 + 2 * SMALL.log_bytes_max // SMALL.segment_bytes
