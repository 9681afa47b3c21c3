"""Promise P1 at its root: no group whose `run` returned is lost, at whatever call power fails."""

from itertools import count
from random import Random

import pytest
from storage_world import SMALL, StorageWorld

from dynamo.storage.port import Durability
from dynamo.storage.recovery import Recovery
from dynamo.testing.disk import PowerLost

Contents = dict[bytes, bytes]


class Script:
    """A seeded run of groups and checkpoints, beside what the disk then owes us."""

    def __init__(self, world: StorageWorld, seed: int) -> None:
        self.world = world
        self.rng = Random(seed)
        self.owed: Contents = {}
        """After the last group that returned (in `interval`: the last that was synced)."""
        self.later: list[Contents] = []
        """After each group since: the disk may hold any one of these instead."""

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._write_group()
            if self.world.options.durability == "interval" and self.rng.random() < 0.3:
                self.world.engine.sync()
                self.settle()
            if self.rng.random() < 0.15:
                self._checkpoint()

    def check(self, recovery: Recovery) -> None:
        """What was found is what was owed, or that and some of the later groups, each whole."""
        found = self.world.contents()
        assert found in [self.owed, *self.later]
        assert not recovery.damaged
        self.owed, self.later = found, []

    def settle(self) -> None:
        self.owed, self.later = (self.later or [self.owed])[-1], []

    def _write_group(self) -> None:
        now = dict((self.later or [self.owed])[-1])
        for _ in range(self.rng.randint(1, 4)):
            key = b"%02d" % self.rng.randrange(20)
            value = None if self.rng.random() < 0.2 else self.rng.randbytes(self.rng.randrange(400))
            self.world.put(key, value)
            if value is None:
                now.pop(key, None)
            else:
                now[key] = value
        self.later.append(now)
        self.world.group()
        if self.world.options.durability == "fsync":
            self.settle()

    def _checkpoint(self) -> None:
        checkpoint = self.world.engine.begin_checkpoint()
        if checkpoint is None:
            return
        for step in checkpoint.slices():
            step()
            if self.rng.random() < 0.3:
                self._write_group()
        self.world.engine.checkpointed(checkpoint)


def run_until_power_fails(call: int, seed: int) -> bool:
    """A run whose n-th call is its last; whether the power failed before the script's end."""
    world = StorageWorld()
    script = Script(world, seed)
    world.files.power_fails_at = call
    failed = True
    try:
        world.open()
        script.run(12)
        world.engine.close_clean()
        failed = False
    except PowerLost:
        pass
    world.lose_power(Random(call * 7919 + seed))
    script.check(world.open())
    script.run(3)
    world.lose_power(Random(call))
    script.check(world.open())
    return failed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_no_returned_group_is_lost_at_any_call(seed: int) -> None:
    calls = next(call for call in count(1) if not run_until_power_fails(call, seed))
    assert calls > 40, "the script passes through rollover, recycling and checkpoints"


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["fsync", "interval"])
@pytest.mark.parametrize("seed", range(6))
def test_many_lives_of_one_disk(seed: int, durability: Durability) -> None:
    world = StorageWorld(SMALL._replace(durability=durability))
    script = Script(world, seed)
    chance = Random(seed)
    for _ in range(60):
        world.files.power_fails_at = world.files.calls + chance.randint(1, 60)
        try:
            script.check(world.open())
            script.run(chance.randint(0, 10))
            if chance.random() < 0.3:
                world.engine.close_clean()
                script.settle()
        except PowerLost:
            pass
        if durability == "fsync" and chance.random() < 0.3:
            world.files.process_crash()
        else:
            world.lose_power(chance)
    world.open()
    world.checkpoint()
    assert len(world.segments()) <= 4, "the current one and spares; crashes leave nothing behind"


def test_a_crash_of_the_process_alone_keeps_what_was_written() -> None:
    world = StorageWorld(SMALL._replace(durability="interval"))
    world.open()
    world.write({b"key": b"value"})
    world.files.process_crash()
    assert world.open().groups_replayed == 1
    world.write({b"other": b"value"})
    world.engine.sync()
    world.lose_power(Random(0))
    recovery = world.open()
    assert not recovery.damaged, "what was replayed was synced before it was built upon"
    assert world.contents() == {b"key": b"value", b"other": b"value"}
