"""One table: every code has an exception, a fault and a status that grpc knows."""

import grpc
import pytest

from dynamo.errors import (
    ERRORS,
    GRPC_STATUS,
    Code,
    CorruptData,
    DynamoError,
    Failure,
    InvalidRequest,
    QuorumNotReached,
    Unavailable,
)
from dynamo.messages import Failed, failed, failure_of


def all_kinds(kind: type[DynamoError]) -> list[type[DynamoError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in all_kinds(child))]


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_an_exception_and_a_status(code: Code) -> None:
    kind = ERRORS[code]
    assert issubclass(kind, InvalidRequest | Unavailable | CorruptData)
    status = grpc.StatusCode[GRPC_STATUS[code]]
    assert status not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
    error = Failure(code, "a reason", unknown=True).error()
    assert type(error) is kind
    assert "a reason" in str(error)


@pytest.mark.parametrize("code", list(Code))
def test_a_failure_survives_the_wire(code: Code) -> None:
    failure = Failure(code, "why", 2, 1, 3, (("n3", "unreachable"),), True, 50)
    assert failure_of(failed(7, failure)) == failure
    assert failed(7, failure).id == 7


def test_the_tables_have_no_other_rows_and_numbers_never_change() -> None:
    assert set(ERRORS) == set(GRPC_STATUS) == set(Code)
    assert [code.value for code in Code] == list(range(1, 15))


def test_a_callers_fault_is_never_said_to_be_worth_another_try() -> None:
    retryable = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED"}
    for code, kind in ERRORS.items():
        assert issubclass(kind, Unavailable) == (GRPC_STATUS[code] in retryable)


def test_a_code_of_a_later_version_is_an_unavailability() -> None:
    message = failed(1, Failure(Code.OVERLOADED, "why"))
    later = Failed(*message[:2], 999, *message[3:])
    assert isinstance(failure_of(later).error(), Unavailable)


def test_kinds_are_short_stable_words_and_tell_the_own_errors_apart() -> None:
    ours = [kind for kind in all_kinds(DynamoError) if kind.__module__ == "dynamo.errors"]
    words = [kind.kind for kind in ours]
    assert len(set(words)) == len(words)
    assert all(word == word.lower() and len(word) < 30 for word in words)


def test_an_unavailability_says_what_became_of_a_write() -> None:
    failure = Failure(Code.QUORUM_NOT_REACHED, "", 2, 1, 3, (("n2", "gone"), ("n3", "slow")))
    error = failure.error()
    assert isinstance(error, QuorumNotReached)
    assert str(error) == "quorum not reached: needed 2, got 1 of 3 asked (n2: gone, n3: slow)"
    assert error.outcome == "not applied"
    assert QuorumNotReached(failure._replace(unknown=True)).outcome == "unknown"
