"""Compositions are remembered within bounds, and only for the very bytes that the store holds."""

from dynamo.coordination.recent import RECENT_MAX, RECENT_RECORD_BYTES_MAX, Composition, Recent
from dynamo.siblings.record import NOTHING, UNSEEN
from dynamo.types import ItemKey


def composition(data: bytes) -> Composition:
    """One with these bytes; the rest does not matter here."""
    return Composition(data, NOTHING, UNSEEN, b"")


def test_it_is_bounded_in_number_and_in_bytes() -> None:
    recent = Recent()
    for number in range(RECENT_MAX + 10):
        recent.remember(ItemKey(b"key-%d" % number), composition(b"record"))
    assert len(recent) == RECENT_MAX
    assert recent.find(ItemKey(b"key-0"), b"record") is None
    large = bytes(RECENT_RECORD_BYTES_MAX + 1)
    recent.remember(ItemKey(b"key-%d" % RECENT_MAX), composition(large))
    assert len(recent) == RECENT_MAX - 1


def test_other_bytes_of_the_store_are_not_found() -> None:
    recent, key = Recent(), ItemKey(b"key")
    data = bytes(bytearray(b"a record"))
    recent.remember(key, composition(data))
    assert recent.find(key, data) is not None
    assert recent.find(key, bytes(bytearray(b"a record"))) is None, "equal is not the same"
    assert recent.find(key, None) is None
