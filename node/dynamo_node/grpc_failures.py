"""A failure as a gRPC status whose details say what became of a write.

Failure -> status code (dynamo.errors.GRPC_STATUS)
         + google.rpc.Status [ FailureInfo, RetryInfo where waiting helps ]
"""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status

from dynamo.errors import ERRORS, GRPC_STATUS, Failure
from dynamo_protos import kv_pb2

OPERATION_CHARS_MAX = 4096
"""Longer ids, which only keys beyond the default limits make, are left out: clients refuse trailers
above 8 KiB, and would then learn nothing at all."""
MESSAGE_CHARS_MAX = 1024


def status_of(failure: Failure, outcome: kv_pb2.Outcome.ValueType, operation: str) -> grpc.Status:
    """What `abort_with_status` wants; `operation` is empty for reads."""
    code = getattr(grpc.StatusCode, GRPC_STATUS[failure.code])
    details = [_packed(_info(failure, outcome, operation))]
    if failure.retry_after_ms:
        wait = Duration()
        wait.FromMilliseconds(failure.retry_after_ms)
        details.append(_packed(RetryInfo(retry_delay=wait)))
    message = failure.sentence()[:MESSAGE_CHARS_MAX]
    status: grpc.Status = rpc_status.to_status(
        Status(code=code.value[0], message=message, details=details)
    )
    return status


def _info(
    failure: Failure, outcome: kv_pb2.Outcome.ValueType, operation: str
) -> kv_pb2.FailureInfo:
    return kv_pb2.FailureInfo(
        code=kv_pb2.FailureCode.ValueType(failure.code),
        kind=ERRORS[failure.code].kind,
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
