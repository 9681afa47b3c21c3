"""P9 with real processes: a client that never reads its replies is cut off, a peer that stands
still counts as failed; neither makes any node's memory grow past its budget."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from cluster_process import ClusterProcess, pause, until
from frames_client import CLIENT, FramesClient, get, packed, put
from remembering import Remembering, serves_all
from scraping import until_metrics

from dynamo.keys import item_key
from dynamo.messages import REPLICA_GET, PutDone, ReplicaGet
from dynamo.ring.hashing import partition_of, token_of
from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import siblings
from dynamo.types import ItemKey, TableId
from dynamo.wire import FrameEncoder, encode_hello
from dynamo_client import connect

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

MIB = 1 << 20
VALUES, READS, CLIENTS = 8, 1000, 3
LINK_BYTES_MAX = 32 * MIB
AT_ONCE = 32 * MIB
"""One slice of a frame: 32 answers of a value of 1 MiB."""
COPIES = 2
"""A value on its way out: as it was read, and packed."""
SLACK = 48 * MIB
"""What the allocator keeps, and everything else."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterProcess]:
    data = tmp_path_factory.mktemp("memory") / "data"
    async with ClusterProcess(data, 3, "--no-restart") as made:
        await serves_all(made.seeds, 3)
        async with FramesClient(made.port) as client:
            for number in range(VALUES):
                value = bytes(MIB - 100)
                assert isinstance(await client.ask(put(b"large %d" % number, value)), PutDone)
        pids = [made.pid(name) for name in made.names]
        yield made
        assert [made.pid(name) for name in made.names] == pids, "no node has died"


def rss_anon(pid: int) -> int:
    """Bytes of the process's own memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


class Watch:
    """The most that each node has held, as seen every few milliseconds."""

    def __init__(self, cluster: ClusterProcess, *names: str) -> None:
        self._pids = {name: cluster.pid(name) for name in names}

    async def __aenter__(self) -> "Watch":
        self.first = {name: rss_anon(pid) for name, pid in self._pids.items()}
        self.most = dict(self.first)
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def growth(self) -> dict[str, int]:
        return {name: self.most[name] - self.first[name] for name in self.first}

    async def _watch(self) -> None:
        while True:
            for name, pid in self._pids.items():
                self.most[name] = max(self.most[name], rss_anon(pid))
            await pause()


def deaf_client(stack: ExitStack, port: int, frame: bytes) -> None:
    """Says hello, asks, and never reads a byte."""
    client = socket.socket()
    stack.callback(client.close)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(encode_hello(CLIENT) + frame)


def frame_of(*messages: object) -> bytes:
    return b"".join(FrameEncoder().frames([*messages], False))  # type: ignore[list-item]


@pytest.mark.parametrize("kind", ["coordinated reads", "R=1", "replica reads"])
async def test_clients_that_never_read_are_cut_off(cluster: ClusterProcess, kind: str) -> None:
    """A thousand reads of 1 MiB in one frame, from each of three clients: 3 GiB of answers."""
    keys = [b"large %d" % (number % VALUES) for number in range(READS)]
    if kind == "replica reads":
        asked = [
            ReplicaGet(REPLICA_GET, number, item(key), None) for number, key in enumerate(keys)
        ]
    else:
        r = 1 if kind == "R=1" else 2
        asked = [get(key, r=r)._replace(id=number) for number, key in enumerate(keys)]
    frame = frame_of(*asked)
    before = len(_cut_off(cluster))
    async with Watch(cluster, *cluster.names) as watch:
        with ExitStack() as stack:
            for _ in range(CLIENTS):
                deaf_client(stack, cluster.port, frame)
            await until(lambda: len(_cut_off(cluster)) >= before + CLIENTS, "all are cut off")
            await until_metrics(cluster.port, lambda m: m["dynamo_clients"] == 0, "they are gone")
        async with FramesClient(cluster.port) as client:
            assert isinstance(await client.ask(put(b"after", packed(1))), PutDone)
    budget = CLIENTS * LINK_BYTES_MAX + COPIES * AT_ONCE + SLACK
    print({name: f"{grown / MIB:.0f} MiB" for name, grown in watch.growth().items()})
    assert max(watch.growth().values()) < budget


def _cut_off(cluster: ClusterProcess) -> list[str]:
    """Why n1 has cut clients off, as it told."""
    events = cluster.events("n1")
    reasons = [str(event["reason"]) for event in events if event["event"] == "client cut off"]
    assert all(reason == "send budget exceeded" for reason in reasons)
    return reasons


def item(key: bytes) -> ItemKey:
    table = TableId(1)
    return item_key(partition_of(token_of(table, key), 256), table, key, b"")


async def test_a_peer_that_stands_still_counts_as_failed(cluster: ClusterProcess) -> None:
    """Writes and reads at W=2 and R=2 go on without it; its links are cut; thawed, it is linked
    again and reads bring it up to date."""
    async with Remembering(cluster.seeds) as load, Watch(cluster, "n1", "n2") as watch:
        await load.progress(100)
        await cluster.freeze("n3")
        try:
            await load.progress(200)
            async with connect(cluster.seeds) as db:
                cart = db.table("cart")
                for number in range(40):
                    await cart.put(f"meanwhile {number}", number, timeout_ms=5000)
                    assert (await cart.get(f"meanwhile {number}", timeout_ms=5000)).value == number
            await until(lambda: _lost(cluster, "n1") and _lost(cluster, "n2"), "links are cut")
            await load.progress(200)
        finally:
            cluster.thaw("n3")
        await serves_all(cluster.seeds, 3)
        await load.stop()
        async with connect(cluster.seeds) as db:
            await load.verify(db)
            for number in range(40):
                item_ = await db.table("cart").get(f"meanwhile {number}", r=3, timeout_ms=5000)
                assert item_.value == number
        for number in range(40):
            await _until_held_by_n3(cluster, b"meanwhile %d" % number, packed(number))
    print({name: f"{grown / MIB:.0f} MiB" for name, grown in watch.growth().items()})
    assert max(watch.growth().values()) < LINK_BYTES_MAX + SLACK


def _lost(cluster: ClusterProcess, name: str) -> bool:
    """Whether the node has told of a link that was silent for too long or over its budget."""
    lost = [e for e in cluster.events(name) if e["event"] == "peer lost" and e["peer"] == "n3"]
    return any("silent" in str(e["reason"]) or "budget" in str(e["reason"]) for e in lost)


async def _until_held_by_n3(cluster: ClusterProcess, key: bytes, value: bytes) -> None:
    """Its own record, as it lies there, once read repair has brought it."""
    async with FramesClient(cluster.port + 2) as client, asyncio.timeout(10):
        while True:
            answer = await client.ask(ReplicaGet(REPLICA_GET, 0, item(key), None))
            if answer.record is not None:
                payloads = [each.payload for each in siblings(decode_record(answer.record))]
                if payloads == [value]:
                    return
            await pause()
