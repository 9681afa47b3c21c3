"""Compositions are remembered within bounds, and only for the very bytes that the store holds."""

from dynamo.coordination.recent import RECENT_MAX, RECENT_RECORD_BYTES_MAX, Composition, Recent
from dynamo.siblings.record import NOTHING, UNSEEN
from dynamo.types import ItemKey


def composition(data: bytes) -> Composition:
    """One with these bytes; the rest does not matter here."""
    return Composition(data, NOTHING, UNSEEN, b"")


def test_it_is_bounded_in_number_and_the_newest_stay() -> None:
    recent, data = Recent(), b"record"
    for number in range(3 * RECENT_MAX):
        recent.remember(ItemKey(b"key-%d" % number), composition(data))
        assert len(recent) <= RECENT_MAX
        newest = number - min(number, RECENT_MAX // 2 - 1)
        assert recent.find(ItemKey(b"key-%d" % newest), data) is not None
    assert recent.find(ItemKey(b"key-0"), data) is None


def test_it_is_bounded_in_bytes() -> None:
    recent, key, data = Recent(), ItemKey(b"key"), bytes(bytearray(b"a record"))
    recent.remember(key, composition(data))
    recent.remember(key, composition(bytes(RECENT_RECORD_BYTES_MAX + 1)))
    assert len(recent) == 0
    assert recent.find(key, data) is None


def test_other_bytes_of_the_store_are_not_found() -> None:
    recent, key = Recent(), ItemKey(b"key")
    data = bytes(bytearray(b"a record"))
    recent.remember(key, composition(data))
    assert recent.find(key, data) is not None
    assert recent.find(key, bytes(bytearray(b"a record"))) is None, "equal is not the same"
    assert recent.find(key, None) is None
