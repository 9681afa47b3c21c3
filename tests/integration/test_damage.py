"""Damage to a stopped node's files: it starts as what it still is, nothing acknowledged is lost.

    torn log tail          cut; the node is the same and has everything
    damaged log middle     a lost disk: new incarnation, copied from the others before it counts
    damaged value          one item: answered from the others, and repaired
    damaged page, cut file the process ends or never begins on it, then it is a lost disk
    an old copy            the others remember: a new incarnation

(A wiped directory: tests/integration/test_rebuilding.py.)
"""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cluster_process import SMALL_NODE, ClusterProcess, Program, run, until
from frames_client import FramesClient, get, packed, put
from remembering import serves_all
from scraping import until_metrics

from dynamo.messages import ASK_STATUS, AskStatus, GetDone, PutDone
from dynamo.storage.segment import GROUP_HEADER_BYTES, encode_group, sound_groups
from dynamo_client import connect

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

KEYS = 120
BODY = "b" * 600


class Patient:
    """A cluster of three whose n2 or n3 is stopped, hurt and started again by a test."""

    def __init__(self, cluster: ClusterProcess) -> None:
        self.cluster = cluster
        self.written = 0
        self._programs: dict[str, Program] = {}

    async def write(self, keys: int = KEYS) -> None:
        """So many keys more, each acknowledged by all three."""
        async with connect(self.cluster.seeds) as db:
            cart = db.table("cart")
            wanted = range(self.written, self.written + keys)
            await asyncio.gather(
                *(cart.put(f"key {n}", [n, BODY], w=3, timeout_ms=10_000) for n in wanted)
            )
        self.written += keys

    async def has_everything(self, name: str) -> None:
        """Every acknowledged value is found, by all and by this node's copy alone."""
        async with connect(self.cluster.seeds) as db:
            for number in range(self.written):
                item = await db.table("cart").get(f"key {number}", r=3, timeout_ms=5000)
                assert item.value == [number, BODY]
        await self.alone_has_everything(name)

    async def alone_has_everything(self, name: str) -> None:
        """By R=1 through this node, whose own copy is always the first to answer."""
        async with FramesClient(self.port(name)) as client:
            for number in range(self.written):
                answer = await client.ask(get(b"key %d" % number, r=1))
                assert isinstance(answer, GetDone), answer
                assert answer.payloads == (packed([number, BODY]),)

    def port(self, name: str) -> int:
        return self.cluster.port + int(name[1:]) - 1

    async def stop(self, name: str, number: signal.Signals) -> Path:
        """The node's directory, once nobody uses it."""
        pid = self.cluster.pid(name)
        self.cluster._signal(number, (name,))
        await until(lambda: not Path(f"/proc/{pid}").exists(), f"{name} is gone")
        return self.cluster.data / name

    async def start(self, name: str) -> dict[str, Any]:
        """Start it and wait until all serve; what it said of its store."""
        await self.cluster.run_by_hand(name)
        await serves_all(self.cluster.seeds, 3)
        return self.opened(name)

    def opened(self, name: str) -> dict[str, Any]:
        events = self.cluster.events(name)
        return [event for event in events if event["event"] == "store opened"][-1]

    async def actor(self, name: str) -> str:
        async with FramesClient(self.port(name)) as client:
            actor: str = (await client.ask(AskStatus(ASK_STATUS, 0))).status["actor"]
        return actor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Patient]:
    data = tmp_path_factory.mktemp("damage") / "data"
    async with ClusterProcess(data, 3, "--no-restart") as cluster:
        await serves_all(cluster.seeds, 3)
        yield Patient(cluster)


def newest_groups(directory: Path) -> tuple[Path, bytes, list[Any]]:
    """(file, its bytes, its sound groups) of the newest log segment that holds any."""
    for file in sorted(directory.glob("log-*"), reverse=True):
        data = file.read_bytes()
        if groups := list(sound_groups(data, int(file.name.removeprefix("log-")))):
            return file, data, groups
    raise AssertionError("no group in any segment")


async def test_a_torn_log_tail_is_cut(patient: Patient) -> None:
    """A group that was being written when the power failed: its first sector only."""
    await patient.write()
    before = await patient.actor("n2")
    directory = await patient.stop("n2", signal.SIGKILL)
    file, _, groups = newest_groups(directory)
    last = groups[-1]
    generation = int(file.name.removeprefix("log-"))
    torn = encode_group(generation, last.number + 1, last.number, b"\x81" * 4000, 12345)
    with file.open("r+b") as log:
        log.seek(last.end)
        log.write(torn[:512])
    opened = await patient.start("n2")
    assert (opened["damaged"], opened["clean"]) == (False, False)
    assert opened["partitions_missing"] == 0
    assert await patient.actor("n2") == before
    await patient.has_everything("n2")


