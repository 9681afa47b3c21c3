"""Frames: what travels together, what is refused and with which words."""

import msgpack
import pytest
from frames_client import framed

from dynamo.errors import ProtocolViolation, ValueTooLarge
from dynamo.wire.frames import ELEMENTS_MAX, FrameDecoder, FrameEncoder, pack_message


def encoded(*messages: object) -> bytes:
    return b"".join(FrameEncoder().frames(list(messages), True))  # type: ignore[arg-type]


def test_a_tick_is_one_frame() -> None:
    messages = [(10, 1, b"a"), (11, None), (12, ("x", 2.5))]
    assert len(FrameEncoder().frames(messages, False)) == 2  # header and body
    decoder = FrameDecoder()
    assert decoder.feed(encoded(*messages)) == messages
    assert decoder.frames == 1


def test_packed_and_unpacked_messages_keep_their_order() -> None:
    mixed = [(10, 1), pack_message((10, 2)), (10, 3)]
    assert FrameDecoder().feed(encoded(*mixed)) == [(10, 1), (10, 2), (10, 3)]


@pytest.mark.parametrize(
    "count", [1, 15, 16, 300, ELEMENTS_MAX - 1, ELEMENTS_MAX, ELEMENTS_MAX + 1]
)
def test_any_count_of_messages_arrives(count: int) -> None:
    packed = [pack_message((10,))] * count
    data = b"".join(FrameEncoder().frames(packed, True))
    assert FrameDecoder().feed(data) == [(10,)] * count


def test_a_frame_is_split_at_its_target() -> None:
    encoder = FrameEncoder(frame_bytes_max=4096, frame_bytes_target=1024)
    messages = [(10, i, bytes(400)) for i in range(5)]
    buffers = encoder.frames(messages, False)
    assert len(buffers) == 2 * 3
    assert max(map(len, buffers)) <= 1024
    assert FrameDecoder(4096).feed(b"".join(buffers)) == messages


def test_a_message_over_the_target_travels_alone_and_over_the_maximum_not_at_all() -> None:
    encoder = FrameEncoder(frame_bytes_max=4096, frame_bytes_target=1024)
    fitting = bytes(encoder.message_bytes_max)
    frame = b"".join(encoder.frames([fitting], True))
    assert len(frame) <= 4096
    with pytest.raises(ValueTooLarge, match="over the maximum"):
        encoder.frames([fitting + b"0"], True)


@pytest.mark.parametrize("step", [7, 4095, 4096, 50_000])
def test_a_large_frame_in_pieces_is_kept_once(step: int) -> None:
    data = encoded((10, bytes(100_000)), (10, 2))
    decoder, got = FrameDecoder(), []
    for start in range(0, len(data), step):
        got += decoder.feed(data[start : start + step])
        assert decoder.buffered_bytes <= len(data)
    assert got == [(10, bytes(100_000)), (10, 2)]
    assert decoder.buffered_bytes == 0


def test_control_messages_are_noted() -> None:
    decoder = FrameDecoder()
    decoder.feed(encoded((10,)) + encoded((1,)) + encoded((10,)))
    assert decoder.has_control
    decoder.feed(encoded((10,)))
    assert not decoder.has_control


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (framed(b"\x90", form=1), "format 1"),
        (framed(b""), "no body"),
        (b"\x00\x00\x00\x00\x02" + bytes(4), "no body"),
        (b"\xff\xff\xff\xff\x02" + bytes(4), "over the maximum"),
        (b"GET / HTTP/1.1\r\n", "format 47"),
        (framed(msgpack.packb({})), "not an array"),
        (framed(msgpack.packb([1])), "begins with its kind"),
        (framed(msgpack.packb([[]])), "begins with its kind"),
        (framed(msgpack.packb([["x"]])), "begins with its kind"),
        (framed(msgpack.packb([[True]])), "begins with its kind"),
        (framed(msgpack.packb([[10], [10.0]])), "begins with its kind"),
        (framed(msgpack.packb([b"\x0a"])), "begins with its kind"),
        (framed(msgpack.packb([[10]]) + b"\x00"), "ExtraData"),
        (framed(b"\x91"), "incomplete"),
        (framed(b"\x91\x92\x0a\xc1"), "FormatError"),
        (framed(b"\x91" * 5000), "StackError"),
        (framed(b"\x91\x92\x0a\xa1\xff"), "UnicodeDecodeError"),
        (framed(b"\x91\x92\x0a\x81\x80\x01"), "TypeError"),  # a map as a map's key
        (framed(b"\xdd\xff\xff\xff\xff"), "max_array_len"),
        (framed(b"\x91\x92\x0a\xdf\xff\xff\xff\xff"), "max_map_len"),
        (framed(b"\x91\x92\x0a\xd4\x05\x00"), "extension|max_ext_len"),
    ],
)
def test_the_malformed_is_refused_with_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolViolation, match=words):
        FrameDecoder().feed(data)


def test_nested_claims_of_huge_arrays_cost_little() -> None:
    with pytest.raises(ProtocolViolation):
        FrameDecoder().feed(framed(b"\xdc\xff\xff" * 1000))


def test_each_frame_of_a_read_says_when_it_was_sent() -> None:
    def sent(stamp: int, *messages: object) -> bytes:
        return b"".join(FrameEncoder().frames([*messages], True, stamp))  # type: ignore[list-item]

    decoder = FrameDecoder()
    assert len(decoder.feed(sent(7, (10,), (11,)) + sent(9, (12,)) + sent(1 << 31, (13,)))) == 4
    assert (decoder.stamp, decoder.cuts) == (7, [(2, 9), (3, 1 << 31)])
    assert decoder.feed(sent(11, (14,))) == [(14,)]
    assert (decoder.stamp, decoder.cuts) == (11, [])
