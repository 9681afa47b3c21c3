"""The rules of a session: how long it lives, and that its end is final."""

import pytest

from dynamo_client import MSGPACK
from dynamo_shop.errors import Ended, NotThere, Refused, Unreadable
from dynamo_shop.session import (
    TTL_MS_DEFAULT,
    TTL_MS_MAX,
    TTL_MS_MIN,
    State,
    as_value,
    created,
    from_value,
    merged,
    revoked,
    store_key,
    touched,
)

NOW_MS = 1_000_000
HOUR_MS = 3_600_000
SESSION = created("alice", HOUR_MS, NOW_MS)


def test_a_session_lives_for_its_length() -> None:
    assert SESSION.state(NOW_MS + HOUR_MS - 1) is State.ACTIVE
    assert SESSION.state(NOW_MS + HOUR_MS) is State.EXPIRED
    assert created("alice", 0, NOW_MS).expires_ms == NOW_MS + TTL_MS_DEFAULT


def test_a_touch_extends_and_never_shortens() -> None:
    later = touched(SESSION, NOW_MS + 5)
    assert later.expires_ms == NOW_MS + 5 + HOUR_MS
    assert touched(later, NOW_MS).expires_ms == later.expires_ms, "another clock is behind"


def test_an_ended_session_cannot_be_touched() -> None:
    with pytest.raises(Ended, match="expired"):
        touched(SESSION, NOW_MS + HOUR_MS)
    with pytest.raises(Ended, match="revoked"):
        touched(revoked(SESSION), NOW_MS)


def test_revoked_wins_over_a_touch_at_the_same_time() -> None:
    both = merged([touched(SESSION, NOW_MS + 5), revoked(SESSION)])
    assert both.state(NOW_MS + 6) is State.REVOKED
    assert both.expires_ms == NOW_MS + 5 + HOUR_MS


def test_no_value_is_no_session() -> None:
    with pytest.raises(NotThere):
        merged([])


@pytest.mark.parametrize("ttl_ms", [1, TTL_MS_MIN - 1, TTL_MS_MAX + 1])
def test_a_length_has_a_range(ttl_ms: int) -> None:
    with pytest.raises(Refused, match="ttl_ms"):
        created("alice", ttl_ms, NOW_MS)


def test_the_key_does_not_tell_the_id() -> None:
    session_id = "0123456789abcdef" * 2
    assert session_id.encode() not in store_key(session_id)
    assert bytes.fromhex(session_id) not in store_key(session_id)
    assert store_key(session_id) != store_key(session_id[::-1])


@pytest.mark.parametrize("session_id", ["", "secret", "0" * 31, "0" * 33, "A" * 32])
def test_a_wrong_id_is_refused_without_a_word_of_it(session_id: str) -> None:
    with pytest.raises(Refused) as caught:
        store_key(session_id)
    assert not session_id or session_id not in str(caught.value)


def test_a_stored_session_reads_back() -> None:
    session = revoked(touched(SESSION, NOW_MS + 1))
    assert from_value(MSGPACK.decode(MSGPACK.encode(as_value(session)))) == session


@pytest.mark.parametrize(
    "value", [None, 5, [], [2, "alice", 1, 1, 1, False], [1, "alice", "b", 1, 1, 1]]
)
def test_what_is_no_session_is_told(value: object) -> None:
    with pytest.raises(Unreadable):
        from_value(value)
