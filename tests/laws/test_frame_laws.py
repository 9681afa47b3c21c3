"""Laws of the wire: whatever the cut, the same messages; whatever the bytes, no other error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.errors import ProtocolViolation
from dynamo.wire.frames import FrameDecoder, FrameEncoder, Message, pack_message
from dynamo.wire.handshake import Hello, HelloDecoder, Refusal, encode_hello

atoms = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.text(max_size=40)
)
values = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.integers(0, 99) | st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=10,
)
messages_lists = st.lists(
    st.tuples(st.integers(0, 200), values) | st.tuples(st.integers(10, 99)), min_size=1, max_size=30
)
cuts_lists = st.lists(st.integers(0, 4000), max_size=8)
hellos = st.builds(
    Hello,
    role=st.just("node"),
    name=st.text(min_size=1, max_size=60),
    cluster=st.binary(min_size=1, max_size=32),
    version_min=st.integers(0, 9),
    version_max=st.integers(9, 1 << 62),
    incarnation=st.text(max_size=40),
    boot=st.integers(0, 1 << 62),
    durability=st.sampled_from(["fsync", "interval", "memory"]),
    boot_remembered=st.none() | st.integers(0, 1 << 62),
)


def encode(messages: list[Message], target: int = 1 << 20) -> bytes:
    return b"".join(FrameEncoder(frame_bytes_target=target).frames(messages, False))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


def fed(data: bytes, cuts: list[int]) -> list[Message] | None:
    """What a decoder makes of it; None if it refuses. Any other exception fails the law."""
    decoder, got = FrameDecoder(), list[Message]()
    try:
        for piece in pieces(data, cuts):
            got += decoder.feed(piece)
    except ProtocolViolation:
        return None
    assert all(type(message) is tuple and type(message[0]) is int for message in got)
    return got


@pytest.mark.slow
@given(messages_lists, messages_lists, st.integers(64, 2000), cuts_lists)
def test_what_is_framed_arrives_however_it_is_cut_and_split(
    first: list[Message], second: list[Message], target: int, cuts: list[int]
) -> None:
    assert fed(encode(first, target) + encode(second), cuts) == first + second


@pytest.mark.slow
@given(messages_lists, st.lists(st.booleans(), min_size=30, max_size=30))
def test_packing_ahead_changes_nothing(messages: list[Message], ahead: list[bool]) -> None:
    mixed = [pack_message(m) if now else m for m, now in zip(messages, ahead, strict=False)]
    assert fed(b"".join(FrameEncoder().frames(mixed, True)), []) == messages


@pytest.mark.slow
@given(messages_lists, st.data())
def test_a_truncated_stream_waits_and_invents_nothing(
    messages: list[Message], data: st.DataObject
) -> None:
    stream = encode(messages, target=64)
    got = fed(stream[: data.draw(st.integers(0, len(stream) - 1))], [])
    assert got is not None
    assert got == messages[: len(got)]
    assert len(got) < len(messages)


@pytest.mark.slow
@given(messages_lists, st.integers(0), st.integers(0, 7), cuts_lists)
def test_a_flipped_bit_is_refused_or_read_never_worse(
    messages: list[Message], at: int, bit: int, cuts: list[int]
) -> None:
    stream = bytearray(encode(messages))
    stream[at % len(stream)] ^= 1 << bit
    fed(bytes(stream), cuts)


@given(st.binary(max_size=200), cuts_lists)
def test_any_body_is_refused_or_read_however_it_is_cut(body: bytes, cuts: list[int]) -> None:
    stream = (1 + len(body)).to_bytes(4, "big") + b"\x01" + body
    assert fed(stream, cuts) == fed(stream, [])
    fed(body, cuts)


@given(hellos, st.binary(max_size=50), cuts_lists)
def test_a_hello_arrives_however_it_is_cut(hello: Hello, rest: bytes, cuts: list[int]) -> None:
    decoder, got, behind = HelloDecoder(), None, b""
    for piece in pieces(encode_hello(hello) + rest, cuts):
        if got is None:
            got = decoder.feed(piece)
        else:
            behind += piece
    assert got == hello
    assert decoder.rest + behind == rest


@given(hellos, st.integers(0), st.integers(0, 7))
def test_a_bent_hello_is_refused_or_read_never_worse(hello: Hello, at: int, bit: int) -> None:
    data = bytearray(encode_hello(hello))
    data[at % len(data)] ^= 1 << bit
    greet(bytes(data), [])


@given(st.binary(max_size=300), st.booleans(), cuts_lists)
def test_any_first_bytes_are_refused_or_read(data: bytes, magic: bool, cuts: list[int]) -> None:
    if magic:
        data = b"DYNM" + len(data).to_bytes(2, "big") + data
    greet(data, cuts)


def greet(data: bytes, cuts: list[int]) -> None:
    decoder = HelloDecoder()
    try:
        for piece in pieces(data, cuts):
            got = decoder.feed(piece)
            assert got is None or isinstance(got, Hello | Refusal)
            if got is not None:
                return
    except ProtocolViolation:
        pass
