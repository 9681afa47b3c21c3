"""An operation id names its item, and nothing but an operation id is taken for one."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.errors import InvalidRequest, KeyTooLarge
from dynamo.siblings.operation_token import decode_operation, encode_operation

TABLES = st.integers(0, (1 << 32) - 1)
KEYS = st.binary(max_size=2000)
OPERATIONS = st.binary(min_size=20, max_size=20)


@given(TABLES, KEYS, KEYS, OPERATIONS)
def test_what_is_encoded_is_decoded(
    table: int, key: bytes, sort_key: bytes, operation: bytes
) -> None:
    token = encode_operation(table, key, sort_key, operation)
    assert decode_operation(token) == (table, key, sort_key, operation)
    assert token.replace("-", "").replace("_", "").isalnum()


def test_the_layout_is_as_documented_for_other_languages() -> None:
    raw = b"\x01" + b"\0\0\0\x07" + b"\0\x02" + b"k1" + b"\0\x01" + b"s" + bytes(range(20))
    token = encode_operation(7, b"k1", b"s", bytes(range(20)))
    assert token == urlsafe_b64encode(raw).decode().rstrip("=")


@given(st.text(max_size=80))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="not an operation id"):
        decode_operation(text)


@pytest.mark.parametrize("damage", ["=", "A", "AAAA", " ", "\n"])
def test_no_id_has_two_spellings(damage: str) -> None:
    token = encode_operation(1, b"key", b"", bytes(20))
    with pytest.raises(InvalidRequest):
        decode_operation(token + damage)


def test_an_endless_word_is_refused_unread() -> None:
    with pytest.raises(InvalidRequest):
        decode_operation("A" * 10_000_000)


def test_keys_longer_than_any_are_the_callers_mistake() -> None:
    longest = encode_operation(1, bytes(16384), bytes(16384), bytes(20))
    assert len(decode_operation(longest).sort_key) == 16384
    with pytest.raises(KeyTooLarge, match="16385"):
        encode_operation(1, bytes(16385), b"", bytes(20))
