"""Test files have names of their own: pytest imports them by their bare names."""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_no_two_test_files_share_a_name() -> None:
    names = Counter(path.name for path in ROOT.rglob("*.py") if path.name != "conftest.py")
    assert not [name for name, count in names.items() if count > 1]
