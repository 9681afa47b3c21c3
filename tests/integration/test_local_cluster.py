"""LocalCluster as an application's tests use it: real nodes inside the calling process."""

import asyncio
import gc
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from dynamo.config import builtin
from dynamo.errors import StorageFailed
from dynamo.ring import partition_of, token_of
from dynamo.storage import checkpoint, segment
from dynamo_client import QuorumNotReached, Table, Unavailable, connect
from dynamo_node import LocalCluster


async def fill(table: Table, count: int = 20) -> None:
    await asyncio.gather(*(table.put(f"key {number}", number) for number in range(count)))


async def check(table: Table, count: int = 20) -> None:
    items = await asyncio.gather(*(table.get(f"key {number}") for number in range(count)))
    assert [item.value for item in items] == list(range(count))


@pytest.mark.slow
async def test_it_serves_what_the_document_says() -> None:
    async with LocalCluster() as cluster, connect(cluster.seeds) as db:
        assert cluster.names == ["n1", "n2", "n3"]
        assert len(cluster.seeds.split(",")) == 3
        cart = db.table("cart")
        context = await cart.put("alice", ["apples"])
        await cart.put("alice", ["apples", "pears"], context)
        assert (await cart.get("alice")).value == ["apples", "pears"]
        await cart.delete("alice")
        assert not (await cart.get("alice")).found


@pytest.mark.slow
async def test_members_edited_in_the_file_of_a_running_cluster_are_told_to_count_no_more(
    tmp_path: Path,
) -> None:
    founded = builtin(3)
    first, *others = founded.nodes
    edited = replace(founded, nodes=(replace(first, weight=2.0), *others))
    warnings = []
    for config in (founded, founded, edited):
        with structlog.testing.capture_logs() as logs:
            async with LocalCluster(path=tmp_path, config=config):
                pass
        structlog.reset_defaults()
        warnings.append([log for log in logs if log["log_level"] == "warning"])
    assert warnings[:2] == [[], []]
    assert len(warnings[2]) == 3
    assert "the members are those of the ring" in warnings[2][0]["event"]
    assert warnings[2][0]["ring"][0] == "n1 (host n1, zone -, weight 1.0)"
    assert warnings[2][0]["cluster_yml"][0] == "n1 (host n1, zone -, weight 2.0)"


@pytest.mark.slow
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "path"])
async def test_a_node_stops_and_starts_while_writes_go_on(durable: bool, tmp_path: Path) -> None:
    path = tmp_path / "data" if durable else None
    async with LocalCluster(path=path) as cluster, connect(cluster.seeds) as db:
        cart = db.table("cart")
        await fill(cart, 10)
        for name in cluster.names:
            await cluster.stop(name)
            await fill(db.table("session"), 20)
            await check(cart, 10)
            await cluster.start(name)
            assert cluster.node(name).is_serving()
        await check(cart, 10)
        await check(db.table("session"), 20)


@pytest.mark.slow
async def test_a_restarted_node_really_has_its_data(tmp_path: Path) -> None:
    """Whoever started anew holds what it needs for the others to go away."""
    async with LocalCluster(path=None) as cluster, connect(cluster.seeds) as db:
        cart = db.table("cart")
        await fill(cart)
        await cluster.stop("n1")
        await cluster.start("n1")
        await cluster.stop("n2")
        await check(cart)


@pytest.mark.slow
async def test_data_under_a_path_is_found_again(tmp_path: Path) -> None:
    path = tmp_path  # it exists, and is empty
    async with LocalCluster(path=path) as cluster, connect(cluster.seeds) as db:
        await fill(db.table("cart"))
    assert sorted(entry.name for entry in path.iterdir()) == ["n1", "n2", "n3"]
    async with LocalCluster(path=path) as cluster, connect(cluster.seeds) as db:
        await check(db.table("cart"))


async def test_several_clusters_at_once_do_not_mix() -> None:
    async with LocalCluster(1) as one, LocalCluster(1) as other:
        assert one.seeds != other.seeds
        async with connect(one.seeds) as db, connect(other.seeds) as elsewhere:
            await db.table("cart").put("k", "here")
            assert not (await elsewhere.table("cart").get("k")).found


