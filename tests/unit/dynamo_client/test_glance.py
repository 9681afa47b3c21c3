"""The short way through a record says what the long way says."""

import msgpack
from hypothesis import example, given
from hypothesis import strategies as st

from dynamo.history import NO_GAPS, History
from dynamo.siblings.codec import DIGEST_BYTES, RECORD_FORMAT, decode_record, encode_record
from dynamo.siblings.record import Record, Value, highest_stamp, operation_id, siblings
from dynamo.types import Actor, Stamp
from dynamo_client.glance import glance

payloads = st.none() | st.binary(max_size=40)
stamps = st.integers(0, (1 << 63) - 1)


def record(written: list[tuple[bytes | None, int]]) -> Record:
    """A record with these values."""
    actor = Actor("n1/1")
    values = tuple(
        Value(actor, number, Stamp(stamp), operation_id(stamp, 7, number), payload)
        for number, (payload, stamp) in enumerate(written, 1)
    )
    return Record(History({actor: len(written) + 1}, NO_GAPS), 0, {}, values)


@given(st.lists(st.tuples(payloads, stamps), max_size=3))
def test_a_glance_agrees_with_decoding(written: list[tuple[bytes | None, int]]) -> None:
    data = encode_record(record(written))
    decoded = decode_record(data)
    seen = glance(data)
    if len(written) == 1:
        assert seen == (siblings(decoded)[0].payload, highest_stamp(decoded))
    else:
        assert seen is None


@given(st.binary(max_size=60))
@example(bytes(DIGEST_BYTES) + b"\x80")  # a map
@example(bytes(DIGEST_BYTES) + msgpack.packb((RECORD_FORMAT, 0, 0, 0, 0, 0, {1: 1})))
def test_a_glance_at_anything_else_says_nothing(data: bytes) -> None:
    assert glance(data) is None
