"""What a fingerprint sees of a record and what it does not."""

import mmh3
import pytest

from dynamo.history import History
from dynamo.siblings.codec import encode_record
from dynamo.siblings.fingerprint import fingerprint
from dynamo.siblings.record import OVERWRITTEN, Record, Value, operation_id
from dynamo.types import Actor, ItemKey, Stamp

KEY = ItemKey(b"\0\1\0\0\0\1key\0\1")
A, B = Actor("n1/a"), Actor("n2/b")
ONE = Value(A, 5, Stamp(1 << 16), operation_id(1 << 16, 1, 1), b"one")
TWO = Value(B, 7, Stamp(2 << 16), operation_id(2 << 16, 1, 2), b"two")
RECORD = Record(History({A: 5, B: 7}, {}), 0, {}, (ONE, TWO))


def hashed(record: Record, key: ItemKey = KEY) -> int:
    return fingerprint(key, encode_record(record))


def test_nothing_is_zero_and_something_is_64_bits_of_anything() -> None:
    assert fingerprint(KEY, None) == 0
    assert 0 < hashed(RECORD) < 1 << 64


@pytest.mark.parametrize(
    "same",
    [
        RECORD._replace(history=History({B: 7, A: 5}, {})),
        RECORD._replace(values=(TWO, ONE)),
        RECORD._replace(floor=9),
        RECORD._replace(operations={operation_id(3 << 16, 1, 3): OVERWRITTEN}),
    ],
    ids=["another order of actors", "of values", "a floor", "a remembered operation"],
)
def test_what_replicas_hold_each_in_its_own_way_makes_no_difference(same: Record) -> None:
    assert encode_record(same) != encode_record(RECORD)
    assert hashed(same) == hashed(RECORD)


@pytest.mark.parametrize(
    "other",
    [
        RECORD._replace(history=History({A: 6, B: 7}, {})),
        RECORD._replace(history=History({A: 5, B: 7}, {B: ((1, 6),)})),
        RECORD._replace(values=(ONE,)),
        RECORD._replace(values=()),
    ],
    ids=["a dot more", "a gap", "a value less", "all overwritten"],
)
def test_what_a_repair_would_change_makes_one(other: Record) -> None:
    assert hashed(other) != hashed(RECORD)


def test_the_same_record_under_another_key_is_another_item() -> None:
    assert hashed(RECORD, ItemKey(KEY + b"s")) != hashed(RECORD)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x96" + bytes(6)])
def test_what_is_no_record_has_a_hash_as_well(body: bytes) -> None:
    data = mmh3.mmh3_x64_128_digest(body)[:8] + body
    assert fingerprint(KEY, data) not in (0, hashed(RECORD))
    assert fingerprint(KEY, data) == fingerprint(KEY, bytes(data))
