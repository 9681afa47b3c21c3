"""Requests that waited on their way: begun with the time that is left, or not at all.

Simulator, seed 42141: a put stood in the socket of a coordinator that stood still for 600 ms. Its
client, which gave up after 300, wrote the same operation through another coordinator. Others
replaced that value, and more of them than the record remembers operations (12 in that run). Then
the first coordinator woke up, found nothing of the operation in its old copy, and began it: the
replaced value was back.
"""

from typing import Any

from brain_cluster import CLIENT, BrainCluster

from dynamo.errors import Code
from dynamo.messages import (
    ASK_OUTCOME,
    GET,
    PUT,
    AskOutcome,
    Disconnect,
    Failed,
    Get,
    Put,
    PutDone,
    Received,
)
from dynamo.types import Instant, NodeId, TableId

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")
CART = TableId(1)
KEY = b"cart of alice"


def put(cluster: BrainCluster, deadline_ms: int) -> Put:
    return cluster.put_message(KEY, b"late")._replace(deadline_ms=deadline_ms)


def arrives(cluster: BrainCluster, message: Any, age_ms: float) -> Any:
    """At n1, that long after it was sent; the answer, if there is one at once."""
    cluster.feed(N1, Received(CLIENT, (tuple(message),), age_ms))
    cluster.settle()
    return cluster.answers.get(message.id)


def test_a_put_beyond_its_deadline_is_refused_and_leaves_no_trace() -> None:
    cluster = BrainCluster()
    cluster.written(N1, KEY, b"old")
    answer = arrives(cluster, put(cluster, 300), age_ms=600)
    assert isinstance(answer, Failed)
    assert (answer.code, answer.unknown) == (Code.DEADLINE_EXCEEDED, False)
    assert cluster.read(N1, KEY) == (b"old",)
    assert cluster.brains[N1].kernel.scope.meters.too_late == 1


def test_without_a_deadline_of_its_own_the_configured_one_counts() -> None:
    cluster = BrainCluster()
    configured_ms = cluster.config.timing.request_timeout_ms
    assert isinstance(arrives(cluster, put(cluster, 0), configured_ms - 1), PutDone)
    assert isinstance(arrives(cluster, put(cluster, 0), configured_ms), Failed)


def test_a_put_that_waited_has_so_much_less_time_left() -> None:
    cluster = BrainCluster()
    cluster.written(N1, KEY, b"old")
    cluster.hold(N2)
    cluster.hold(N3)
    message = put(cluster, 300)
    assert arrives(cluster, message, age_ms=200) is None
    cluster.pass_ms(90, step_ms=10)
    assert message.id not in cluster.answers
    cluster.pass_ms(40, step_ms=10)
    answer = cluster.answers[message.id]
    assert isinstance(answer, Failed)
    assert answer.unknown, "n1 holds it"


def test_reads_and_questions_that_nobody_waits_for_are_refused_too() -> None:
    cluster = BrainCluster()
    operation = put(cluster, 0).operation
    for message in (
        Get(GET, cluster.next_id(), 50, 0, CART, KEY, b"", 0),
        AskOutcome(ASK_OUTCOME, cluster.next_id(), 50, 0, CART, KEY, b"", operation),
    ):
        answer = arrives(cluster, message, age_ms=51)
        assert isinstance(answer, Failed)
        assert answer.code == Code.DEADLINE_EXCEEDED


def test_what_waited_and_is_no_request_is_taken_as_it_is() -> None:
    """Acknowledgements, hellos, garbage: each for whom it concerns."""
    brain = BrainCluster().brains[N1]
    for raw in ((), (PUT,), (PUT, "x", 5), (PUT, 1, None), (99, 1, 1)):
        (effect,) = brain.handle(Received(CLIENT, (raw,), 10_000.0), Instant(0.0, 0))
        assert isinstance(effect, Disconnect)
