"""Words that arrive when the world has moved on: acknowledgements, fences, questions.

Stories that the simulator found, told by hand.
"""

from itertools import count

from kernel_cluster import CART, CLIENT, KernelCluster, done

from dynamo.messages import ASK_OUTCOME, AskOutcome, OutcomeDone, Persisted, PutDone
from dynamo.types import NodeId, OperationId

KEY = b"cart of alice"
_IDS = count(1000)


def ask(cluster: KernelCluster, at: str, operation: OperationId) -> int:
    """Begin a question; its messages wait on the wires."""
    id = next(_IDS)
    cluster.hear(at, AskOutcome(ASK_OUTCOME, id, 0, 0, CART, KEY, b"", operation), CLIENT)
    return id


def state(cluster: KernelCluster, id: int) -> str:
    """The answer to a question."""
    answer = cluster.answers[id]
    assert isinstance(answer, OutcomeDone), answer
    return answer.state


def test_an_acknowledgement_to_an_earlier_start_counts_for_no_later_write() -> None:
    """n2's disk is slow: what it acknowledges at last was asked by a start of n1 that is gone."""
    cluster = KernelCluster()
    slow = cluster.machines[NodeId("n2")]
    assert slow.engine is not None
    slow.disk_stopped = True
    cluster.stop("n3")
    cluster.begin_put("n1", KEY, b"of the first start", settle=True)
    group = slow.engine.take_group()
    assert group is not None
    cluster.lose_disk("n1")
    cluster.start("n1")
    later = cluster.begin_put("n1", b"another key", b"of the second start", settle=True)
    group.run()
    cluster.feed(slow.name, Persisted(slow.engine.synced(group)))
    cluster.settle()
    assert later not in cluster.answers, "only n1 holds it"
    slow.disk_stopped = False
    cluster.settle()
    assert isinstance(cluster.answers[later], PutDone)


def test_a_fence_does_not_cover_a_write_that_began_while_the_owners_were_asked() -> None:
    cluster = KernelCluster()
    done(cluster.put("n2", KEY, b"old"))
    cluster.hold("n2", "n1")
    cluster.hold("n3", "n1")
    question = ask(cluster, "n1", cluster.operation())
    cluster.settle()
    cluster.begin_put("n1", KEY, b"meanwhile", settle=True)
    cluster.release()
    cluster.pass_ms(500)
    assert state(cluster, question) == "not applied"
    for reader in ("n1", "n2", "n3"):
        assert cluster.values(reader, KEY) == [b"meanwhile", b"old"]


def test_a_question_that_races_its_write_takes_nothing_along() -> None:
    """n1 says that it does not know the write, and then takes it, before the fence arrives: what
    the write replaced is gone already, so the write must stand."""
    cluster = KernelCluster()
    context = done(cluster.put("n1", KEY, b"replaced"))
    operation = cluster.operation()
    cluster.hold("n1", "n2")
    cluster.hold("n1", "n3")
    question = ask(cluster, "n2", operation)
    cluster.settle()
    cluster.begin_put("n1", KEY, b"the write", context, operation, settle=True)
    cluster.release()
    cluster.pass_ms(500)
    assert state(cluster, question) == "unknown"
    assert cluster.values("n3", KEY, r=3) == [b"the write"]
    assert cluster.outcome("n3", KEY, operation) == "applied"


def test_a_fence_that_one_owner_lacks_is_not_told() -> None:
    """The first question fenced two owners off; the third took the write before it heard of it."""
    cluster = KernelCluster()
    operation = cluster.operation()
    cluster.hold("n2", "n1")
    first = ask(cluster, "n2", operation)
    cluster.settle()
    cluster.held.clear()
    cluster.hold("n2", "n1")
    cluster.begin_put("n1", KEY, b"the write", None, operation, settle=True)
    cluster.release()
    cluster.pass_ms(2000)
    told = {state(cluster, first), cluster.outcome("n3", KEY, operation)}
    shown = cluster.values("n1", KEY, r=3)
    assert ("not applied" in told) != (b"the write" in shown)
