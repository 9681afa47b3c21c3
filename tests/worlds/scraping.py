"""A node's metrics over HTTP, as Prometheus would read them."""

import asyncio
from collections.abc import Callable
from urllib.request import urlopen

from cluster_process import pause

DEADLINE_S = 20.0


async def metrics(frames_port: int) -> dict[str, float]:
    """All samples without labels of the node on that port."""
    url = f"http://127.0.0.1:{frames_port + 200}/metrics"
    text = await asyncio.to_thread(lambda: urlopen(url, timeout=5).read().decode())
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {words[0]: float(words[1]) for words in lines if "{" not in words[0]}


async def until_metrics(
    frames_port: int, condition: Callable[[dict[str, float]], bool], what: str
) -> dict[str, float]:
    """The metrics, once they fulfil the condition. Raises AssertionError after a while."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while not condition(found := await metrics(frames_port)):
        assert loop.time() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        await pause()
    return found
