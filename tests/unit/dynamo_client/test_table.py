"""What an application does with a table, and what it is told when it asks for the impossible."""

from collections.abc import AsyncIterator

import pytest
from fake_cluster import FakeCluster, fake_cluster

from dynamo.messages import ASK_REPAIR, GET, PUT, REPLICA_GET
from dynamo_client import (
    JSON,
    RAW,
    CannotDecode,
    CannotEncode,
    Closed,
    Database,
    InvalidContext,
    InvalidQuorum,
    InvalidRequest,
    KeyTooLarge,
    NotFound,
    Siblings,
    UnknownTable,
    ValueTooLarge,
    connect,
)


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster() as cluster:
        yield cluster


@pytest.fixture
async def db(cluster: FakeCluster) -> AsyncIterator[Database]:
    async with connect(cluster.seeds) as db:
        yield db


async def test_what_was_put_is_got(db: Database) -> None:
    cart = db.table("cart")
    await cart.put("alice", {"apples": 2, "pears": [1, None]})
    item = await cart.get("alice")
    assert item.found
    assert item.value == {"apples": 2, "pears": [1, None]}


async def test_nothing_there_is_not_found(db: Database) -> None:
    item = await db.table("cart").get("nobody")
    assert not item.found
    assert item.values == []
    with pytest.raises(NotFound):
        _ = item.value


async def test_text_and_bytes_name_the_same_key(db: Database) -> None:
    cart = db.table("cart")
    await cart.put("zoë", 1, sort_key="ü")
    assert (await cart.get("zoë".encode(), sort_key="ü".encode())).value == 1
    assert not (await cart.get("zoë")).found


async def test_writes_without_context_are_siblings_until_one_merges_them(db: Database) -> None:
    cart = db.table("cart")
    await cart.put("alice", "apples")
    await cart.put("alice", "pears")
    item = await cart.get("alice")
    assert sorted(item.values) == ["apples", "pears"]
    with pytest.raises(Siblings) as several:
        _ = item.value
    assert several.value.context == item.context
    assert sorted(several.value.values) == ["apples", "pears"]
    await cart.put("alice", "both", several.value.context)
    assert (await cart.get("alice")).value == "both"


async def test_the_returned_context_replaces_the_own_write(db: Database) -> None:
    cart = db.table("cart")
    context = await cart.put("alice", 1)
    await cart.put("alice", 2, context)
    assert (await cart.get("alice")).values == [2]


async def test_delete_reads_first_and_the_item_is_gone(db: Database) -> None:
    cart = db.table("cart")
    await cart.put("alice", 1)
    context = await cart.delete("alice")
    assert not (await cart.get("alice")).found
    await cart.put("alice", 2, context)
    assert (await cart.get("alice")).values == [2]


async def test_delete_with_an_old_context_leaves_what_it_never_saw(db: Database) -> None:
    cart = db.table("cart")
    context = await cart.put("alice", 1)
    await cart.put("alice", 2)
    await cart.delete("alice", context)
    assert (await cart.get("alice")).values == [2]


async def test_deleting_nothing_writes_nothing(db: Database, cluster: FakeCluster) -> None:
    await db.table("cart").delete("nobody")
    assert cluster.requests(PUT) == []


async def test_lww_keeps_the_later_write_of_one_client(db: Database) -> None:
    session = db.table("session")
    for number in range(20):
        await session.put("alice", number)
    assert (await session.get("alice")).values == [19]


async def test_server_driven_reads_ask_one_coordinator(cluster: FakeCluster) -> None:
    async with connect(cluster.seeds, reads="server") as db:
        context = await db.table("cart").put("alice", 1)
        item = await db.table("cart").get("alice")
        await db.table("cart").put("alice", 2, item.context)
        assert context == item.context
        assert (await db.table("cart").get("alice")).values == [2]
    assert len(cluster.requests(GET)) == 2
    assert cluster.requests(REPLICA_GET) == []


async def test_client_driven_reads_ask_exactly_r_replicas(
    db: Database, cluster: FakeCluster
) -> None:
    budget = db._opened_router().calls.hedging.budget
    while budget.spend():
        pass  # a busy machine would hedge
    await db.table("cart").get("alice")
    await db.table("cart").get("alice", r=1)
    await db.table("cart").get("alice", r=3)
    assert len(cluster.requests(REPLICA_GET)) == 2 + 1 + 3
    assert cluster.requests(GET) == []


async def test_replicas_that_differ_are_named_to_an_owner(
    db: Database, cluster: FakeCluster
) -> None:
    cart = db.table("cart")
    await cluster["n3"].stop()
    await cart.put("alice", 1)
    await cluster["n3"].start()
    await _linked(db, 3)
    item = await cart.get("alice", r=3)
    assert item.values == [1]
    await cart.get("alice", r=3)
    assert cluster.requests(ASK_REPAIR)


