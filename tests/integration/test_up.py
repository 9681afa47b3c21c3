"""`dynamo-node up` and `run` end to end: what scripts and people rely on."""

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
from cluster_process import NODE_COMMAND, ClusterProcess, run, until
from remembering import serves_all

from dynamo_client import Database, connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

BIN = Path(sys.executable).parent


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _is_readable(db: Database, keys: int) -> None:
    for number in range(keys):
        item = await db.table("cart").get(f"key-{number}", timeout_ms=5000)
        assert item.value == {"number": number}


async def test_a_first_start_and_a_second(tmp_path: Path) -> None:
    """Addresses, ready file and pids; the greeting's commands work; the data is found again."""
    async with ClusterProcess(tmp_path / "data", command=NODE_COMMAND) as cluster:
        _check_facts(cluster)
        await _check_logs(cluster)
        await until(lambda: any("Ctrl-C" in line for line in cluster.up.out), "the greeting")
        await _try_the_greeting(cluster)
        async with connect(cluster.seeds) as db:
            for number in range(50):
                await db.table("cart").put(f"key-{number}", {"number": number})
        pids = [node["pid"] for node in cluster.facts["nodes"]]
        assert await cluster.stop(signal.SIGTERM) == 0, cluster.up.told()
        assert not any(_exists(pid) for pid in pids)
        assert not cluster.ready_file.exists()
        assert not any((cluster.data / name / "node.pid").exists() for name in cluster.names)

        await cluster.start()
        assert not {node["pid"] for node in cluster.facts["nodes"]} & set(pids)
        for name in cluster.names:
            (opened,) = [e for e in cluster.events(name) if e["event"] == "store opened"]
            assert (opened["clean"], opened["fresh"]) == (True, False)
            assert opened["groups_replayed"] == 0, "a clean stop leaves nothing to replay"
        async with connect(cluster.seeds) as db:
            await _is_readable(db, 50)
        assert await cluster.stop(signal.SIGINT) == 0, "Ctrl-C is as clean"


def _check_facts(cluster: ClusterProcess) -> None:
    facts, port = cluster.facts, cluster.port
    assert set(facts) == {"cluster", "id", "pid", "seeds", "nodes"}
    assert facts["pid"] == int((cluster.data / "up.lock").read_text())
    assert facts["seeds"] == [f"127.0.0.1:{port + i}" for i in range(3)]
    assert facts["id"] == (cluster.data / "cluster-id").read_text().strip()
    for i, node in enumerate(facts["nodes"]):
        assert node == {
            "name": f"n{i + 1}",
            "address": "127.0.0.1",
            "port": port + i,
            "grpc_port": port + 100 + i,
            "metrics_port": port + 200 + i,
            "pid": cluster.pid(f"n{i + 1}"),
            "data": str(cluster.data / f"n{i + 1}"),
        }
        assert _exists(node["pid"])


async def _check_logs(cluster: ClusterProcess) -> None:
    """Where no terminal is: one JSON object per line, with event, level, node and time."""
    for name in cluster.names:
        await until(
            lambda n=name: any(event["event"] == "serving" for event in cluster.events(n)),
            f"{name} tells that it serves",
        )
        events = cluster.events(name)
        assert "store opened" in {event["event"] for event in events}
        assert all({"level", "timestamp"} <= set(event) for event in events)
        assert {event["node"] for event in events} == {name}


async def _try_the_greeting(cluster: ClusterProcess) -> None:
    """What it prints as a first put and get, typed as it stands there."""
    out = "\n".join(cluster.up.out)
    for i in range(3):
        assert f"127.0.0.1:{cluster.port + i}" in out
        assert f"http://127.0.0.1:{cluster.port + 200 + i}/metrics" in out
    lines = [line for line in cluster.up.out if " alice" in line]
    put, get = (shlex.split(line.removeprefix("try").strip()) for line in lines)
    assert (put[-4:], get[-3:]) == (["put", "cart", "alice", "a book"], ["get", "cart", "alice"])
    for words, told in ((put, "applied"), (get, "a book")):
        program = Path(words[0]) if "/" in words[0] else BIN / words[0]
        done = await run(str(program), *words[1:])
        assert (done.status, done.out) == (0, [told]), done.told()


