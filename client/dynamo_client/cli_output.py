"""What `dynamo` says: sentences for people, one JSON object for machines (docs/cli.md).

The result goes to stdout, everything else to stderr. Bytes that are not text become
`{"base64": …}` in JSON and `base64:…` for people.
"""

import json
import math
import sys
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Any

import msgpack

from dynamo.errors import Code, DynamoError, Failure, InvalidContext, InvalidRequest, Unavailable
from dynamo_client.codecs import MSGPACK, Codec
from dynamo_client.errors import NoNodeAnswered, NotFound, OutcomeUnknown, Siblings

DONE, NOT_APPLIED, WRONG_USAGE, NOT_FOUND, UNKNOWN = range(5)
"""Exit statuses."""

START_HINT = (
    "Is the cluster running? Start one with `make run` or `dynamo-node up`, or name a node with "
    "--seeds HOST:PORT."
)


def emit(value: dict[str, Any]) -> None:
    """The one JSON object of a `--json` command."""
    print(json.dumps(plain(value), ensure_ascii=False, indent=2, allow_nan=False))


def tell(lines: Iterable[str], notes: Iterable[str] = ()) -> None:
    """The result for people, and what stands beside it."""
    for line in lines:
        print(line)
    for line in notes:
        print(line, file=sys.stderr)


def plain(value: Any) -> Any:
    """The value in what JSON has."""
    if isinstance(value, dict):
        return {_name(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, msgpack.ExtType):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return _text(value) if _is_text(value) else {"base64": b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def shown(value: Any) -> str:
    """The value on one or more lines for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _text(value) if _is_text(value) else f"base64:{b64encode(value).decode()}"
    return json.dumps(plain(value), ensure_ascii=False)


def context_text(context: bytes) -> str:
    """A context as a word for the command line."""
    return urlsafe_b64encode(context).rstrip(b"=").decode()


def context_from(text: str) -> bytes:
    """The inverse. Raises InvalidContext."""
    try:
        return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        raise InvalidContext("the context is not one that `dynamo` printed") from None


def failed(error: DynamoError, json_wanted: bool, is_write: bool) -> int:
    """Tell what went wrong; the exit status."""
    if json_wanted:
        emit(_as_json(error))
    else:
        tell((), _as_lines(error, is_write))
    return status_of(error)


def status_of(error: DynamoError) -> int:
    """The exit status of an error."""
    if isinstance(error, InvalidRequest):
        return WRONG_USAGE
    if isinstance(error, NotFound):
        return NOT_FOUND
    return UNKNOWN if isinstance(error, OutcomeUnknown) else NOT_APPLIED


def lenient(codec: Codec = MSGPACK) -> Codec:
    """The codec, except that bytes which it did not write are shown as they are."""

    def decode(payload: bytes) -> Any:
        try:
            return codec.decode(payload)
        except Exception:
            return payload

    return codec._replace(decode=decode)


def _as_lines(error: DynamoError, is_write: bool) -> list[str]:
    if isinstance(error, NoNodeAnswered):
        return [f"dynamo: {error}. {START_HINT}"]
    if isinstance(error, OutcomeUnknown):
        return [
            f"unknown: {error.failure.sentence()}",
            f"operation id: {error.operation_id}",
            f"ask later: dynamo outcome {error.operation_id}",
        ]
    if isinstance(error, Unavailable) and is_write:
        return [f"not applied: {error}"]
    return [f"dynamo: {error}"]


def _as_json(error: DynamoError) -> dict[str, Any]:
    told: dict[str, Any] = {"error": error.kind, "message": str(error)}
    if isinstance(error, Unavailable):
        failure = error.failure
        told |= {"outcome": error.outcome, **_counts(failure)}
    if isinstance(error, OutcomeUnknown):
        told["operation_id"] = error.operation_id
    if isinstance(error, Siblings):
        told |= {"values": error.values, "context": context_text(error.context)}
    return told


def _counts(failure: Failure) -> dict[str, Any]:
    return {
        "code": Code(failure.code).name.lower(),
        "needed": failure.needed,
        "got": failure.got,
        "asked": failure.asked,
        "causes": dict(failure.causes),
        "retry_after_ms": failure.retry_after_ms,
    }


def _name(key: Any) -> str:
    return key if isinstance(key, str) else shown(key)


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(value: bytes) -> str:
    return value.decode()
