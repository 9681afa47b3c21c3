"""A full disk and a failed fsync on a real node: puts refused in words, or the end of the process;
gets and deletes go on; nothing acknowledged is lost."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cluster_process import ClusterProcess, Program, pause, until
from frames_client import FramesClient, get, packed, put
from remembering import serves_all

from dynamo.errors import Code
from dynamo.messages import Failed, GetDone, PutDone
from dynamo_client import OutcomeUnknown, QuorumNotReached, Table, Unavailable, connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SICK_NODE = Path(__file__).parents[1] / "worlds" / "sick_node.py"
KEYS = 60
LARGE = "x" * 200_000


class Sick:
    """A cluster of three in which n3 runs on a disk that falls sick when told."""

    def __init__(self, cluster: ClusterProcess, data: Path, flags: Path) -> None:
        self.cluster, self.data, self.flags = cluster, data, flags
        self.port = cluster.port + 2
        self.node = self.started()

    def started(self) -> Program:
        """n3 as a process of its own."""
        config = str(self.cluster.data / "cluster.yml")
        os.environ["SICK"] = str(self.flags)
        words = ("run", "--config", config, "--name", "n3", "--data", str(self.data))
        return Program("env", f"SICK={self.flags}", sys.executable, str(SICK_NODE), *words)

    def fall(self, how: str) -> None:
        (self.flags / how).touch()

    def recover(self, how: str) -> None:
        (self.flags / how).unlink()

    async def fill(self, first: int, count: int = KEYS) -> None:
        """Keys that all three have acknowledged."""
        async with connect(self.cluster.seeds) as db:
            cart = db.table("cart")
            wanted = range(first, first + count)
            await asyncio.gather(*(cart.put(f"key {n}", n, w=3) for n in wanted))

    async def n3_has(self, numbers: range) -> None:
        """Its own copy alone answers R=1."""
        async with FramesClient(self.port) as client:
            for number in numbers:
                answer = await client.ask(get(b"key %d" % number, r=1))
                assert isinstance(answer, GetDone), answer
                assert answer.payloads == (packed(number),)

    async def takes_puts(self, takes: bool) -> None:
        """Wait until n3 takes writes again, or refuses them in words."""
        async with FramesClient(self.port) as client, asyncio.timeout(15):
            while True:
                answer = await client.ask(put(b"probe", packed("probe")))
                if isinstance(answer, PutDone) is takes:
                    break
                await pause()
        if not takes:
            assert isinstance(answer, Failed)
            assert (Code(answer.code), answer.unknown) == (Code.OVERLOADED, False)
            assert answer.message == "this node takes no writes: disk full"
            assert answer.retry_after_ms > 0


@asynccontextmanager
async def sick(tmp_path: Path, data: Path) -> AsyncIterator[Sick]:
    flags = tmp_path / "flags"
    flags.mkdir()
    async with ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster:
        await serves_all(cluster.seeds, 3)
        pid = cluster.pid("n3")
        cluster.kill("n3")
        await until(lambda: not Path(f"/proc/{pid}").exists(), "n3 is gone")
        made = Sick(cluster, data, flags)
        try:
            await serves_all(cluster.seeds, 3)
            yield made
        finally:
            if made.node.status is None:
                made.node.signal(15)
            await made.node.ended()
            print("\n".join(made.node.err[-30:]))


async def test_a_full_disk_refuses_puts_and_goes_on(tmp_path: Path) -> None:
    async with sick(tmp_path, tmp_path / "n3") as world:
        await world.fill(0)
        world.fall("no-room")
        await world.takes_puts(False)
        async with connect(world.cluster.seeds) as db:
            cart = db.table("cart")
            assert await cart.put("by two", 1), "the full node is passed over"
            with pytest.raises((QuorumNotReached, Unavailable)) as refused:
                await cart.put("by three", 1, w=3, timeout_ms=20_000)
            assert "disk full" in str(refused.value)
        async with FramesClient(world.port) as client:
            answer = await client.ask(get(b"key 0"))
            assert answer.payloads == (packed(0),)
            gone = await client.ask(put(b"key 0", None, context=answer.context, w=3))
            assert isinstance(gone, PutDone), "a delete is taken by all three"
        assert world.node.status is None
        world.recover("no-room")
        await world.takes_puts(True)
        await world.fill(KEYS)
        await world.n3_has(range(1, 2 * KEYS))


async def test_a_failed_fsync_ends_the_process_with_a_word(tmp_path: Path) -> None:
    async with sick(tmp_path, tmp_path / "n3") as world:
        await world.fill(0)
        world.fall("fsync-fails")
        async with connect(world.cluster.seeds) as db:
            cart = db.table("cart")
            for number in range(KEYS, 2 * KEYS):
                await cart.put(f"key {number}", number)
            assert await world.node.ended() == 1
            last = world.node.err[-1]
            assert '"level": "critical"' in last
            assert "the log cannot be trusted any more: cannot sync" in last
            assert "StorageFailed" in last
            assert "Traceback" not in world.node.told()
            world.recover("fsync-fails")
            world.node = world.started()
            await serves_all(world.cluster.seeds, 3)
            await world.n3_has(range(KEYS))
            for number in range(2 * KEYS):
                assert (await cart.get(f"key {number}", r=3)).value == number


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk of its own needs the right to mount one")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_disk_that_is_really_full(tmp_path: Path, small_disk: Path) -> None:
    """Written until nothing fits; then a stranger's file takes the reserve as well, and goes."""
    async with sick(tmp_path, small_disk / "n3") as world:
        await world.fill(0)
        async with connect(world.cluster.seeds) as db:
            cart, number = db.table("cart"), 0
            while await _is_taken(cart, number):
                number += 1
            assert 10 < number < 200, world.node.told()
            await world.takes_puts(False)
            stranger = small_disk / "stranger"
            _fill_up(stranger)
            for key in range(20):
                assert await cart.put(f"by two {key}", key)
            await world.n3_has(range(KEYS))
            assert world.node.status is None
            stranger.unlink()
            for key in range(number):
                await cart.delete(f"large {key}")
        assert world.node.status is None
        world.node.signal(15)
        assert await world.node.ended() == 0
        world.node = world.started()
        await serves_all(world.cluster.seeds, 3)
        await world.n3_has(range(KEYS))


async def _is_taken(cart: Table, number: int) -> bool:
    """Whether all three take another large value, of which a small disk holds some dozens.

    The one that meets the end of the disk waits in n3's log for room: its fate is open in time.
    """
    try:
        await cart.put(f"large {number}", LARGE, w=3)
    except OutcomeUnknown:
        return False
    except Unavailable as refused:
        if "disk full" not in str(refused):
            raise
        return False
    return number < 200


def _fill_up(file: Path) -> None:
    with file.open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(1 << 16)):
                pass
        except OSError:
            return
