"""Every error has a status of its own, and a failure of the store says what became of the write."""

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

import dynamo_client
from dynamo.errors import Code, Failure
from dynamo_client import DynamoError, OutcomeUnknown, Overloaded, QuorumNotReached
from dynamo_protos import kv_pb2
from dynamo_shop import errors
from dynamo_shop.calls import MARGIN_MS_MAX, TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX, timeout_of
from dynamo_shop.errors import Busy, Full, NotThere, Refused, ShopError, Unsettled
from dynamo_shop.failures import code_of, status_of

NO_QUORUM = Failure(Code.QUORUM_NOT_REACHED, needed=2, got=1, asked=3, causes=(("n2", "dead"),))


def detail_of(status: grpc.Status, kind: Any) -> Any:
    """The one detail of a kind; None without."""
    (trailer,) = [value for key, value in status.trailing_metadata if key.startswith("grpc-status")]
    assert len(trailer) < 6 * 1024, "clients refuse trailers above 8 KiB, and this one is encoded"
    found = [detail for detail in Status.FromString(trailer).details if detail.Is(kind.DESCRIPTOR)]
    if not found:
        return None
    (packed,) = found
    message = kind()
    packed.Unpack(message)
    return message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("f", "x"), StatusCode.INVALID_ARGUMENT),
        (NotThere("x"), StatusCode.NOT_FOUND),
        (Full("x"), StatusCode.RESOURCE_EXHAUSTED),
        (Busy("x"), StatusCode.RESOURCE_EXHAUSTED),
        (Unsettled("x"), StatusCode.DEADLINE_EXCEEDED),
        (QuorumNotReached(NO_QUORUM), StatusCode.UNAVAILABLE),
        (Overloaded(Failure(Code.OVERLOADED)), StatusCode.RESOURCE_EXHAUSTED),
        (Failure(Code.DEADLINE_EXCEEDED).error(), StatusCode.DEADLINE_EXCEEDED),
        (OutcomeUnknown(NO_QUORUM, "op"), StatusCode.UNAVAILABLE),
        (OutcomeUnknown(Failure(Code.DEADLINE_EXCEEDED), "op"), StatusCode.DEADLINE_EXCEEDED),
        (Failure(Code.INVALID_CONTEXT).error(), StatusCode.INTERNAL),
        (Failure(Code.CORRUPT_DATA).error(), StatusCode.DATA_LOSS),
        (DynamoError("x"), StatusCode.INTERNAL),
    ],
)
def test_each_error_has_its_code(error: Exception, code: StatusCode) -> None:
    assert code_of(error) is code


def test_no_error_is_without_a_code() -> None:
    kinds = [
        kind
        for module in (errors, dynamo_client)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ShopError | DynamoError)
    ]
    assert len(kinds) > 20
    for kind in kinds:
        if kind is not OutcomeUnknown:
            assert isinstance(code_of(kind.__new__(kind)), StatusCode)


def test_an_unknown_outcome_is_said() -> None:
    error = OutcomeUnknown(NO_QUORUM._replace(retry_after_ms=50), "the-operation")
    status = status_of(error, writes=True)
    assert "whether the write was applied is unknown; repeat the call" in status.details
    assert detail_of(status, ErrorInfo).metadata["outcome"] == "unknown"
    assert detail_of(status, RetryInfo).retry_delay.ToMilliseconds() == 50
    info = detail_of(status, kv_pb2.FailureInfo)
    assert info.outcome == kv_pb2.OUTCOME_UNKNOWN
    assert (info.operation_id, info.needed, info.got, info.asked) == ("the-operation", 2, 1, 3)
    assert (info.causes[0].node, info.retry_after_ms) == ("n2", 50)


def test_a_failed_write_and_a_failed_read_are_told_apart() -> None:
    error = QuorumNotReached(NO_QUORUM)
    write, read = status_of(error, writes=True), status_of(error, writes=False)
    assert detail_of(write, kv_pb2.FailureInfo).outcome == kv_pb2.OUTCOME_NOT_APPLIED
    assert detail_of(read, kv_pb2.FailureInfo).outcome == kv_pb2.OUTCOME_UNSPECIFIED
    assert detail_of(write, ErrorInfo).metadata["outcome"] == "not applied"
    assert not detail_of(read, ErrorInfo).metadata


@pytest.mark.parametrize(
    ("error", "reason", "outcome"),
    [
        (Refused("f", "x"), "INVALID", "not applied"),
        (Full("x"), "FULL", "not applied"),
        (Unsettled("x"), "OUTCOME_UNKNOWN", "unknown"),
        (QuorumNotReached(NO_QUORUM), "QUORUM_NOT_REACHED", "not applied"),
        (OutcomeUnknown(NO_QUORUM, "op"), "OUTCOME_UNKNOWN", "unknown"),
    ],
)
def test_each_error_has_a_reason_and_of_a_change_the_outcome(
    error: ShopError | DynamoError, reason: str, outcome: str
) -> None:
    info = detail_of(status_of(error, writes=True), ErrorInfo)
    assert (info.domain, info.reason, info.metadata["outcome"]) == ("shop.v1", reason, outcome)


def test_a_refusal_names_the_field() -> None:
    status = status_of(Refused("price.units", "units -1 of the price …"), writes=True)
    (violation,) = detail_of(status, BadRequest).field_violations
    assert (violation.field, violation.description) == ("price.units", "units -1 of the price …")


def test_who_meets_a_busy_shop_is_told_when_to_come_again() -> None:
    assert detail_of(status_of(Busy("x"), writes=False), RetryInfo).retry_delay.ToMilliseconds() > 0
    assert detail_of(status_of(Full("x"), writes=False), RetryInfo) is None


def test_the_longest_error_reaches_a_client() -> None:
    failure = NO_QUORUM._replace(message="\N{OGHAM LETTER BEITH}" * 4000, unknown=True)
    status = status_of(OutcomeUnknown(failure, "o" * 5000), writes=True)
    assert len(status.details.encode()) <= 1024
    assert detail_of(status, kv_pb2.FailureInfo).operation_id == ""


@pytest.mark.parametrize(
    ("remaining_s", "timeout_ms"),
    [
        (None, TIMEOUT_MS_DEFAULT),
        (0.1, 99 * 0.9),
        (2.0, 1980 - MARGIN_MS_MAX),
        (1e9, TIMEOUT_MS_MAX - MARGIN_MS_MAX),
        (0.0, 0),
    ],
)
def test_the_store_gets_what_is_left(remaining_s: float | None, timeout_ms: float) -> None:
    assert timeout_of(remaining_s) == pytest.approx(timeout_ms)
