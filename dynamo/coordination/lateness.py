"""Requests that waited on their way: in a buffer of a node that stood still, on a lossy network.

    put, 300 ms ───▶ ... 450 ms later ───▶ node      refused: nobody waits for it any more
    put, 300 ms ───▶ ... 100 ms later ───▶ node      begun, with 200 ms left

Law: no request is begun after its deadline, reckoned from when it was sent. Whoever asked has given
up by then, and may have written through another coordinator; others have replaced that value since,
and where more of them did than a record remembers operations, the late attempt would bring it back.
And a node that is behind does not fall further behind by work that nobody waits for.
"""

from typing import Any

from dynamo.coordination.scope import Scope
from dynamo.errors import Code, Failure
from dynamo.messages import ASK_OUTCOME, GET, PUT, Effect, Received, Send, failed

OLD_MS = 50.0
"""Younger messages are taken as they are, for a busy node has many that waited a little."""

_REQUESTS = frozenset((PUT, GET, ASK_OUTCOME))
_LATE = Failure(Code.DEADLINE_EXCEEDED, "the request arrived after its deadline")


def in_time(event: Received, scope: Scope) -> tuple[Received, list[Effect]]:
    """What of a frame is still to be done, with the time that is left; refusals of the rest."""
    taken: list[tuple[Any, ...]] = []
    refused: list[Effect] = []
    for raw in event.messages:
        # Anybody may have sent it: what is none of these is for `parse` to judge.
        if raw and raw[0] in _REQUESTS and len(raw) > 2 and type(raw[1]) is type(raw[2]) is int:
            left_ms = scope.timeout_ms(raw[2]) - int(event.age_ms)
            if left_ms <= 0:
                scope.meters.too_late += 1
                refused.append(Send(event.source, failed(raw[1], _LATE)))
                continue
            raw = (*raw[:2], left_ms, *raw[3:])
        taken.append(raw)
    return Received(event.source, taken), refused
