"""The store driver around engines that run into trouble."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dynamo.errors import StorageFailed
from dynamo.meters import Meters
from dynamo.storage.files import DiskFull
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import ItemKey
from dynamo_node import storing
from dynamo_node.storing import StoreDriver


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "DISK_CHECK_S", 0.002)
    monkeypatch.setattr(storing, "DISK_FULL_RETRY_S", 0.002)


class Frozen:
    """A checkpoint of one slice."""

    def __init__(self, piece: Callable[[], int]) -> None:
        self._piece = piece

    def slices(self) -> Iterator[Callable[[], int]]:
        yield self._piece


class FullOfMemory(MemoryEngine):
    """Nothing is accepted any more until a checkpoint has made room."""

    def __init__(self, disk_is_full: int = 0, log_is_behind: int = 0) -> None:
        super().__init__()
        self.disk_is_full, self.log_is_behind = disk_is_full, log_is_behind
        self.emptied = asyncio.Event()

    def checkpoint_due(self) -> bool:
        return not self.emptied.is_set()

    def begin_checkpoint(self) -> Frozen | None:
        if self.log_is_behind:
            self.log_is_behind -= 1
            return None
        return Frozen(self._slice)

    def checkpointed(self, checkpoint: Any) -> None:
        self.emptied.set()

    def _slice(self) -> int:
        if self.disk_is_full:
            self.disk_is_full -= 1
            raise DiskFull("no room")
        return 0


@pytest.mark.parametrize("trouble", [{"disk_is_full": 2}, {"log_is_behind": 2}, {}])
async def test_a_checkpoint_that_is_due_needs_no_write_to_begin(trouble: dict[str, int]) -> None:
    """With the memory full no write comes any more: a node that waited for one stayed full."""
    engine = FullOfMemory(**trouble)
    failures: list[BaseException] = []
    async with (
        asyncio.timeout(5),
        StoreDriver(engine, lambda _: None, failures.append, Meters(), None),
    ):
        await engine.emptied.wait()
    assert not failures


class Vanished(MemoryEngine):
    """A directory that can be looked at no more."""

    def check_disk(self) -> None:
        raise StorageFailed("the directory is gone")


async def test_a_disk_that_cannot_be_looked_at_ends_the_store() -> None:
    """Else nobody would look again, and a node once full would stay so for ever."""
    failures: list[BaseException] = []
    async with StoreDriver(Vanished(), lambda _: None, failures.append, Meters(), None):
        assert [type(failure) for failure in failures] == [StorageFailed]


async def test_a_checkpoint_that_is_put_off_again_and_again_is_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = FullOfMemory(disk_is_full=3)
    async with (
        asyncio.timeout(5),
        StoreDriver(engine, lambda _: None, lambda _: None, Meters(), None),
    ):
        await engine.emptied.wait()
    assert capsys.readouterr().out.count("the checkpoint is put off") == 1


class Lazy(MemoryEngine):
    """Keeps a diary of its syncs, or fails them."""

    def __init__(self, diary: list[str], sync_fails: bool = False) -> None:
        super().__init__()
        self._diary, self._sync_fails = diary, sync_fails
        self.synced_again = threading.Event()

    def sync(self) -> None:
        self._diary.append("synced")
        if self._diary.count("synced") > 1:
            self.synced_again.set()
        if self._sync_fails:
            raise StorageFailed("the sync failed")


async def test_an_interval_acknowledges_before_it_syncs_and_syncs_soon_after() -> None:
    diary: list[str] = []
    engine = Lazy(diary)
    acknowledged = asyncio.Event()

    def persisted(tokens: list[Any]) -> None:
        diary.extend(f"acknowledged {token}" for token in tokens)
        acknowledged.set()

    async with (
        asyncio.timeout(5),
        StoreDriver(engine, persisted, pytest.fail, Meters(), 300) as driver,
    ):
        engine.put(ItemKey(b"00k"), b"record", 7)
        driver.kick()
        await acknowledged.wait()
        assert diary == ["synced", "acknowledged 7"]
        await asyncio.to_thread(engine.synced_again.wait)
    assert diary[2] == "synced"


async def test_an_interval_whose_sync_fails_ends_the_store_and_is_not_tried_again() -> None:
    """What the disk holds is unknown after it; a second sync would say that all is well."""
    diary: list[str] = []
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    engine = Lazy(diary, sync_fails=True)
    async with (
        asyncio.timeout(5),
        StoreDriver(engine, lambda _: None, failed.set_result, Meters(), 1),
    ):
        assert isinstance(await failed, StorageFailed)
        assert not await asyncio.to_thread(engine.synced_again.wait, 0.02)
    assert diary == ["synced"]
