"""P10: two members with the same ring epoch have the same ring; concurrent joins are safe."""

import pytest
from epochs_world import NAMES, EpochsWorld, ring_of

from dynamo.membership.change import Change, Quorum, Report
from dynamo.membership.plan import Join, plan_of
from dynamo.membership.topology import Topology, cancelled, joint
from dynamo.ring.ring import Member
from dynamo.types import NodeId

N1, N2, N3, N4, N5 = NAMES
QUORUMS = (Quorum(1, 1, 1),)


def join(world: EpochsWorld, by: NodeId, newcomer: NodeId) -> Topology:
    """The joint epoch that this member would commit."""
    before = world.running(by).topology
    planned = plan_of(Join(Member(newcomer, newcomer, "", 1.0)), before.ring)
    return joint(before, planned.target, f"join {newcomer}")


def calm(seed: int = 1) -> EpochsWorld:
    world = EpochsWorld(seed, loss=0.0, double=0.0)
    world.run(100)
    return world


@pytest.mark.parametrize("seed", range(40))
def test_of_two_joins_committed_at_once_one_wins_and_the_other_is_told_by_which(seed: int) -> None:
    world = calm(seed)
    tickets = {N4: world.propose_topology(N1, join(world, N1, N4))}
    tickets[N5] = world.propose_topology(N2, join(world, N2, N5))
    world.run(5000)
    told = {newcomer: world.told[ticket] for newcomer, ticket in tickets.items()}
    assert sorted(word.verdict for word in told.values()) == ["lost", "won"]
    (winner,) = (newcomer for newcomer, word in told.items() if word.verdict == "won")
    for word in told.values():
        assert word.topology == world.latest()
        assert word.topology.change == f"join {winner}"
    # Every member holds the winner's ring; who lost is no member and was told of no epoch.
    (loser,) = {N4, N5} - {winner}
    held = {name: world.running(name).topology for name in NAMES}
    assert all(held[name] == world.latest() for name in (N1, N2, N3, winner))
    assert held[loser] == world.first
    world.check_agreement()


def rivals(seed: int) -> tuple[EpochsWorld, list[str]]:
    """Two joins at once, on a network that loses and doubles, one of the voters crashing."""
    world = EpochsWorld(seed, loss=0.2, double=0.2)
    world.run(100)
    tickets = [world.propose_topology(N1, join(world, N1, N4))]
    world.run(world.random.choice((0.0, 1.0, 5.0, 20.0)))
    tickets.append(world.propose_topology(N2, join(world, N2, N5)))
    world.run(world.random.uniform(0, 30))
    world.crash(world.random.choice((N1, N2, N3)))
    world.run(5000)
    world.loss = world.double = 0.0
    for name in NAMES:
        world.start(name)
        world.link_all(name)
    world.run(20_000)
    return world, [world.told[ticket].verdict for ticket in tickets if ticket in world.told]


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(4))
def test_in_trouble_too_no_epoch_has_two_rings_and_no_two_joins_win(batch: int) -> None:
    """A proposer that crashed is told nothing; the others' verdicts stay true."""
    seen: dict[str, int] = {}
    for seed in range(batch * 250, (batch + 1) * 250):
        world, verdicts = rivals(seed)
        world.check_agreement()
        assert verdicts.count("won") <= world.latest().epoch - 1
        for verdict in verdicts:
            seen[verdict] = seen.get(verdict, 0) + 1
    assert seen["won"] > 100
    assert seen["lost"] > 50


def test_the_loser_can_join_after_the_winner() -> None:
    world = calm()
    world.propose_topology(N1, join(world, N1, N4))
    world.run(5000)
    assert finish(world, N1) == "won"
    ticket = world.propose_topology(N2, join(world, N2, N5))
    world.run(5000)
    assert world.told[ticket].verdict == "won"
    assert finish(world, N3) == "won"
    assert world.latest().ring.members == ring_of(NAMES).members
    assert world.latest().epoch == 5


def finish(world: EpochsWorld, by: NodeId) -> str:
    """All report, and a member proposes the final epoch; what it is told."""
    change = Change(world.latest(), QUORUMS)
    for name in world.latest().members:
        change.heard(name, Report(world.latest().epoch, world.machines[name].life, {}))
    ticket = world.propose_topology(by, change.finished())
    world.run(5000)
    return world.told[ticket].verdict


def test_several_members_that_end_one_change_decide_one_final_epoch() -> None:
    world = calm()
    world.propose_topology(N1, join(world, N1, N4))
    world.run(5000)
    change = Change(world.latest(), QUORUMS)
    for name in (N1, N2, N3, N4):
        change.heard(name, Report(world.latest().epoch, world.machines[name].life, {}))
    tickets = [world.propose_topology(name, change.finished()) for name in (N1, N2, N3)]
    world.run(5000)
    assert {world.told[ticket].verdict for ticket in tickets} == {"won"}
    assert world.latest().epoch == 3


@pytest.mark.parametrize("seed", range(20))
def test_a_cancel_and_an_end_at_once_are_one_or_the_other(seed: int) -> None:
    world = calm(seed)
    world.propose_topology(N1, join(world, N1, N4))
    world.run(5000)
    before = world.latest()
    change = Change(before, QUORUMS)
    for name in (N1, N2, N3, N4):
        change.heard(name, Report(before.epoch, world.machines[name].life, {}))
    end = world.propose_topology(N1, change.finished())
    cancel = world.propose_topology(N2, cancelled(before, change.lives()))
    world.run(5000)
    assert sorted(world.told[ticket].verdict for ticket in (end, cancel)) == ["lost", "won"]
    assert world.latest().epoch == 3


@pytest.mark.parametrize("seed", range(20))
def test_a_vote_is_carried_to_its_end_when_the_proposer_is_gone(seed: int) -> None:
    """Simulator's seed 3140: who knew what was decided was gone, and all others waited."""
    world = calm(seed)
    wanted = join(world, N1, N4)
    world.propose_topology(N1, wanted)
    while not world.kept(N2).acceptor.value:
        world.run(0.1)
    for name in (N1, N2, N3):
        world.crash(name)
    world.start(N2)
    world.start(N3)
    world.run(10_000)
    assert [world.running(name).topology for name in (N2, N3, N4)] == [wanted] * 3
    world.check_agreement()


def test_a_minority_decides_nothing_and_says_so() -> None:
    world = calm()
    wanted = join(world, N1, N4)
    world.crash(N2)
    world.crash(N3)
    ticket = world.propose_topology(N1, wanted)
    world.run(5000)
    assert world.told[ticket].verdict == "open"
    assert world.latest().epoch == 1


def test_a_member_that_lost_its_disk_has_no_vote() -> None:
    """It has forgotten what it promised: with n3 stopped, n1 alone is no majority."""
    world = calm()
    world.lose_disk(N2)
    world.start(N2)
    world.crash(N3)
    ticket = world.propose_topology(N1, join(world, N1, N4))
    world.run(5000)
    assert world.told[ticket].verdict == "open"


def test_a_join_can_be_cancelled_when_the_newcomer_died() -> None:
    world = calm()
    world.propose_topology(N1, join(world, N1, N4))
    world.run(5000)
    world.crash(N4)
    world.crash(N3)
    ticket = world.propose_topology(N1, cancelled(world.latest(), {}))
    world.run(5000)
    assert world.told[ticket].verdict == "won"
    assert world.latest().ring.members == ring_of((N1, N2, N3)).members
