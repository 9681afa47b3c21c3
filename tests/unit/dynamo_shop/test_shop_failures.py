"""Every error has a status of its own, and a failure of the store says what became of the write."""

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc import StatusCode

import dynamo_client
from dynamo.errors import Code, Failure
from dynamo_client import DynamoError, OutcomeUnknown, Overloaded, QuorumNotReached
from dynamo_protos import kv_pb2
from dynamo_shop import errors
from dynamo_shop.calls import MARGIN_MS_MAX, TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX, timeout_of
from dynamo_shop.errors import Full, NotThere, Refused, ShopError
from dynamo_shop.failures import code_of, status_of

NO_QUORUM = Failure(Code.QUORUM_NOT_REACHED, needed=2, got=1, asked=3, causes=(("n2", "dead"),))


def info_of(status: grpc.Status) -> kv_pb2.FailureInfo:
    (trailer,) = [value for key, value in status.trailing_metadata if key.startswith("grpc-status")]
    info = kv_pb2.FailureInfo()
    assert Status.FromString(trailer).details[0].Unpack(info)
    return info


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("x"), StatusCode.INVALID_ARGUMENT),
        (NotThere("x"), StatusCode.NOT_FOUND),
        (Full("x"), StatusCode.RESOURCE_EXHAUSTED),
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
    info = info_of(status)
    assert info.outcome == kv_pb2.OUTCOME_UNKNOWN
    assert (info.operation_id, info.needed, info.got, info.asked) == ("the-operation", 2, 1, 3)
    assert (info.causes[0].node, info.retry_after_ms) == ("n2", 50)


def test_a_failed_write_and_a_failed_read_are_told_apart() -> None:
    error = QuorumNotReached(NO_QUORUM)
    assert info_of(status_of(error, writes=True)).outcome == kv_pb2.OUTCOME_NOT_APPLIED
    assert info_of(status_of(error, writes=False)).outcome == kv_pb2.OUTCOME_UNSPECIFIED


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
