"""Who believes what of whom, as stories: a way that is cut, a pause, a node that comes and goes.

Each story is what the nodes said to themselves, one line per change of mind, with the simulated
millisecond before it. Timing is the preset `lan`.
"""

from textwrap import dedent

from dynamo.testing.neighbourhood import Neighbourhood
from dynamo.types import NodeId

N1, N2 = NodeId("n1"), NodeId("n2")


def settled(nodes: int = 4) -> Neighbourhood:
    """Nodes that have known each other for a while."""
    town = Neighbourhood(nodes, seed=1)
    town.run(10_000)
    assert town.story == []
    return town


def told(town: Neighbourhood, story: str) -> bool:
    """Whether exactly this happened."""
    actual = "\n".join(line.strip() for line in town.story)
    assert actual == dedent(story).strip(), f"\n{actual}"
    return True


def test_a_cut_way_is_gone_around_and_harms_nobody() -> None:
    """n1 hears nothing of n2 any more; the others reach it, so it is not dead, and only n1 keeps
    its requests away from it."""
    town = settled()
    town.cut |= {(N1, N2), (N2, N1)}
    town.run(5_000)
    assert town.suspects("n1") == {N2}
    assert all(not town.suspects(name) for name in ("n3", "n4"))
    town.cut.clear()
    town.run(1_000)
    assert not town.suspects("n1")
    assert told(
        town,
        """
        10562 n2: n1 is suspect
        10563 n2: n1 is alive, by hearsay
        10584 n1: n2 is suspect
        10585 n1: n2 is alive, by hearsay
        15084 n1: n2 is alive
        15112 n2: n1 is alive
        """,
    )


def test_a_pause_is_noticed_and_denied() -> None:
    town = settled()
    town.pause("n4")
    town.run(4_000)
    town.resume("n4")
    town.run(1_000)
    assert town.nodes[NodeId("n4")].meters.refutations == 1
    assert told(
        town,
        """
        10000 n4 is stopped
        10312 n2: n4 is suspect
        10434 n1: n4 is suspect
        10541 n3: n4 is suspect
        14000 n4 goes on
        14012 n2: n4 is alive
        14034 n1: n4 is alive
        14041 n3: n4 is alive
        """,
    )


def test_who_stays_away_is_dead_and_welcome_when_it_comes_back() -> None:
    town = settled()
    town.pause("n4")
    town.run(10_000)
    town.resume("n4")
    town.run(1_000)
    assert told(
        town,
        """
        10000 n4 is stopped
        10312 n2: n4 is suspect
        10434 n1: n4 is suspect
        10541 n3: n4 is suspect
        15862 n2: n4 is dead
        15984 n1: n4 is dead
        16091 n3: n4 is dead
        20000 n4 goes on
        20012 n2: n4 is alive
        20034 n1: n4 is alive
        20041 n3: n4 is alive
        """,
    )


def test_who_stops_cleanly_has_left_and_comes_back_with_its_next_start() -> None:
    town = settled()
    town.leave("n4")
    town.run(2_000)
    town.start("n4", 2)
    town.run(2_000)
    assert told(
        town,
        """
        10000 n4 leaves
        10000 n2: n4 is left
        10000 n3: n4 is left
        10000 n1: n4 is left
        12001 n4 starts
        12001 n1: n4 is alive
        12001 n2: n4 is alive
        12001 n3: n4 is alive
        """,
    )


def test_who_comes_and_goes_is_believed_later_each_time() -> None:
    town = settled(3)
    for _ in range(5):
        town.pause("n3")
        town.run(1_500)
        town.resume("n3")
        town.run(1_500)
    town.run(30_000)
    assert told(
        town,
        """
        10000 n3 is stopped
        10562 n2: n3 is suspect
        10584 n1: n3 is suspect
        11500 n3 goes on
        11512 n2: n3 is alive
        11534 n1: n3 is alive
        13000 n3 is stopped
        14034 n1: n3 is suspect
        14312 n2: n3 is suspect
        14500 n3 goes on
        14512 n2: n3 is alive
        14534 n1: n3 is alive
        16000 n3 is stopped
        17134 n1: n3 is suspect
        17312 n2: n3 is suspect
        17500 n3 goes on
        17512 n2: n3 is not trusted, for it comes and goes
        17534 n1: n3 is not trusted, for it comes and goes
        19000 n3 is stopped
        19362 n2: n3 is alive
        19384 n1: n3 is alive
        20134 n1: n3 is suspect
        20312 n2: n3 is suspect
        20500 n3 goes on
        20512 n2: n3 is not trusted, for it comes and goes
        20534 n1: n3 is not trusted, for it comes and goes
        22000 n3 is stopped
        23134 n1: n3 is suspect
        23312 n2: n3 is suspect
        23500 n3 goes on
        23512 n2: n3 is not trusted, for it comes and goes
        23534 n1: n3 is not trusted, for it comes and goes
        29784 n1: n3 is alive
        29812 n2: n3 is alive
        """,
    )


def test_who_was_asleep_itself_blames_nobody() -> None:
    town = settled()
    town.pause("n1")
    town.run(60_000)
    town.resume("n1")
    town.run(1_000)
    assert not town.suspects("n1")
    assert not any(line.split()[1] == "n1:" for line in town.story)
