"""What the operator's command was refused is told in its own words."""

import os
import sys

import pytest

from dynamo_bench.chaos.nodes import HINTS
from dynamo_bench.chaos.operator import Operator, Refused

NOBODY = "127.0.0.1:1"


@pytest.mark.slow
async def test_a_command_that_fails_is_told_with_what_it_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    with pytest.raises(Refused, match=r"dynamo member plan leave n1: exit status 1, .*127.0.0.1:1"):
        await Operator(lambda: [NOBODY]).member("plan", "leave", "n1")


def test_the_hints_that_a_node_keeps_are_read_off_its_metrics() -> None:
    page = "# TYPE dynamo_hints gauge\ndynamo_hints 12.0\ndynamo_hints_bytes 99.0\n"
    found = HINTS.search(page)
    assert found is not None
    assert found[1] == "12.0"
    assert HINTS.search("dynamo_hints_bytes 99.0\n") is None
