"""Epochs under thousands of seeds: lost, doubled and late words, crashes, lost disks, rivals."""

import pytest
from epochs_world import NAMES, EpochsWorld

pytestmark = pytest.mark.slow

SEEDS_A_BATCH = 250


def life_of_a_cluster(seed: int) -> EpochsWorld:
    """Two seconds of proposals, often several at once, and of misfortune; then it heals."""
    world = EpochsWorld(seed, size=seed % 3 + 1)
    for _ in range(world.random.randint(3, 8)):
        world.run(world.random.uniform(0, 250))
        _misfortune(world)
        running = [name for name in NAMES if world.machines[name].epochs is not None]
        for name in world.random.sample(running, min(len(running), world.random.randint(1, 3))):
            members = world.random.sample(NAMES, world.random.randint(1, len(NAMES)))
            world.propose(name, members)
    world.run(500)
    world.loss = world.double = 0.0
    for name in NAMES:
        world.start(name)
        world.link_all(name)
    world.run(60_000)
    return world


def _misfortune(world: EpochsWorld) -> None:
    """Crash, restart or, seldom, lose a disk."""
    draw, name = world.random.random(), world.random.choice(NAMES)
    if draw < 0.3:
        world.crash(name)
    elif draw < 0.6:
        world.start(name)
    elif draw < 0.66:
        world.lose_disk(name)


@pytest.mark.parametrize("batch", range(8))
def test_no_epoch_ever_has_two_rings(batch: int) -> None:
    decided = won = lost = 0
    for seed in range(batch * SEEDS_A_BATCH, (batch + 1) * SEEDS_A_BATCH):
        world = life_of_a_cluster(seed)
        verdicts = [told.verdict for told in world.told.values()]
        decided += len(world.decided) - 1
        won, lost = won + verdicts.count("won"), lost + verdicts.count("lost")
    assert decided > 2 * SEEDS_A_BATCH, "the seeds decide too little to show anything"
    assert won > SEEDS_A_BATCH
    assert lost > SEEDS_A_BATCH / 10


def test_after_it_healed_a_change_is_decided_and_everybody_learns_it() -> None:
    healed = 0
    for seed in range(200):
        world = life_of_a_cluster(seed)
        if not world.can_decide():
            continue
        healed += 1
        epoch = world.latest().epoch
        first = world.latest().voters[0].node
        ticket = 0
        while world.latest().epoch == epoch or world.told[ticket].verdict != "won":
            ticket = world.propose(first, NAMES, 10_000.0)
            world.run(20_000)
            assert world.latest().epoch > epoch, f"seed {seed}: nothing is decided"
        for name in NAMES:
            epochs = world.machines[name].epochs
            assert epochs is not None
            assert epochs.topology == world.latest(), f"seed {seed}: {name} learned nothing"
    assert healed > 100


def test_disks_lost_one_after_the_other_leave_a_majority() -> None:
    for seed in range(100):
        world = EpochsWorld(seed, size=4)
        for name in NAMES[:3]:
            world.run(world.random.uniform(0, 250))
            world.lose_disk(name)
            world.start(name)
            world.run(20_000)
            assert world.machines[name].voter() in world.latest().voters, f"seed {seed}: {name}"
        assert world.can_decide()
        assert world.latest().epoch == 4, f"seed {seed}: more epochs than lost disks"


def test_a_seed_repeats_itself() -> None:
    one, other = life_of_a_cluster(7), life_of_a_cluster(7)
    assert one.decided == other.decided
    assert one.told == other.told
