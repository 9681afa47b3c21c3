"""A session that two sides may change at once: it stays revoked, and a touch is never lost.

    merge(a, b) = revoked   a or b          once ended, nothing brings it back
                  expires   the later       a touch only ever extends
                  created   the earlier

A join of four ordered fields, so commutative, associative and idempotent. A session's id is its
secret: it is made of 128 random bits, never logged, and stored only as a hash, so that neither the
store's keys nor its operation ids tell it.
"""

import hashlib
import re
from collections.abc import Iterable
from enum import Enum
from functools import reduce
from typing import Any, NamedTuple

from dynamo_shop.errors import Ended, NotThere, Refused, Unreadable

TTL_MS_DEFAULT = 24 * 3600 * 1000
TTL_MS_MIN, TTL_MS_MAX = 1_000, 30 * 24 * 3600 * 1000
ID_BYTES = 16

_FORMAT = 1
_ID = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}")


class State(Enum):
    """What may be done with a session."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Session(NamedTuple):
    """Everything known of a session but its id."""

    user_id: str
    created_ms: int
    ttl_ms: int
    expires_ms: int
    revoked: bool = False

    def merged(self, other: "Session") -> "Session":
        """The session that knows what both know."""
        return Session(
            max(self.user_id, other.user_id),
            min(self.created_ms, other.created_ms),
            max(self.ttl_ms, other.ttl_ms),
            max(self.expires_ms, other.expires_ms),
            self.revoked or other.revoked,
        )

    def state(self, now_ms: int) -> State:
        """Revoked, or else expired, or else active."""
        if self.revoked:
            return State.REVOKED
        return State.ACTIVE if now_ms < self.expires_ms else State.EXPIRED


def merged(sessions: Iterable[Session]) -> Session:
    """One session of all siblings. Raises NotThere."""
    known = list(sessions)
    if not known:
        raise NotThere("there is no such session")
    return reduce(Session.merged, known)


def created(user_id: str, ttl_ms: int, now_ms: int) -> Session:
    """A new session; `ttl_ms` 0: the default. Raises Refused."""
    ttl_ms = ttl_ms or TTL_MS_DEFAULT
    if not TTL_MS_MIN <= ttl_ms <= TTL_MS_MAX:
        raise Refused("ttl_ms", f"ttl_ms {ttl_ms} is not within {TTL_MS_MIN:,} to {TTL_MS_MAX:,}")
    return Session(user_id, now_ms, ttl_ms, now_ms + ttl_ms)


def touched(session: Session, now_ms: int) -> Session:
    """The session, living for its whole length from now on. Raises Ended."""
    state = session.state(now_ms)
    if state is not State.ACTIVE:
        raise Ended(f"the session is {state.value}")
    return session._replace(expires_ms=max(session.expires_ms, now_ms + session.ttl_ms))


def revoked(session: Session) -> Session:
    """The session, ended for good."""
    return session._replace(revoked=True)


def store_key(session_id: str) -> bytes:
    """Under which key a session is kept. Raises Refused, without a word of the id."""
    if not _ID.fullmatch(session_id):
        raise Refused(
            "session_id", f"a session id has {2 * ID_BYTES} hexadecimal digits in lower case"
        )
    return hashlib.sha256(session_id.encode()).digest()


def as_value(session: Session) -> list[Any]:
    """What is stored; `from_value` is its inverse."""
    return [_FORMAT, *session]


def from_value(value: Any) -> Session:
    """The session of a stored value. Raises Unreadable."""
    try:
        format, user_id, created_ms, ttl_ms, expires_ms, is_revoked = value
        numbers = (int(created_ms), int(ttl_ms), int(expires_ms))
    except (TypeError, ValueError) as error:
        raise Unreadable(f"the table holds what is no session: {error}") from error
    if format != _FORMAT:
        raise Unreadable(f"a session of format {format!r}; this service reads {_FORMAT}")
    return Session(str(user_id), *numbers, bool(is_revoked))
