"""Every error as a gRPC status: a code, a sentence, and details for programs.

every error  -> google.rpc.ErrorInfo: a reason, and of a change what became of it
Refused      -> google.rpc.BadRequest: the field
Unavailable  -> dynamo.v1.FailureInfo: the counts and causes of the store
Busy, …      -> google.rpc.RetryInfo: how long to wait
"""

from collections.abc import Iterator

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
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
    Busy,
    Ended,
    Full,
    NotThere,
    Refused,
    ShopError,
    Stopping,
    TooLate,
    Unreadable,
    Unsettled,
)

STATUS: tuple[tuple[type[Exception], StatusCode], ...] = (
    (Refused, StatusCode.INVALID_ARGUMENT),
    (NotThere, StatusCode.NOT_FOUND),
    (Ended, StatusCode.FAILED_PRECONDITION),
    (Full, StatusCode.RESOURCE_EXHAUSTED),
    (Busy, StatusCode.RESOURCE_EXHAUSTED),
    (Stopping, StatusCode.UNAVAILABLE),
    (TooLate, StatusCode.DEADLINE_EXCEEDED),
    (Unsettled, StatusCode.DEADLINE_EXCEEDED),
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

DOMAIN = "shop.v1"
RETRY_AFTER_MS = 50
"""What a caller is asked to wait where the shop itself is busy."""
MESSAGE_BYTES_MAX = 1024
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
    if _is_open(error):
        message += "; repeat the call to be sure"
    message = message.encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore")
    details = [_packed(detail) for detail in _details(error, writes)]
    status: grpc.Status = rpc_status.to_status(
        Status(code=code_of(error).value[0], message=message, details=details)
    )
    return status


def _details(error: DynamoError | ShopError, writes: bool) -> Iterator[Message]:
    reason = error.reason if isinstance(error, ShopError) else error.kind.upper().replace(" ", "_")
    known = {"outcome": "unknown" if _is_open(error) else "not applied"} if writes else {}
    yield ErrorInfo(reason=reason, domain=DOMAIN, metadata=known)
    if isinstance(error, Refused):
        violation = BadRequest.FieldViolation(field=error.field, description=str(error))
        yield BadRequest(field_violations=[violation])
    wait_ms = RETRY_AFTER_MS if isinstance(error, Busy) else 0
    if isinstance(error, Unavailable):
        yield _info(error, writes)
        wait_ms = error.failure.retry_after_ms
    if wait_ms:
        wait = Duration()
        wait.FromMilliseconds(wait_ms)
        yield RetryInfo(retry_delay=wait)


def _is_open(error: DynamoError | ShopError) -> bool:
    """Whether a change may have been applied."""
    return error.unknown if isinstance(error, ShopError) else isinstance(error, OutcomeUnknown)


def _info(error: Unavailable, writes: bool) -> kv_pb2.FailureInfo:
    failure = error.failure
    outcome: kv_pb2.Outcome.ValueType = kv_pb2.OUTCOME_UNSPECIFIED
    if writes:
        outcome = kv_pb2.OUTCOME_UNKNOWN if failure.unknown else kv_pb2.OUTCOME_NOT_APPLIED
    operation = error.operation_id if isinstance(error, OutcomeUnknown) else ""
    return kv_pb2.FailureInfo(
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


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