async def test_codecs(db: Database) -> None:
    raw, json = db.table("cart", codec=RAW), db.table("cart", codec=JSON)
    await raw.put("bytes", b"\x00\xff")
    assert (await raw.get("bytes")).value == b"\x00\xff"
    await json.put("text", {"ü": [1.5]})
    assert (await raw.get("text")).value == '{"ü":[1.5]}'.encode()
    with pytest.raises(CannotDecode, match="json"):
        await json.get("bytes")
    with pytest.raises(CannotEncode, match="bytes"):
        await raw.put("text", "text")
    with pytest.raises(CannotEncode, match="msgpack"):
        await db.table("cart").put("object", object())


async def test_wrong_requests_are_refused_before_they_are_sent(
    db: Database, cluster: FakeCluster
) -> None:
    cart = db.table("cart")
    with pytest.raises(UnknownTable, match="cart, catalog, session"):
        db.table("carts")
    with pytest.raises(KeyTooLarge):
        await cart.put("", 1)
    with pytest.raises(KeyTooLarge):
        await cart.get("k" * 1025)
    with pytest.raises(KeyTooLarge, match="sort key"):
        await cart.get("k", sort_key="s" * 1025)
    with pytest.raises(ValueTooLarge):
        await cart.put("k", b"v" * (1 << 20))
    with pytest.raises(InvalidQuorum, match="R=4"):
        await cart.get("k", r=4)
    with pytest.raises(InvalidQuorum, match="W=0"):
        await cart.put("k", 1, w=0)
    with pytest.raises(InvalidRequest, match="timeout"):
        await cart.get("k", timeout_ms=0)
    with pytest.raises(InvalidRequest, match="str or bytes"):
        await cart.get(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidContext):
        await cart.put("k", 1, "context")  # type: ignore[arg-type]
    assert cluster.requests(PUT) == cluster.requests(REPLICA_GET) == []


async def test_a_context_of_another_table_is_refused_by_the_node(db: Database) -> None:
    context = await db.table("session").put("alice", 1)
    with pytest.raises(InvalidContext, match="another item"):
        await db.table("cart").put("alice", 1, context)


async def test_a_closed_database_says_so(cluster: FakeCluster) -> None:
    db = connect(cluster.seeds)
    with pytest.raises(Closed, match="not open"):
        db.table("cart")
    async with db:
        cart = db.table("cart")
    with pytest.raises(Closed):
        await cart.get("alice")
    with pytest.raises(Closed):
        db.table("cart")
    with pytest.raises(Closed):
        await db.__aenter__()


async def test_ring_and_status(db: Database, cluster: FakeCluster) -> None:
    await cluster["n2"].stop()
    status = await db.status()
    assert db.ring() == cluster.ring
    assert status["nodes"]["n1"]["state"] == "serving"
    assert status["nodes"]["n2"]["state"] == "unreachable"
    assert status["tables"]["cart"]["n"] == 3
    assert status["cluster"] == cluster.config.fingerprint().hex()


async def _linked(db: Database, count: int) -> None:
    """Until so many nodes say that they serve."""
    for _ in range(1000):
        status = await db.status()
        if sum(node["state"] == "serving" for node in status["nodes"].values()) == count:
            return
    raise AssertionError("the nodes did not come back")


@pytest.mark.parametrize("timeout_ms", [0, -1, float("inf"), float("nan"), 1e12, "1", [], True])
async def test_a_wrong_timeout_is_refused_and_leaves_nothing_behind(
    db: Database, timeout_ms: object
) -> None:
    cart = db.table("cart")
    with pytest.raises(InvalidRequest, match="a timeout is ms above zero"):
        await cart.get("alice", timeout_ms=timeout_ms)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="a timeout is ms above zero"):
        await cart.put("alice", 1, timeout_ms=timeout_ms)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="a timeout is ms above zero"):
        await cart.update("alice", list, timeout_ms=timeout_ms)  # type: ignore[arg-type]
    assert db._router is not None
    assert db._router.calls.in_flight == 0


async def test_what_is_no_key_codec_or_operation_id_is_refused(db: Database) -> None:
    with pytest.raises(InvalidRequest, match="the key is no text"):
        await db.table("cart").get("\ud800")
    with pytest.raises(InvalidRequest, match="a codec is one of"):
        db.table("cart", "json")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="a codec is one of"):
        db.table("cart", strict="yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="an operation id is text"):
        await db.outcome(5)  # type: ignore[arg-type]


async def test_a_forgotten_await_of_a_write_is_told(db: Database) -> None:
    with pytest.warns(RuntimeWarning, match="was never awaited"):
        db.table("cart").put("alice", 1)  # type: ignore[unused-coroutine]
