"""The `dynamo` command against a real cluster: exit statuses and JSON that scripts rely on."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cluster_process import CLIENT_COMMAND, ClusterProcess, Program, run
from remembering import serves_all

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DONE, NOT_APPLIED, WRONG_USAGE, NOT_FOUND, UNKNOWN = range(5)
COUNTS = {"code", "needed", "got", "asked", "causes", "retry_after_ms"}


class Cli:
    """`dynamo` with the cluster's seeds."""

    def __init__(self, cluster: ClusterProcess) -> None:
        self.cluster = cluster

    async def __call__(self, *words: str) -> Program:
        """As a person types it."""
        return await run(*CLIENT_COMMAND, "--seeds", self.cluster.seeds, *words)

    async def json(self, status: int, *words: str) -> Any:
        """As a script does; the object on stdout."""
        done = await self("--json", *words)
        assert done.status == status, done.told()
        assert not done.err
        return json.loads("\n".join(done.out))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cli(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cli]:
    data = tmp_path_factory.mktemp("cli") / "data"
    async with ClusterProcess(data, 3, "--no-restart", idle_timeout_ms=20_000) as cluster:
        yield Cli(cluster)


async def test_put_get_delete(cli: Cli) -> None:
    put = await cli("put", "cart", "alice", "a book")
    assert (put.status, put.out, put.err) == (DONE, ["applied"], [])
    await cli("put", "cart", "alice", "two books")  # reads first: it replaces
    get = await cli("get", "cart", "alice")
    assert (get.status, get.out) == (DONE, ["two books"])
    deleted = await cli("delete", "cart", "alice")
    assert (deleted.status, deleted.out) == (DONE, ["applied"])
    for command in (("get", "cart", "alice"), ("delete", "cart", "alice")):
        gone = await cli(*command)
        assert (gone.status, gone.out) == (NOT_FOUND, [])
        assert gone.err == ["'alice' is not in cart"]


async def test_json_shapes_of_one_item(cli: Cli, tmp_path: Path) -> None:
    place = {"table": "cart", "key": "bob", "sort_key": "s"}
    at = ("cart", "bob")
    told = await cli.json(DONE, "put", *at, '{"n": [1, null]}', "--json-value", "--sort-key", "s")
    assert told == {**place, "outcome": "applied", "context": told["context"]}
    seen = await cli.json(DONE, "get", *at, "--sort-key", "s", "--r", "3")
    assert seen == {
        **place,
        "found": True,
        "values": [{"n": [1, None]}],
        "context": seen["context"],
    }
    (tmp_path / "bytes").write_bytes(b"\xff\x00")
    await cli.json(
        DONE, "put", *at, "--raw-file", str(tmp_path / "bytes"), "--sort-key", "s", "--w", "3"
    )
    seen = await cli.json(DONE, "get", *at, "--sort-key", "s")
    assert seen["values"] == [{"base64": "/wA="}]
    gone = await cli.json(DONE, "delete", *at, "--sort-key", "s", "--context", seen["context"])
    assert gone == {**place, "outcome": "applied", "context": gone["context"]}
    missing = await cli.json(NOT_FOUND, "get", *at, "--sort-key", "s")
    assert missing == {**place, "found": False, "values": [], "context": missing["context"]}


async def test_siblings_are_printed_with_the_context_that_merges_them(cli: Cli) -> None:
    for value in ("one", "two"):
        assert (await cli("put", "cart", "carol", value, "--blind")).status == DONE
    get = await cli("get", "cart", "carol")
    assert get.status == DONE
    assert get.out[0] == "2 siblings:"
    assert {line.partition(": ")[2] for line in get.out[1:3]} == {"one", "two"}
    context = get.out[3].removeprefix("context: ")
    seen = await cli.json(DONE, "get", "cart", "carol")
    assert (sorted(seen["values"]), seen["context"]) == (["one", "two"], context)
    assert (await cli("put", "cart", "carol", "both", "--context", context)).status == DONE
    assert (await cli("get", "cart", "carol")).out == ["both"]