@pytest.mark.slow
async def test_tables_of_an_own_configuration() -> None:
    config = builtin(3)
    strict = replace(config.tables[0], name="orders", r=3, w=3)
    async with (
        LocalCluster(config=replace(config, tables=(strict,))) as cluster,
        connect(cluster.seeds) as db,
    ):
        orders = db.table("orders")
        await orders.put("k", "v")
        await cluster.stop("n3")
        with pytest.raises(QuorumNotReached) as raised:
            await orders.put("k", "w")
        assert raised.value.outcome == "not applied"
        assert raised.value.failure.needed == 3


@pytest.mark.slow
async def test_a_strict_handle_lets_nobody_stand_in() -> None:
    async with LocalCluster(5) as cluster, connect(cluster.seeds) as db:
        sloppy, strict = db.table("cart"), db.table("cart", strict=True)
        context = await strict.put("k", "old")
        ring, table = db.ring(), cluster.config.tables[0]
        owners = ring.owners[partition_of(token_of(table.id, b"k"), ring.partitions)][: table.n]
        for name in owners[1:]:
            await cluster.stop(name)
        context = await sloppy.put("k", "new", context)
        with pytest.raises(QuorumNotReached) as raised:
            await strict.put("k", "newer", context)
        assert raised.value.outcome == "not applied"
        with pytest.raises(Unavailable):
            await strict.get("k")
        assert (await sloppy.get("k")).value == "new"


async def test_a_mistake_of_the_caller_is_told() -> None:
    async with LocalCluster(1) as cluster:
        with pytest.raises(ValueError, match="n1 is running"):
            await cluster.start("n1")
        with pytest.raises(KeyError):
            await cluster.stop("n9")


def open_sockets() -> set[str]:
    """This process's sockets, as the system counts them."""
    found = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = os.readlink(entry.path)
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def is_of_the_loop(thread: threading.Thread) -> bool:
    """The loop's own pool, which the loop ends."""
    return thread.name.startswith("asyncio_")


@pytest.mark.slow
async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    async with LocalCluster(path=tmp_path / "warm") as cluster, connect(cluster.seeds) as db:
        await fill(db.table("cart"))
    gc.collect()
    threads, sockets = set(threading.enumerate()), open_sockets()
    tasks = asyncio.all_tasks()
    cluster = LocalCluster(path=tmp_path / "data")
    async with cluster, connect(cluster.seeds) as db:
        await fill(db.table("cart"))
        await cluster.stop("n2")
        await cluster.start("n2")
        assert len(open_sockets()) > len(sockets)
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() == tasks
    assert {thread for thread in threading.enumerate() if not is_of_the_loop(thread)} <= threads
    assert open_sockets() <= sockets
    for seed in cluster.seeds.split(","):
        host, port = seed.split(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))) != 0, "somebody still listens"


async def test_a_failure_inside_stops_the_nodes_too() -> None:
    cluster = LocalCluster(1)
    with pytest.raises(RuntimeError, match="the application's own"):
        async with cluster:
            raise RuntimeError("the application's own")
    with pytest.raises(OSError):
        await asyncio.open_connection(*cluster.seeds.split(":"))


@pytest.mark.slow
@pytest.mark.parametrize("clean", [True, False])
async def test_data_of_another_version_is_refused_and_left_alone(
    clean: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalCluster(1, path=tmp_path) as cluster, connect(cluster.seeds) as db:
        await fill(db.table("cart"))
    if not clean:
        (tmp_path / "n1" / "table" / "data.mdb").unlink()  # what its log says comes first
    for module in (segment, checkpoint):
        monkeypatch.setattr(module, "FORMAT", segment.FORMAT + 1)
    before = sorted(entry.name for entry in (tmp_path / "n1").iterdir())
    with pytest.raises(StorageFailed, match="the data is in format"):
        async with LocalCluster(1, path=tmp_path):
            pass
    assert sorted(entry.name for entry in (tmp_path / "n1").iterdir()) == before


@pytest.mark.slow
async def test_kv1142_updownup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Riak's case of that name: a node goes back to an older program and forward again. What the
    newer one wrote is neither read wrongly meanwhile nor lost afterwards."""
    async with LocalCluster(path=tmp_path) as cluster, connect(cluster.seeds) as db:
        cart = db.table("cart")
        await fill(cart)
        await cluster.stop("n2")
        with monkeypatch.context() as older:
            for module in (segment, checkpoint):
                older.setattr(module, "FORMAT", segment.FORMAT - 1)
            with pytest.raises(StorageFailed, match="the data is in format"):
                await cluster.start("n2")
        await cluster.start("n2")
        items = await asyncio.gather(*(cart.get(f"key {number}", r=3) for number in range(20)))
        assert [item.value for item in items] == list(range(20))
