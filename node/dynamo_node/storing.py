"""Runs the store's blocking jobs in threads: one log group at a time, checkpoints paced.

    writes of many messages ─▶ one group ─▶ log thread: one append, one fdatasync ─▶ Persisted
                                   checkpoint thread: small synced slices with pauses between

While one group syncs the next one gathers, so that the busier the node, the larger the groups. A
failed sync ends the process: what the disk holds is unknown from then on, a restart reads it.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from dynamo.errors import StorageFailed
from dynamo.meters import Meters
from dynamo.storage.files import DiskFull
from dynamo.storage.port import Engine, WriteGroup
from dynamo_node.worker import Worker

DISK_CHECK_S = 1.0
DISK_FULL_RETRY_S = 0.5
"""A group that finds the disk full waits so long; nothing of it was acknowledged."""
SLICE_PAUSE_SHARE = 1.0
"""Pause after a checkpoint slice, as a share of the time it took. Raising it: checkpoints disturb
the log's fsyncs less and take longer."""

log = structlog.get_logger()


class StoreDriver:
    """The threads of one engine."""

    def __init__(
        self,
        engine: Engine,
        persisted: Callable[[list[Any]], None],
        failed: Callable[[BaseException], None],
        meters: Meters,
        interval_ms: int | None,
    ) -> None:
        """`persisted` gets the tokens of each durable group; `failed` the end of the store.

        `interval_ms`: groups count before they are synced, the log is synced this often.
        """
        self._engine, self._persisted, self._failed = engine, persisted, failed
        self._meters, self._interval_ms = meters, interval_ms
        self.checkpoints = 0
        self.checkpoint_ms = 0.0
        self._began = 0.0
        self._log_thread = Worker("log")
        self._checkpoint_thread = Worker("checkpoint")
        self.is_closing = False
        """Whether the store is about to be closed and must be touched no more."""
        self._busy = False
        self._pause_share = SLICE_PAUSE_SHARE
        self._checkpointing: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._retry: asyncio.TimerHandle | None = None
        self._disk_full = self._checkpoint_put_off = False

    async def __aenter__(self) -> "StoreDriver":
        self._loop = asyncio.get_running_loop()
        self._check_disk()
        if self._interval_ms is not None:
            self._sync_later()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the group and the checkpoint under way; the engine is closed by its owner."""
        for timer in (*self._timers, *([self._retry] if self._retry else [])):
            timer.cancel()
        self._pause_share, self.is_closing = 0.0, True
        if self._checkpointing is not None:
            await asyncio.wait([self._checkpointing])
        await self._log_thread.close()
        await self._checkpoint_thread.close()

    def kick(self) -> None:
        """There may be writes waiting: start a group unless one is under way."""
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._next_group)

    def _next_group(self) -> None:
        group = None if self.is_closing else self._engine.take_group()
        if group is None:
            self._busy = False
            return
        self._run(group)

    def _run(self, group: WriteGroup) -> None:
        self._began = time.perf_counter()
        self._log_thread.run(group.run, partial(self._group_done, group))

    def _group_done(self, group: WriteGroup, error: BaseException | None) -> None:
        if isinstance(error, DiskFull):
            if not self._disk_full:
                log.error("disk full; writes wait until there is room", reason=str(error))
            self._disk_full = True
            self._retry = self._loop.call_later(DISK_FULL_RETRY_S, self._run, group)
            return
        if error is not None:
            self._failed(error)
            return
        if self._disk_full:
            log.info("there is room on the disk again")
            self._disk_full = False
        tokens = self._engine.synced(group)
        self._meters.fsync_ms.observe((time.perf_counter() - self._began) * 1000)
        self._meters.commit_group.observe(len(tokens))
        self._persisted(tokens)
        # The next group is sealed after one look at the sockets: what the others have sent
        # meanwhile goes into it. Groups are larger, and puts at 64 in flight 7 % more.
        self._loop.call_soon(self._loop.call_soon, self._next_group)
        self._checkpoint_if_due()

    def _checkpoint_if_due(self) -> None:
        if self._checkpointing is None and self._engine.checkpoint_due():
            self._checkpointing = self._loop.create_task(self._checkpoint())

    async def _checkpoint(self) -> None:
        """Write the frozen table slice by slice."""
        checkpoint = self._engine.begin_checkpoint()
        if checkpoint is None:
            self._checkpointing = None
            return
        try:
            started = time.perf_counter()
            for piece in checkpoint.slices():
                began = time.perf_counter()
                await self._slice(piece)
                await asyncio.sleep((time.perf_counter() - began) * self._pause_share)
            self._engine.checkpointed(checkpoint)
            self.checkpoints += 1
            self.checkpoint_ms += (time.perf_counter() - started) * 1000
            self._checkpoint_put_off = False
        except DiskFull as error:
            if not self._checkpoint_put_off:
                log.error("disk full, the checkpoint is put off", reason=str(error))
            self._checkpoint_put_off = True
            self._engine.checkpoint_failed(checkpoint)
            await asyncio.sleep(DISK_FULL_RETRY_S)
        except Exception as error:
            self._failed(error)
        self._checkpointing = None

    def _check_disk(self) -> None:
        """Look at the free space now and then. A checkpoint that could not be made before is begun
        from here: with the memory full there is no write any more that would begin it."""
        try:
            self._engine.check_disk()
        except StorageFailed as error:
            self._failed(error)
            return
        self._checkpoint_if_due()
        self._timers = [timer for timer in self._timers if not timer.cancelled()][-2:]
        self._timers.append(self._loop.call_later(DISK_CHECK_S, self._check_disk))

    def _sync_later(self) -> None:
        """Durability `interval`: sync what has gathered, every so often."""
        assert self._interval_ms is not None
        self._log_thread.run(self._engine.sync, self._interval_synced)

    def _interval_synced(self, error: BaseException | None) -> None:
        if error is not None:
            self._failed(error)
            return
        assert self._interval_ms is not None
        delay = self._loop.call_later(self._interval_ms / 1000, self._sync_later)
        self._timers.append(delay)

    async def _slice(self, piece: Callable[[], object]) -> None:
        """Run one slice of a checkpoint in its thread."""
        finished: asyncio.Future[None] = self._loop.create_future()

        def done(error: BaseException | None) -> None:
            if error is None:
                finished.set_result(None)
            else:
                finished.set_exception(error)

        self._checkpoint_thread.run(piece, done)
        await finished
