"""The group decoder against any bytes: it never crashes, and never finds what was not written."""

from contextlib import suppress
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.errors import CorruptData, StorageFailed
from dynamo.storage.segment import (
    FORMAT,
    HEADER_BYTES,
    SECTOR_BYTES,
    Writes,
    aligned,
    decode_writes,
    encode_group,
    encode_writes,
    group_at,
    header_block,
    header_is_sound,
    sound_groups,
)

LAWS = settings(max_examples=200, deadline=None, derandomize=True)
pytestmark = pytest.mark.slow

KEYS = st.one_of(st.binary(max_size=20), st.text(max_size=5))
WRITES = st.dictionaries(KEYS, st.none() | st.binary(max_size=900), max_size=5)


def segment(groups: list[Writes], generation: int = 3, size: int = 1 << 14) -> tuple[bytes, int]:
    """A segment with these groups, numbered from 1, and where its last group ends."""
    data = bytearray(size)
    data[:HEADER_BYTES] = header_block(len(data))
    offset = HEADER_BYTES
    for number, writes in enumerate(groups, 1):
        payload = encode_writes(writes)
        group = encode_group(generation, number, number - 1, payload, crc32(payload))
        data[offset : offset + len(group)] = group
        offset = aligned(offset + len(group))
    return bytes(data), offset


def decoded(data: bytes, generation: int = 3) -> list[Writes]:
    return [decode_writes(group.payload) for group in sound_groups(data, generation)]


@LAWS
@given(st.lists(WRITES, max_size=3))
def test_what_was_written_is_read(groups: list[Writes]) -> None:
    data, _ = segment(groups)
    assert header_is_sound(data)
    assert decoded(data) == groups
    assert [group.number for group in sound_groups(data, 3)] == list(range(1, len(groups) + 1))
    assert decoded(data, generation=4) == decoded(data, generation=2) == []


@LAWS
@given(st.binary(max_size=2000), st.integers(0, 2**64 - 1))
def test_arbitrary_bytes_hold_no_group(data: bytes, generation: int) -> None:
    assert list(sound_groups(data, generation)) == []
    assert group_at(data, 0, generation) is None
    assert not header_is_sound(data)


@LAWS
@given(st.binary(max_size=200))
def test_arbitrary_payloads_decode_or_are_corrupt(payload: bytes) -> None:
    with suppress(CorruptData):
        assert isinstance(decode_writes(payload), dict)


@LAWS
@given(st.lists(WRITES, min_size=1, max_size=3), st.data())
def test_after_any_change_only_written_groups_are_found(
    groups: list[Writes], data: st.DataObject
) -> None:
    whole, end = segment(groups)
    changed = bytearray(whole)
    start = data.draw(st.integers(HEADER_BYTES, end - 1))
    noise = data.draw(st.binary(min_size=1, max_size=SECTOR_BYTES))
    changed[start : start + len(noise)] = noise
    found = [(group.number, group.payload) for group in sound_groups(bytes(changed), 3)]
    written = [(number, encode_writes(writes)) for number, writes in enumerate(groups, 1)]
    assert [each for each in written if each in found] == found


@LAWS
@given(st.lists(WRITES, min_size=1, max_size=3), st.data())
def test_any_single_bit_costs_its_own_group_only(groups: list[Writes], data: st.DataObject) -> None:
    whole, end = segment(groups)
    changed = bytearray(whole)
    place = data.draw(st.integers(HEADER_BYTES, end - 1))
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    found = {group.number for group in sound_groups(bytes(changed), 3)}
    assert len(found) >= len(groups) - 1


@LAWS
@given(st.lists(WRITES, min_size=1, max_size=2), st.integers(0, 1 << 14))
def test_a_truncated_segment_ends_early_and_quietly(groups: list[Writes], length: int) -> None:
    whole, _ = segment(groups)
    assert decoded(whole[:length]) == groups[: len(decoded(whole[:length]))]


@pytest.mark.parametrize("other", [FORMAT - 1, FORMAT + 1])
def test_a_segment_of_another_format_is_refused(other: int) -> None:
    block = bytearray(header_block(0))
    block[len(b"dynamo-kv log\n") + 1] = other
    block[-4:] = crc32(block[:-4]).to_bytes(4, "big")
    with pytest.raises(StorageFailed, match=f"format {other}"):
        header_is_sound(bytes(block))
