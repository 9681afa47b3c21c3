"""The command `dynamo`: what it prints, and its exit statuses."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_thread import ClusterThread, cluster_thread
from fake_cluster import refuse, silent
from typer.testing import CliRunner

from dynamo.errors import Code, Failure
from dynamo.messages import PUT
from dynamo_client.cli_commands import app

Dynamo = Callable[..., Any]


@pytest.fixture(scope="module")
def shared() -> Iterator[ClusterThread]:
    with cluster_thread() as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: ClusterThread) -> ClusterThread:
    shared.do(lambda it: [node.clear() for node in it.nodes.values()])
    return shared


@pytest.fixture
def dynamo(cluster: ClusterThread) -> Dynamo:
    return lambda *words, **more: CliRunner().invoke(
        app, ["--seeds", cluster.seeds, *words], **more
    )


def told(result: Any) -> Any:
    """The JSON object on stdout."""
    return json.loads(result.stdout)


def test_put_get_delete(dynamo: Dynamo) -> None:
    assert dynamo("put", "cart", "alice", "apples").exit_code == 0
    result = dynamo("get", "cart", "alice")
    assert (result.exit_code, result.stdout) == (0, "apples\n")
    assert dynamo("put", "cart", "alice", "pears").exit_code == 0
    assert dynamo("get", "cart", "alice").stdout == "pears\n"
    assert dynamo("delete", "cart", "alice").exit_code == 0
    result = dynamo("get", "cart", "alice")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "not in cart" in result.stderr
    assert dynamo("delete", "cart", "alice").exit_code == 3


def test_siblings_are_printed_with_the_context_that_merges_them(dynamo: Dynamo) -> None:
    dynamo("put", "cart", "bob", "apples", "--blind", "--sort-key", "s")
    dynamo("put", "cart", "bob", "pears", "--blind", "--sort-key", "s")
    result = dynamo("get", "cart", "bob", "--sort-key", "s")
    head, *values, context = result.stdout.splitlines()
    assert (result.exit_code, head) == (0, "2 siblings:")
    assert {line.split(": ")[1] for line in values} == {"apples", "pears"}
    words = ["--sort-key", "s", "--context", context.removeprefix("context: ")]
    assert dynamo("put", "cart", "bob", "both", *words).exit_code == 0
    assert dynamo("get", "cart", "bob", "--sort-key", "s").stdout == "both\n"


def test_values_from_files_and_json(dynamo: Dynamo, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(b"\x00\xff")
    dynamo("put", "cart", "raw", "--raw-file", str(tmp_path / "value"))
    assert dynamo("get", "cart", "raw").stdout == "base64:AP8=\n"
    assert told(dynamo("--json", "get", "cart", "raw"))["values"] == [{"base64": "AP8="}]
    dynamo("put", "cart", "raw", "--raw-file", "-", input=b"text")
    assert dynamo("get", "cart", "raw").stdout == "text\n"
    dynamo("put", "cart", "json", '{"a": [1, null, "ü"]}', "--json-value")
    assert dynamo("get", "cart", "json").stdout == '{"a": [1, null, "ü"]}\n'


def test_json_answers(dynamo: Dynamo) -> None:
    written = told(dynamo("--json", "put", "session", "alice", "1"))
    assert written["outcome"] == "applied"
    read = told(dynamo("--json", "get", "session", "alice"))
    assert read == {
        "table": "session",
        "key": "alice",
        "sort_key": "",
        "found": True,
        "values": ["1"],
        "context": read["context"],
    }
    missing = dynamo("--json", "get", "session", "nobody")
    assert (missing.exit_code, told(missing)["found"]) == (3, False)
    assert told(dynamo("--json", "status"))["nodes"]["n1"]["state"] == "serving"
    assert len(told(dynamo("--json", "ring"))["preference_lists"]) == 256


def test_status_and_ring_for_people(dynamo: Dynamo) -> None:
    status = dynamo("status")
    assert "serving" in status.stdout
    assert "alive to n2, n3 for" in status.stdout
    assert "table cart: N/R/W 3/2/2, siblings, sloppy" in status.stdout
    assert "\x1b" not in status.stdout
    assert "256 partitions" in dynamo("ring").stdout


def test_not_applied_is_1_with_needed_got_and_causes(
    dynamo: Dynamo, cluster: ClusterThread
) -> None:
    failure = Failure(Code.QUORUM_NOT_REACHED, "", 2, 1, 1, (("n9", "unreachable"),))
    cluster.do(lambda it: [node.rule(PUT, refuse(failure)) for node in it.nodes.values()])
    result = dynamo("put", "cart", "alice", "1")
    assert result.exit_code == 1
    assert "not applied: " in result.stderr
    assert "needed 2, got 1 of 1 asked (n9: unreachable)" in result.stderr
    answer = dynamo("--json", "put", "cart", "alice", "1")
    assert answer.exit_code == 1
    assert {
        "error": "quorum not reached",
        "outcome": "not applied",
        "needed": 2,
        "got": 1,
        "causes": {"n9": "unreachable"},
    }.items() <= told(answer).items()


def test_unknown_is_4_and_can_be_asked_for(dynamo: Dynamo, cluster: ClusterThread) -> None:
    cluster.do(lambda it: [node.rule(PUT, silent) for node in it.nodes.values()])
    result = dynamo("--timeout-ms", "60", "put", "cart", "carol", "1")
    assert result.exit_code == 4
    assert "ask later: dynamo outcome " in result.stderr
    id = result.stderr.split("ask later: dynamo outcome ")[1].strip()
    asked = dynamo("outcome", id)
    assert (asked.exit_code, asked.stdout) == (1, "not applied\n")
    again = told(dynamo("--json", "--timeout-ms", "60", "put", "cart", "carol", "1"))
    assert (again["outcome"], again["error"]) == ("unknown", "outcome unknown")
    assert told(dynamo("--json", "outcome", again["operation_id"]))["outcome"] == "not applied"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "nope", "k"], "there are cart, catalog, session"),
        (["get", "cart", "k" * 2000], "1024"),
        (["get", "cart", "k", "--r", "4"], "R=4"),
        (["put", "cart", "k", "v", "--w", "0"], "W=0"),
        (["put", "cart", "k", "v", "--context", "abcd"], "context"),
        (["put", "cart", "k", "v", "--context", "ü"], "context"),
        (["put", "cart", "k", "v", "--context", "abcd", "--blind"], "contradict"),
        (["put", "cart", "k"], "VALUE"),
        (["put", "cart", "k", "v", "--raw-file", "f"], "VALUE"),
        (["put", "cart", "k", "--raw-file", "/no/such/file"], "cannot be read"),
        (["put", "cart", "k", "{", "--json-value"], "not JSON"),
        (["outcome", "nonsense"], "operation id"),
        (["frobnicate"], "frobnicate"),
        (["get", "cart"], "KEY"),
    ],
)
def test_wrong_usage_is_2_with_one_sentence(dynamo: Dynamo, words: list[str], said: str) -> None:
    result = dynamo(*words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_seed_is_2() -> None:
    result = CliRunner().invoke(app, ["--seeds", "a:b:c", "status"])
    assert (result.exit_code, "seed" in result.stderr) == (2, True)


@pytest.mark.slow
def test_no_cluster_is_one_sentence_and_1() -> None:
    command = [sys.executable, "-m", "dynamo_client.cli", "--seeds", "127.0.0.1:1", "get", "t", "k"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("dynamo: no node answered at 127.0.0.1:1: connection refused.")
    assert "make run" in result.stderr
    assert len(result.stderr.splitlines()) == 1
