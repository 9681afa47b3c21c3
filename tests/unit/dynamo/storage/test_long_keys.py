"""Keys longer than LMDB's own limit: exact order, no collision, nothing left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamo.storage.lmdb_table import LmdbTable
from dynamo.storage.long_keys import DIRECT_BYTES_MAX

LAWS = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
BOUNDARIES = (1, 2, 509, 510, 511, 512, 1011, 1012, 1013, 1014, 1514, 1515, 4200)
KEYS = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.builds(
        lambda letter, length, end: letter * length + end,
        st.sampled_from([b"\x00", b"a", b"\xff"]),
        st.sampled_from(BOUNDARIES),
        st.binary(max_size=3),
    ),
)
VALUES = st.binary(max_size=4)
LAST = b"\xff" * 5000


@pytest.fixture
def table(tmp_path: Path) -> Iterator[LmdbTable]:
    made = LmdbTable(str(tmp_path), 1 << 30)
    yield made
    made.close()


def empty(table: LmdbTable) -> None:
    table.write([(key, None) for key, _ in table.scan(b"", LAST, 10_000)], {})
    assert table.scan(b"", LAST, 9) == []


@pytest.mark.slow
@LAWS
@given(st.dictionaries(KEYS, VALUES, max_size=25), st.lists(KEYS, max_size=8), KEYS, KEYS)
def test_order_is_that_of_a_sorted_list(
    table: LmdbTable, items: dict[bytes, bytes], removed: list[bytes], after: bytes, until: bytes
) -> None:
    empty(table)
    table.write(sorted(items.items()), {})
    gone = sorted({*removed, *sorted(items)[::3]})
    table.write([(key, None) for key in gone], {})
    left = {key: value for key, value in items.items() if key not in gone}
    assert table.scan(b"", LAST, 10_000) == sorted(left.items())
    rows = [(key, value) for key, value in sorted(left.items()) if after < key < until]
    assert table.scan(after, until, 10_000) == rows
    assert table.scan(after, until, 2) == rows[:2]
    assert all(table.get(key) == left.get(key) for key in {*items, *removed})


@pytest.mark.slow
@LAWS
@given(st.lists(KEYS, min_size=1, max_size=20, unique=True))
def test_a_scan_goes_on_from_any_key(table: LmdbTable, keys: list[bytes]) -> None:
    empty(table)
    table.write([(key, b"") for key in sorted(keys)], {})
    seen, after = [], b""
    while page := table.scan(after, LAST, 1):
        after = page[0][0]
        seen.append(after)
    assert seen == sorted(keys)


def test_keys_around_the_first_boundary(table: LmdbTable) -> None:
    base = b"k" * DIRECT_BYTES_MAX
    keys = [base[:-1], base, base + b"\x00", base + b"\x00\x00", base + b"\xff", b"l"]
    table.write([(key, key[-2:]) for key in keys], {})
    assert [key for key, _ in table.scan(b"", LAST, 99)] == keys
    assert all(table.get(key) == key[-2:] for key in keys)
    assert table.get(base + b"\x01") is None


def test_overwriting_and_removing_long_keys_leaves_no_bucket(table: LmdbTable) -> None:
    long = b"x" * 4200
    table.write([(long, b"1")], {})
    table.write([(long, b"2"), (long + b"y", b"3")], {})
    assert (table.get(long), table.get(long + b"y")) == (b"2", b"3")
    table.write([(long, None), (long + b"nobody", None)], {})
    assert table.scan(b"", LAST, 9) == [(long + b"y", b"3")]
    table.write([(long + b"y", None)], {})
    with table._environment.begin() as reading:
        databases = table._databases
        assert reading.stat(databases.keys)["entries"] == 0
        assert reading.stat(databases.buckets)["entries"] == 0