async def test_a_damaged_log_middle_is_a_lost_disk(patient: Patient) -> None:
    for _ in range(20):  # a checkpoint may just have begun a new segment
        await patient.write()
        if len(newest_groups(patient.cluster.data / "n2")[2]) > 2:
            break
    before = await patient.actor("n2")
    directory = await patient.stop("n2", signal.SIGKILL)
    file, data, groups = newest_groups(directory)
    middle = groups[len(groups) // 2 - 1].end + GROUP_HEADER_BYTES
    assert len(groups) > 2
    with file.open("r+b") as log:
        log.seek(middle)
        log.write(bytes([data[middle] ^ 1]))
    opened = await patient.start("n2")
    assert (opened["damaged"], opened["partitions_missing"]) == (True, 256)
    assert await patient.actor("n2") != before
    await patient.has_everything("n2")


async def test_a_damaged_value_is_answered_by_the_others_and_repaired(patient: Patient) -> None:
    async with FramesClient(patient.port("n2")) as client:
        done = await client.ask(put(b"precious", packed("a value found nowhere else"), w=3))
        assert isinstance(done, PutDone)
    directory = await patient.stop("n2", signal.SIGTERM)
    assert flipped(directory / "table" / "data.mdb", b"a value found nowhere else")
    opened = await patient.start("n2")
    assert (opened["damaged"], opened["partitions_missing"]) == (False, 0)
    async with FramesClient(patient.port("n2")) as client:
        answer = await client.ask(get(b"precious"))
        assert answer.payloads == (packed("a value found nowhere else"),)
        metrics = await until_metrics(
            patient.port("n2"), lambda m: m["dynamo_read_repairs_total"] >= 1, "it is repaired"
        )
        assert metrics["dynamo_damaged_keys"] == 0
        assert metrics["dynamo_corrupt_records_total"] >= 1
        alone = await client.ask(get(b"precious", r=1))
        assert alone.payloads == answer.payloads


def flipped(file: Path, near: bytes) -> int:
    """Flip one bit in each place of the file that holds those bytes; how many there were."""
    data = bytearray(file.read_bytes())
    count, place = 0, data.find(near)
    while place >= 0:
        data[place + 3] ^= 4
        count += 1
        place = data.find(near, place)
    file.write_bytes(data)
    return count


@pytest.mark.parametrize("how", ["pages", "cut", "header"])
async def test_a_damaged_table_is_a_lost_disk(patient: Patient, how: str) -> None:
    """Where LMDB notices at the start; the node puts the files aside and rebuilds."""
    await patient.write(20)
    before = await patient.actor("n2")
    directory = await patient.stop("n2", signal.SIGTERM)
    file = directory / "table" / "data.mdb"
    data = file.read_bytes()
    assert len(data) > 20 * 4096
    if how == "pages":
        file.write_bytes(data[: 2 * 4096] + b"\xa5" * (len(data) - 2 * 4096))
    elif how == "cut":
        file.write_bytes(data[: len(data) // 2])
    else:
        file.write_bytes(bytes(len(data)))
    opened = await patient.start("n2")
    assert (opened["damaged"], opened["partitions_missing"]) == (True, 256)
    told = [
        e for e in patient.cluster.events("n2") if e["event"].startswith("the data is put aside")
    ]
    assert told[-1]["level"] == "error"
    assert list(directory.glob("damaged-*/table/data.mdb")), "kept for whoever wants to look"
    assert await patient.actor("n2") != before
    await patient.has_everything("n2")


@pytest.mark.parametrize("name", ["n2", "n3"])
async def test_an_old_copy_of_a_disk_is_noticed(patient: Patient, name: str) -> None:
    """Its peers remember a later start; the process ends with that word, and starts anew. n2 dials
    n3, so each side of a link must be able to tell the other."""
    directory = await patient.stop(name, signal.SIGKILL)
    old = directory.with_name(f"old {name}")
    shutil.copytree(directory, old)
    await patient.start(name)
    await patient.write(30)
    before = await patient.actor(name)
    await patient.stop(name, signal.SIGKILL)
    shutil.rmtree(directory)
    old.rename(directory)
    config = str(patient.cluster.data / "cluster.yml")
    ended = await run(*SMALL_NODE, "run", "--config", config, "--name", name)
    assert ended.status == 1, ended.told()
    assert "Traceback" not in ended.told()
    assert f"remembers a later start of {name} than this disk" in ended.err[-1]
    assert '"level": "critical"' in ended.err[-1]
    opened = await patient.start(name)
    assert opened["partitions_missing"] == 256
    assert await patient.actor(name) != before
    await patient.has_everything(name)


async def test_two_daemons_on_one_directory(patient: Patient) -> None:
    config = str(patient.cluster.data / "cluster.yml")
    second = await run(*SMALL_NODE, "run", "--config", config, "--name", "n1")
    assert second.status == 1
    assert "is in use by another node (pid " in second.told()
    assert "Traceback" not in second.told()
    await patient.has_everything("n1")
