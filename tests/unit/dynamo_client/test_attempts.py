"""What each answer to an attempt means: the table at the head of `attempts`, row by row."""

import pytest

from dynamo.errors import Code, Failure
from dynamo.types import NodeId
from dynamo_client.attempts import Attempts, Step
from dynamo_client.budget import Budget

N1, N2, N3 = NodeId("n1"), NodeId("n2"), NodeId("n3")


def write(*asked: NodeId) -> Attempts:
    """A write that went to these nodes."""
    attempts = Attempts(is_write=True)
    for node in asked:
        attempts.sent(node)
    return attempts


@pytest.mark.parametrize(
    ("code", "others", "step"),
    [
        (Code.OVERLOADED, [N2], Step.ELSEWHERE),
        (Code.OVERLOADED, [], Step.LATER),
        (Code.NOT_SERVING, [N2], Step.ELSEWHERE),
        (Code.NOT_SERVING, [], Step.LATER),
        (Code.WRONG_RING, [], Step.LATER),
        (Code.CORRUPT_DATA, [N2], Step.ELSEWHERE),
        (Code.CORRUPT_DATA, [], Step.END),
        (Code.QUORUM_NOT_REACHED, [N2], Step.END),
        (Code.DEADLINE_EXCEEDED, [N2], Step.END),
        (Code.TOO_MANY_SIBLINGS, [N2], Step.END),
        (Code.WRITE_TOO_OLD, [N2], Step.END),
    ],
)
def test_a_refusal(code: Code, others: list[NodeId], step: Step) -> None:
    attempts = write(N1)
    assert attempts.refused(N1, Failure(code), others) is step
    assert not attempts.is_open


def test_a_quorum_that_another_could_reach_is_asked_of_the_other() -> None:
    failure = Failure(Code.QUORUM_NOT_REACHED, causes=(("n2", "unreachable"),))
    assert write(N1).refused(N1, failure, [N2]) is Step.ELSEWHERE
    assert write(N1).refused(N1, failure, [N3]) is Step.END


def test_a_node_silent_since_an_earlier_round_is_lost_as_any_other() -> None:
    attempts = write(N1, N2)
    attempts.refused(N2, Failure(Code.OVERLOADED), [])
    attempts.tried.clear()
    attempts.sent(N2)
    assert attempts.lost(N1, "killed") is Step.ELSEWHERE
    assert (attempts.pending, attempts.tried) == ([N2], [N2])


def test_a_lost_link_goes_elsewhere_and_leaves_a_writes_fate_open() -> None:
    attempts = write(N1)
    assert attempts.lost(N1, "killed") is Step.ELSEWHERE
    assert attempts.lost(N2, "killed") is Step.WAIT
    assert attempts.is_open
    verdict = attempts.verdict(Failure(Code.DEADLINE_EXCEEDED))
    assert verdict.unknown
    assert verdict.causes == ((N1, "killed"),)


def test_an_unanswered_attempt_keeps_an_end_waiting_and_the_fate_open() -> None:
    attempts = write(N1, N2)
    assert attempts.refused(N2, Failure(Code.TOO_MANY_SIBLINGS), []) is Step.WAIT
    assert attempts.is_open
    assert attempts.refused(N1, Failure(Code.TOO_MANY_SIBLINGS), []) is Step.END
    assert not attempts.verdict(None).unknown


def test_a_node_asked_twice_cannot_close_the_fate() -> None:
    attempts = write(N1, N1)
    attempts.refused(N1, Failure(Code.OVERLOADED), [])
    assert attempts.is_open


def test_an_unknown_failure_opens_the_fate_for_good() -> None:
    attempts = write(N1)
    attempts.refused(N1, Failure(Code.QUORUM_NOT_REACHED, unknown=True), [N2])
    attempts.sent(N2)
    attempts.refused(N2, Failure(Code.OVERLOADED), [])
    assert attempts.verdict(None).unknown


def test_a_read_has_no_fate() -> None:
    attempts = Attempts(is_write=False)
    attempts.sent(N1)
    attempts.lost(N1, "killed")
    assert not attempts.is_open
    assert not attempts.verdict(None).unknown


def test_a_budget_saves_a_share_up_to_its_burst() -> None:
    budget = Budget(share=0.25, burst=2.0)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(4):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]
    for _ in range(100):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
