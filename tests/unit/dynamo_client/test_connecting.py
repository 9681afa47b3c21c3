"""How a client finds its cluster, and what it says when it does not."""

import asyncio
import socket

import pytest
from fake_cluster import FakeCluster, fake_cluster, reply, silent

from dynamo.errors import WrongCluster
from dynamo.messages import ASK_CLUSTER, CLUSTER_IS, PUT, REPLICA_GET
from dynamo.wire import Callbacks, Hello, LinkSet
from dynamo_client import InvalidRequest, NoNodeAnswered, ProtocolViolation, connect
from dynamo_client.seeds import Seed, parse_seeds


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


async def test_one_answering_seed_is_enough() -> None:
    async with fake_cluster() as cluster:
        seeds = (f"127.0.0.1:{closed_port()}", f"127.0.0.1:{cluster['n2'].port}")
        async with connect(*seeds) as db:
            await db.table("cart").put("alice", 1)
            assert {member.node for member in db.ring().members} == set(cluster.nodes)


async def test_nobody_there_is_told_for_each_seed() -> None:
    one, other = closed_port(), closed_port()
    with pytest.raises(NoNodeAnswered) as error:
        async with connect(f"127.0.0.1:{one},127.0.0.1:{other}"):
            pass
    assert f"127.0.0.1:{one}: connection refused" in str(error.value)
    assert f"127.0.0.1:{other}: connection refused" in str(error.value)


async def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(NoNodeAnswered, match="name is not known"):
        async with connect("no-such-host.invalid"):
            pass


async def test_a_node_that_never_answers_is_told_in_time() -> None:
    async with fake_cluster(1) as cluster:
        cluster["n1"].rule(ASK_CLUSTER, silent)
        with pytest.raises(NoNodeAnswered, match="in time"):
            async with connect(cluster.seeds, connect_timeout_ms=50):
                pass


async def test_a_listener_that_is_no_node_is_told() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NoNodeAnswered, match="speaks HTTP, not dynamo frames"):
            async with connect(f"127.0.0.1:{port}"):
                pass


async def test_a_node_that_refuses_is_told_in_its_words() -> None:
    lost: list[str | None] = []
    callbacks = Callbacks(
        lambda theirs: Hello("node", "n1", b"c", durability="fsync"),
        lambda link, hello: link.close("n1 is stopping"),
        lambda link, messages: None,
        lambda link, reason: lost.append(reason),
    )
    async with LinkSet(callbacks) as links:
        port = await links.listen()
        with pytest.raises(NoNodeAnswered, match="n1 is stopping"):
            async with connect(f"127.0.0.1:{port}"):
                pass


async def test_another_cluster_is_refused() -> None:
    async with fake_cluster() as cluster:
        fingerprint = cluster.config.fingerprint()
        async with connect(cluster.seeds, cluster=fingerprint.hex()) as db:
            await db.table("cart").put("alice", 1)
        with pytest.raises(WrongCluster):
            async with connect(cluster.seeds, cluster=b"\x01" * 16):
                pass


async def test_a_cluster_described_in_a_wrong_way_is_told() -> None:
    async with fake_cluster(1) as cluster:
        cluster["n1"].rule(ASK_CLUSTER, reply(CLUSTER_IS, (1, 2), (), (), {}, 0, ()))
        with pytest.raises((NoNodeAnswered, ProtocolViolation), match="wrong way"):
            async with connect(cluster.seeds):
                pass


async def test_keys_that_no_linked_node_owns_are_passed_on() -> None:
    async with fake_cluster(5) as cluster:
        async with connect(cluster.seeds) as db:
            cart = db.table("cart")
            await asyncio.gather(*(cart.put(f"k{number}", number) for number in range(40)))
            found = await asyncio.gather(*(cart.get(f"k{number}") for number in range(40)))
            assert [item.value for item in found] == list(range(40))
        assert all(node.requests(PUT) and node.requests(REPLICA_GET) for node in _nodes(cluster))


async def test_a_large_ring_is_linked_when_needed() -> None:
    async with fake_cluster(17) as cluster, connect(f"127.0.0.1:{cluster['n1'].port}") as db:
        await db.table("cart").put("alice", 1)
        assert (await db.table("cart").get("alice")).value == 1
        linked = [peer for peer in db._router.links.peers.values() if peer.link]  # type: ignore[union-attr]
        assert len(linked) <= 4


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("127.0.0.1:7400", [("127.0.0.1", 7400)]),
        ("example", [("example", 7400)]),
        ("a:1, b:2,,a:1", [("a", 1), ("b", 2)]),
        ("[::1]:9", [("::1", 9)]),
        ("[::1]", [("::1", 7400)]),
    ],
)
def test_seeds_as_people_write_them(text: str, seeds: list[tuple[str, int]]) -> None:
    assert parse_seeds(text) == tuple(Seed(*seed) for seed in seeds)
    assert parse_seeds(*map(str, parse_seeds(text))) == parse_seeds(text)


@pytest.mark.parametrize("text", ["", ",", ":7400", "a:b", "a:0", "a:65536", "::1", "a:²"])
def test_wrong_seeds_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="seed"):
        parse_seeds(text)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="reads"):
        connect("a:1", reads="both")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="fingerprint"):
        connect("a:1", cluster="xyz")


def _nodes(cluster: FakeCluster) -> list[object]:
    return list(cluster.nodes.values())
