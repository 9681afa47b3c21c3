"""Reads while links come and go: failure is said as soon as success is impossible."""

from kernel_cluster import CART, CLIENT, KernelCluster, done

from dynamo.errors import Code
from dynamo.messages import GET, Failed, Get, GetDone, ReplicaGet, failure_of
from dynamo.types import NodeId

N1 = NodeId("n1")
KEY = b"alice"


def begun(cluster: KernelCluster, at: str = "n1", r: int = 2) -> int:
    """A read under way whose questions are on the wires."""
    cluster.hear(at, Get(GET, 500, 0, 0, CART, KEY, b"", r))
    return 500


def test_a_replica_that_is_lost_is_replaced_by_the_next() -> None:
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"v"))
    id = begun(cluster)
    (asked,) = [to for source, to, _ in cluster.wires if source == "n1"]
    cluster.crash(str(asked))
    cluster.settle()
    assert isinstance(cluster.answers[id], GetDone)


def test_both_others_lost_is_a_failure_at_once() -> None:
    """The second was no candidate any more when the first one was lost."""
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"v"))
    id = begun(cluster)
    (asked,) = [to for source, to, _ in cluster.wires if source == "n1"]
    (other,) = {"n2", "n3"} - {str(asked)}
    cluster.crash(other)
    cluster.crash(str(asked))
    cluster.settle()
    answer = cluster.answers.get(id)
    assert isinstance(answer, Failed), "it waits for a node that is known to be gone"
    failure = failure_of(answer)
    assert failure.code == Code.QUORUM_NOT_REACHED
    assert (failure.needed, failure.got) == (2, 1)
    assert {node for node, _ in failure.causes} == {"n2", "n3"}


def test_a_hedge_goes_to_a_linked_node_only() -> None:
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"v"))
    begun(cluster)
    (asked,) = [to for source, to, _ in cluster.wires if source == "n1"]
    (other,) = {"n2", "n3"} - {str(asked)}
    cluster.hold("n1", str(asked))
    cluster.crash(other)
    cluster.pass_ms(100)
    assert not [to for _, to, _ in cluster.wires if to == other]


def test_a_read_that_nobody_else_is_needed_for_sends_nothing() -> None:
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"v"))
    id = begun(cluster, r=1)
    assert [(to, message.id) for _, to, message in cluster.wires] == [(CLIENT, id)]  # type: ignore[union-attr]


def test_no_hedge_is_spent_on_one_that_owes_a_word_but_in_place_of_another_such() -> None:
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"v"))
    cluster.hold("n1", "n3")
    cluster.hold("n3", "n1")
    cluster.pass_ms(1500)
    begun(cluster)
    cluster.hold("n1", "n2")
    cluster.hold("n2", "n1")
    waiting = len(cluster.wires)
    cluster.pass_ms(100)
    assert cluster.machines[N1].meters.hedges == 0
    asked = [to for _, to, message in list(cluster.wires)[waiting:] if type(message) is ReplicaGet]
    assert asked == [], "n2 is slow, but n3 does not answer at all"
    cluster.pass_ms(200)
    assert cluster.machines[N1].meters.hedges == 1, "now n2 owes a word as well"
