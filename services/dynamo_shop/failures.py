"""Every error as a gRPC status: one table, and for the store's a FailureInfo that says what became
of a write.

    Refused, Full, …  -> status code + sentence
    Unavailable, …    -> the same + google.rpc.Status [ dynamo.v1.FailureInfo, RetryInfo ]
"""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc import StatusCode
from grpc_status import rpc_status

from dynamo_client import (
    CannotDecode,
    Closed,
    CorruptData,
    DeadlineExceeded,
    DynamoError,
    OutcomeUnknown,
    Overloaded,
    TooManySiblings,
    Unavailable,
    ValueTooLarge,
)
from dynamo_protos import kv_pb2
from dynamo_shop.errors import (
    Ended,
    Full,
    NotThere,
    Refused,
    ShopError,
    Stopping,
    TooLate,
    Unreadable,
)

STATUS: tuple[tuple[type[Exception], StatusCode], ...] = (
    (Refused, StatusCode.INVALID_ARGUMENT),
    (NotThere, StatusCode.NOT_FOUND),
    (Ended, StatusCode.FAILED_PRECONDITION),
    (Full, StatusCode.RESOURCE_EXHAUSTED),
    (Stopping, StatusCode.UNAVAILABLE),
    (TooLate, StatusCode.DEADLINE_EXCEEDED),
    (Unreadable, StatusCode.DATA_LOSS),
    (DeadlineExceeded, StatusCode.DEADLINE_EXCEEDED),
    (Overloaded, StatusCode.RESOURCE_EXHAUSTED),
    (Unavailable, StatusCode.UNAVAILABLE),
    (ValueTooLarge, StatusCode.RESOURCE_EXHAUSTED),
    (TooManySiblings, StatusCode.RESOURCE_EXHAUSTED),
    (Closed, StatusCode.UNAVAILABLE),
    (CannotDecode, StatusCode.DATA_LOSS),
    (CorruptData, StatusCode.DATA_LOSS),
    (DynamoError, StatusCode.INTERNAL),
    (ShopError, StatusCode.INTERNAL),
)
"""The first row that fits counts. What the store calls an invalid request is none of the caller's:
the rules have looked at that; so it is INTERNAL."""

MESSAGE_CHARS_MAX = 1024
OPERATION_CHARS_MAX = 4096
"""Trailers above 8 KiB would be refused as a whole."""


def code_of(error: Exception) -> StatusCode:
    """The status code of an error of the shop or the store."""
    if isinstance(error, OutcomeUnknown):
        late = isinstance(error.failure.error(), DeadlineExceeded)
        return StatusCode.DEADLINE_EXCEEDED if late else StatusCode.UNAVAILABLE
    return next(code for kind, code in STATUS if isinstance(error, kind))


def status_of(error: DynamoError | ShopError, writes: bool) -> grpc.Status:
    """What `abort_with_status` wants; `writes`: the call changes something."""
    message = str(error)
    if isinstance(error, OutcomeUnknown):
        message += "; repeat the call to be sure"
    details = _details(error, writes) if isinstance(error, Unavailable) else []
    status: grpc.Status = rpc_status.to_status(
        Status(code=code_of(error).value[0], message=message[:MESSAGE_CHARS_MAX], details=details)
    )
    return status


def _details(error: Unavailable, writes: bool) -> list[Any]:
    failure = error.failure
    outcome: kv_pb2.Outcome.ValueType = kv_pb2.OUTCOME_UNSPECIFIED
    if writes:
        outcome = kv_pb2.OUTCOME_UNKNOWN if failure.unknown else kv_pb2.OUTCOME_NOT_APPLIED
    operation = error.operation_id if isinstance(error, OutcomeUnknown) else ""
    info = kv_pb2.FailureInfo(
        code=kv_pb2.FailureCode.ValueType(failure.code),
        kind=error.kind,
        needed=failure.needed,
        got=failure.got,
        asked=failure.asked,
        causes=[kv_pb2.Cause(node=node, cause=cause) for node, cause in failure.causes],
        outcome=outcome,
        operation_id=operation if len(operation) <= OPERATION_CHARS_MAX else "",
        retry_after_ms=failure.retry_after_ms,
    )
    details = [_packed(info)]
    if failure.retry_after_ms:
        wait = Duration()
        wait.FromMilliseconds(failure.retry_after_ms)
        details.append(_packed(RetryInfo(retry_delay=wait)))
    return details


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
