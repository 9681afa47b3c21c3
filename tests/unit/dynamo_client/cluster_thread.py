"""The fake cluster in a thread of its own, for clients that block."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from fake_cluster import FakeCluster, fake_cluster


class ClusterThread:
    """A running cluster; what is to be done with it runs in its loop."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        """Until all nodes listen."""
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """Until all is closed."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def do(self, act: Callable[[FakeCluster], object]) -> None:
        """Run a function in the loop's thread and wait for it."""

        async def done() -> None:
            result = act(self._cluster)
            if asyncio.iscoroutine(result):
                await result

        asyncio.run_coroutine_threadsafe(done(), self._loop).result()

    @property
    def seeds(self) -> str:
        """As `connect` takes them."""
        return self._cluster.seeds

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with fake_cluster(self._nodes) as self._cluster:
            self._started.set_result(None)
            await self._stopping.wait()


@contextmanager
def cluster_thread(nodes: int = 3) -> Iterator[ClusterThread]:
    """A running cluster."""
    cluster = ClusterThread(nodes)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
