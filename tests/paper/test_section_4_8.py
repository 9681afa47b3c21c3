"""Section 4.8 of "Dynamo: Amazon's Highly Available Key-value Store" (SOSP 2007): gossip (4.8.1)
and failure detection (4.8.3). One test per claim, with the idea in our own words.

Where we differ: peers without traffic between them are asked now and then, so that the first
request after a quiet night does not find out what the night has brought.
"""

from math import log2

import pytest
from kernel_cluster import KernelCluster, done

from dynamo.testing.gossip import Crowd, spread
from dynamo.testing.neighbourhood import Neighbourhood
from dynamo.types import NodeId

KEY = b"alice"
N1, N2 = NodeId("n1"), NodeId("n2")


def reads_sent(cluster: KernelCluster, count: int) -> int:
    """Replica reads among nodes, for so many reads at n1."""
    before = cluster.sent["ReplicaGet"]
    for _ in range(count):
        assert cluster.values("n1", KEY) == [b"v"]
    return cluster.sent["ReplicaGet"] - before


def test_4_8_3_a_may_take_b_for_failed_though_b_answers_c() -> None:
    town = Neighbourhood(3)
    town.run(3000)
    town.cut |= {(N1, N2), (N2, N1)}
    town.run(3000)
    assert "n2" in town.suspects("n1")
    assert "n2" not in town.suspects("n3")
    assert "n1" not in town.suspects("n3")


def test_4_8_3_who_does_not_answer_is_passed_by() -> None:
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"v"))
    cluster.pass_ms(500)
    cluster.hold("n1", "n3")
    cluster.hold("n3", "n1")
    cluster.pass_ms(1500)
    seen = cluster.kernel("n1").status()["members"]["n3"]
    assert (seen["state"], seen["answers"]) == ("alive", False), "n2 vouches for it"
    before = len(cluster.wires)
    assert reads_sent(cluster, 5) == 5, "one question per read, to n2"
    assert len(cluster.wires) == before, "and none that n3 would have to answer"


def test_4_8_3_it_is_asked_again_and_again_and_noticed_when_it_is_back() -> None:
    cluster = KernelCluster()
    cluster.hold("n1", "n3")
    cluster.hold("n3", "n1")
    cluster.pass_ms(1500)
    assert not cluster.kernel("n1").status()["members"]["n3"]["answers"]
    cluster.release()
    cluster.pass_ms(200)
    seen = cluster.kernel("n1").status()["members"]["n3"]
    assert (seen["state"], seen["answers"]) == ("alive", True)


def test_4_8_3_with_steady_traffic_nobody_is_asked_for_the_sake_of_asking() -> None:
    cluster = KernelCluster()
    for _ in range(50):
        done(cluster.put("n1", KEY, b"v"))
        cluster.pass_ms(20)
    probes = cluster.sent["Probe"]
    cluster.pass_ms(1000)
    assert cluster.sent["Probe"] > 2 * probes, "(n2 and n3 had no traffic with each other)"


def test_4_8_3_a_failure_moves_nothing() -> None:
    """Permanent changes are an operator's; who is dead keeps its place on the ring."""
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"v"))
    owners = cluster.ring.preference_list(cluster.place(KEY)[0], 3)
    cluster.crash("n3")
    moved = cluster.sent["ReplicaPut"]
    cluster.pass_ms(5000)
    assert cluster.kernel("n1").status()["members"]["n3"]["state"] == "dead"
    assert cluster.ring.preference_list(cluster.place(KEY)[0], 3) == owners
    assert cluster.sent["ReplicaPut"] == moved


@pytest.mark.parametrize("members", [10, 100])
def test_4_8_1_a_change_reaches_everybody_by_pairs_that_meet_at_random(members: int) -> None:
    assert spread(members, 1, seed=4).rounds <= 2 * log2(members) + 2


def test_4_8_1_two_that_meet_reconcile_and_say_nothing_more_when_they_agree() -> None:
    crowd = Crowd(10, seed=1)
    crowd.pass_round()
    quiet = crowd.bytes
    crowd.pass_round()
    assert crowd.bytes == 2 * quiet
    assert crowd.agree()
