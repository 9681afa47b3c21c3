"""The bucketed index is a sorted set."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.storage.key_index import KeyIndex

KEYS = st.binary(max_size=4)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), KEYS)), KEYS, KEYS)
def test_it_is_a_sorted_set(changes: list[tuple[bool, bytes]], after: bytes, until: bytes) -> None:
    index, expected = KeyIndex(), set[bytes]()
    for added, key in changes:
        if added and key not in expected:
            index.add(key)
            expected.add(key)
        elif not added and key in expected:
            index.discard(key)
            expected.discard(key)
        if len(expected) % 3 == 0:
            assert list(index.all()) == sorted(expected)
    assert list(index.between(after, until)) == [k for k in sorted(expected) if after < k < until]