async def test_ready_means_that_every_quorum_can_be_had(tmp_path: Path) -> None:
    """Scripts write as soon as the ready file is there, and again after a restart."""
    async with ClusterProcess(tmp_path / "data") as cluster:
        await _writes_to_all(cluster)
        killed = cluster.kill("n3")
        await cluster.until_serving(not_by=killed)
        await _writes_to_all(cluster)


async def _writes_to_all(cluster: ClusterProcess) -> None:
    async with connect(cluster.seeds, timeout_ms=5000) as db:
        for number in range(20):
            await db.table("cart").put(f"key-{number}", number, w=3)


async def test_killed_nodes_come_back_with_backoff(tmp_path: Path) -> None:
    """The ready file follows; the pauses grow; a kill of `up` itself leaves no node behind."""
    async with ClusterProcess(tmp_path / "data") as cluster:
        for _ in range(3):
            killed = cluster.kill("n2")
            await cluster.until_serving(not_by=killed)
        said = [line for line in cluster.up.err if "starting it again in" in line]
        assert all("n2 ended after" in line and "killed by SIGKILL" in line for line in said)
        pauses = [float(line.rsplit("in ", 1)[1].removesuffix(" s")) for line in said]
        assert len(pauses) == 3
        for pause, most in zip(pauses, (0.2, 0.4, 0.8), strict=True):
            assert most / 2 - 0.05 <= pause <= most + 0.05
        await serves_all(cluster.seeds, 3)
        pids = [node["pid"] for node in cluster.facts["nodes"]]
        os.kill(cluster.facts["pid"], signal.SIGKILL)
        await until(lambda: not any(_exists(pid) for pid in pids), "nodes end with their `up`")


async def test_without_restart_a_node_stays_down(tmp_path: Path) -> None:
    """It is said, the others serve; a stop then tells that something failed."""
    async with ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster:
        (pid,) = cluster.kill("n1")
        await until(
            lambda: any("it stays down because of --no-restart" in x for x in cluster.up.err),
            "up says so",
        )
        assert not _exists(pid)
        async with connect(cluster.seeds) as db:
            await db.table("cart").put("key", 1, timeout_ms=5000)
        await cluster.run_by_hand("n1")
        await serves_all(cluster.seeds, 3)
        assert await cluster.stop_by_hand("n1") == 0, "SIGTERM drains and stops a single node"
        assert await cluster.stop() == 1


async def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    """A second `up` on the same data, other nodes on it, taken ports."""
    async with ClusterProcess(tmp_path / "data", 1) as cluster:
        up = (*NODE_COMMAND, "up", "--nodes")
        again = await run(*up, "1", "--data", str(cluster.data), "--port", "21100")
        assert again.status == 1, again.told()
        assert "is already run by another `dynamo-node up`" in again.told()
        taken = await run(*up, "1", "--data", str(tmp_path / "b"), "--port", str(cluster.port))
        assert taken.status == 1
        assert f"port {cluster.port} on 127.0.0.1" in taken.told()
        assert not (tmp_path / "b" / "n1").exists()
        assert await cluster.stop() == 0
        other = await run(*up, "3", "--data", str(cluster.data), "--port", str(cluster.port))
        assert other.status == 2
        assert "`up` changes no members" in other.told()


async def test_the_built_in_configuration_is_the_repository_s(tmp_path: Path) -> None:
    printed = await run(*NODE_COMMAND, "up", "--print-config")
    repository = (Path(__file__).parents[2] / "cluster.yml").read_text()
    assert printed.status == 0
    assert "\n".join(printed.out) + "\n" == repository
