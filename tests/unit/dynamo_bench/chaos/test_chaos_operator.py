"""What the operator's command was refused is told in its own words."""

import os
import sys

import pytest

from dynamo_bench.chaos.nodes import SAMPLE
from dynamo_bench.chaos.operator import Operator, Refused

NOBODY = "127.0.0.1:1"


@pytest.mark.slow
async def test_a_command_that_fails_is_told_with_what_it_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    with pytest.raises(Refused, match=r"dynamo member plan leave n1: exit status 1, .*127.0.0.1:1"):
        await Operator(lambda: [NOBODY]).member("plan", "leave", "n1")


def test_what_a_node_says_of_itself_is_read_off_its_metrics() -> None:
    page = (
        "# TYPE dynamo_hints gauge\ndynamo_hints 12.0\ndynamo_hints_bytes 99.0\n"
        'dynamo_link_bytes_total{direction="in",peer="n1"} 1.5e+06\npython_info 1.0\n'
    )
    assert dict(SAMPLE.findall(page)) == {
        "dynamo_hints": "12.0",
        "dynamo_hints_bytes": "99.0",
        'dynamo_link_bytes_total{direction="in",peer="n1"}': "1.5e+06",
    }
