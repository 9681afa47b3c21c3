"""`dynamo member plan`: plans as an operator sees them."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cluster_thread import ClusterThread, cluster_thread
from typer.testing import CliRunner

from dynamo_client.cli_members import app

Dynamo = Callable[..., Any]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterThread]:
    with cluster_thread(4) as cluster:
        yield cluster


@pytest.fixture
def dynamo(cluster: ClusterThread) -> Dynamo:
    return lambda *words: CliRunner().invoke(app, ["--seeds", cluster.seeds, *words])


def test_a_join_shows_who_takes_and_who_gives(dynamo: Dynamo) -> None:
    result = dynamo("member", "plan", "join", "n5", "--zone", "b")
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.startswith("join n5 (host n5, zone b, weight 1): ")
    assert [row.split()[0] for row in rows[:5]] == ["n1", "n2", "n3", "n4", "n5"]
    assert "gives 0" in rows[4]


@pytest.mark.parametrize(
    ("words", "change"),
    [
        (("leave", "n4"), "leave n4"),
        (("replace", "n4", "n9", "--host", "h9"), "replace n4 by n9 (host h9, weight 1)"),
        (("weight", "n4", "0"), "weight of n4 = 0"),
    ],
)
def test_a_plan_in_json_lists_every_move(
    dynamo: Dynamo, words: tuple[str, ...], change: str
) -> None:
    result = dynamo("--json", "member", "plan", *words)
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["change"] == change
    gained = [
        node for move in told["moves"] for node in move["after"] if node not in move["before"]
    ]
    assert told["copies"] == len(gained) > 0


def test_what_cannot_be_is_wrong_usage(dynamo: Dynamo) -> None:
    for words, reason in (
        (("leave", "n7"), "no member is called n7"),
        (("join", "n1"), "n1 is a member already"),
    ):
        result = dynamo("member", "plan", *words)
        assert result.exit_code == 2
        assert reason in result.stderr


@pytest.mark.parametrize("words", [("n2",), ("n2", "--yes"), ("n1", "n2", "n3", "n4", "--yes")])
def test_nobody_who_serves_is_forced_out_of_the_votes(
    dynamo: Dynamo, words: tuple[str, ...]
) -> None:
    before = json.loads(dynamo("--json", "status").stdout)["ring_epoch"]
    result = dynamo("--json", "member", "force", *words)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["not_lost"] == [word for word in words if word != "--yes"]
    assert "not lost, but here and serving: " in dynamo("member", "force", *words).stderr
    assert json.loads(dynamo("--json", "status").stdout)["ring_epoch"] == before


def test_it_says_which_version_it_is(dynamo: Dynamo) -> None:
    result = dynamo("--version")
    assert result.exit_code == 0
    assert re.fullmatch(r"dynamo \d+\.\d+\.\d+ \(protocol \d+, .* core, .*\)\n", result.stdout)


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "", "a:1,b:2", "127.0.0.1:99999"])
def test_a_newcomers_address_has_its_port(dynamo: Dynamo, address: str) -> None:
    result = dynamo("member", "commit", "join", "n5", "--address", address)
    assert result.exit_code == 2
    assert "is no HOST:PORT, such as 10.0.0.4:7400" in re.sub(r"[│\s]+", " ", result.output)
