"""One thread that runs blocking jobs in order, and tells the event loop of each.

An executor makes a future, a work item and a semaphore for every job; a log group is a matter of
two hundred microseconds, so here a job costs one queue entry and one wake-up of the loop.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

Job = Callable[[], object]
Done = Callable[[BaseException | None], None]
"""Called on the loop with what the job raised, or None."""


class Worker:
    """The thread; jobs handed in before `close` are all run."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Job, done: Done) -> None:
        """Run `job` in the thread, then `done` on the loop."""
        self._jobs.put((job, done))

    async def close(self) -> None:
        """Run what was handed in, end the thread."""
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            error: BaseException | None = None
            try:
                job()
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # a loop that is already closed needs no news
                self._loop.call_soon_threadsafe(done, error)