async def test_wrong_usage(cli: Cli) -> None:
    for words in (
        ("get", "no-such-table", "key"),
        ("get", "cart", "key", "--r", "4"),
        ("put", "cart", "key", "value", "--w", "0"),
        ("put", "cart", "key"),
        ("put", "cart", "key", "value", "--context", "nonsense"),
        ("put", "cart", "key", "value", "--blind", "--context", "AA"),
        ("put", "cart", "k" * 1025, "value"),
        ("outcome", "nonsense"),
        ("no-such-command",),
    ):
        done = await cli(*words)
        assert done.status == WRONG_USAGE, f"{words}: {done.told()}"
        assert done.out == []
        assert done.err, words
    told = await cli.json(WRONG_USAGE, "get", "no-such-table", "key")
    assert (set(told), told["error"]) == ({"error", "message"}, "unknown table")


async def test_status_and_ring(cli: Cli) -> None:
    await serves_all(cli.cluster.seeds, 3)
    status = await cli.json(DONE, "status")
    assert {"cluster", "ring_epoch", "partitions", "tables", "nodes"} == set(status)
    assert {node["state"] for node in status["nodes"].values()} == {"serving"}
    assert status["tables"]["cart"]["conflict_rule"] == "siblings"
    ring = await cli.json(DONE, "ring")
    assert {"epoch", "partitions", "n_max", "members", "preference_lists"} == set(ring)
    assert [member["replica"] for member in ring["members"]] == [256] * 3
    assert all(sorted(owners) == ["n1", "n2", "n3"] for owners in ring["preference_lists"])
    for word in ("status", "ring"):
        people = await cli(word)
        assert people.status == DONE
        assert all(any(line.startswith(name) for line in people.out) for name in ("n1", "n3"))


async def test_unknown_then_asked_for_and_not_applied(cli: Cli) -> None:
    """Two nodes stand still: unknown. They go on: applied. They are killed: not applied."""
    cluster = cli.cluster
    blind = ("put", "cart", "dave", "value", "--blind")
    await cluster.freeze("n2", "n3")
    told = await cli.json(UNKNOWN, *blind)
    assert set(told) == {"error", "message", "outcome", "operation_id", *COUNTS}
    assert (told["outcome"], told["error"]) == ("unknown", "outcome unknown")
    people = await cli(*blind)
    assert (people.status, people.out) == (UNKNOWN, [])
    id = people.err[1].removeprefix("operation id: ")
    assert people.err[2] == f"ask later: dynamo outcome {id}"
    cluster.thaw("n2", "n3")
    await serves_all(cluster.seeds, 3)
    for known in (id, told["operation_id"]):
        asked = await cli.json(DONE, "outcome", known)
        assert asked == {"operation_id": known, "outcome": "applied"}

    cluster.kill("n2", "n3")
    refused = await cli.json(NOT_APPLIED, *blind)
    assert set(refused) == {"error", "message", "outcome", *COUNTS}
    assert (refused["outcome"], refused["code"]) == ("not applied", "quorum_not_reached")
    assert (refused["needed"], set(refused["causes"])) == (2, {"n2", "n3"})
    people = await cli(*blind)
    assert (people.status, people.out) == (NOT_APPLIED, [])
    assert people.err[0].startswith("not applied: ")
    assert (await cli("get", "cart", "dave")).status == NOT_APPLIED
    assert (await cli("get", "cart", "dave", "--r", "1")).status == DONE
    assert (await cli(*blind, "--w", "1")).status == DONE
    assert (await cli("outcome", id)).status in (DONE, UNKNOWN)
    seen = await cli.json(DONE, "status")
    assert {node["state"] for node in seen["nodes"].values()} == {"serving", "unreachable"}


async def test_nobody_answers() -> None:
    done = await run(*CLIENT_COMMAND, "--seeds", "127.0.0.1:1", "get", "cart", "key")
    assert (done.status, done.out) == (NOT_APPLIED, [])
    assert "Start one with `make run`" in done.err[0]
