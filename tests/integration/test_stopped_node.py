"""A node that stands still (SIGSTOP) is suspect to the others within about a second, reads pass it
by, and its first word brings it back; its link stays open all the while."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cluster_process import ClusterProcess, pause
from frames_client import FramesClient, get, put
from scraping import metrics, until_metrics

from dynamo.messages import ASK_STATUS, AskStatus, GetDone, PutDone, StatusIs

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SUSPECT_WITHIN_S = 3.0
"""Twice what the default timing allows at most, and some, for a busy machine."""
READS = 50


async def view(client: FramesClient, of: str) -> dict[str, Any]:
    """What a node thinks of another one."""
    answer = await client.ask(AskStatus(ASK_STATUS, 0))
    assert isinstance(answer, StatusIs)
    members: dict[str, dict[str, Any]] = answer.status["members"]
    return members.get(of, {})


async def until_seen(client: FramesClient, of: str, seconds: float, **wanted: Any) -> float:
    """Wait until a node thinks so of another one; how long it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        seen = await view(client, of)
        if all(seen.get(name) == value for name, value in wanted.items()):
            return loop.time() - began
        assert loop.time() - began < seconds, f"not {wanted} within {seconds} s, but {seen}"
        await pause()


async def test_a_stopped_node_is_suspected_passed_by_and_welcomed_back(tmp_path: Path) -> None:
    async with (
        ClusterProcess(tmp_path / "data", 3, "--no-restart", idle_timeout_ms=60_000) as cluster,
        FramesClient(cluster.port) as n1,
        FramesClient(cluster.port + 1) as n2,
    ):
        for client in (n1, n2):
            await until_seen(client, "n3", 10, state="alive", answers=True)
        assert isinstance(await n1.ask(put(b"k")), PutDone)
        await cluster.freeze("n3")
        for client in (n1, n2):
            await until_seen(client, "n3", SUSPECT_WITHIN_S, state="suspect", answers=False)
        hedged = (await metrics(cluster.port))["dynamo_hedges_total"]
        for _ in range(READS):
            assert isinstance(await n1.ask(get(b"k")), GetDone)
        found = await metrics(cluster.port)
        assert found["dynamo_hedges_total"] == hedged, "nobody asked n3 and waited"
        assert found["dynamo_suspicions_total"] >= 1
        await until_seen(n1, "n3", 20, state="dead")
        cluster.thaw("n3")
        for client in (n1, n2):
            await until_seen(client, "n3", SUSPECT_WITHIN_S, state="alive", answers=True)
        await until_metrics(
            cluster.port + 2,
            lambda numbers: numbers["dynamo_refutations_total"] >= 1,
            "n3 denies that it is dead",
        )


async def test_a_node_that_stops_cleanly_has_left(tmp_path: Path) -> None:
    async with ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster:
        async with FramesClient(cluster.port) as n1:
            await until_seen(n1, "n3", 10, state="alive", answers=True)
            cluster.stop_node("n3")
            await until_seen(n1, "n3", 20, state="left")
        await cluster.run_by_hand("n3")
        async with FramesClient(cluster.port) as n1:
            await until_seen(n1, "n3", 20, state="alive", answers=True)
        assert await cluster.stop_by_hand("n3") == 0
        async with FramesClient(cluster.port) as n1:
            await until_seen(n1, "n3", 20, state="left")
