"""Nodes are restarted, given up, stopped and killed as promised; with fake nodes."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from dynamo.config import NodeConfig, builtin
from dynamo_node.restarts import ATTEMPTS_MAX, DELAY_S_MAX, STEADY_S, Restarts
from dynamo_node.supervisor import Supervisor

HERE = Path(__file__).parent
FAKE_NODE = HERE / "fake_node.py"
DEADLINE_S = 30.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Listener:
    """An `Audience` that remembers, and that a test can wait for."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.lines: list[tuple[str, str]] = []
        self.served: list[str] = []
        self.pids: list[dict[str, int]] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def say(self, text: str) -> None:
        self.said.append(text)
        self._tell()

    def line(self, name: str, text: str) -> None:
        self.lines.append((name, text))
        self._tell()

    def serves(self, node: NodeConfig) -> None:
        self.served.append(node.name)
        self._tell()

    def all_serve(self, pids: dict[str, int]) -> None:
        self.pids.append(dict(pids))
        self._tell()

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(happened)

    def _tell(self) -> None:
        task = asyncio.create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


class World:
    """A supervisor over fake nodes; `behaviour` may change between lives."""

    def __init__(self, nodes: int, restart: bool, stop_timeout_s: float) -> None:
        self.behaviour = {node.name: "serve" for node in builtin(nodes).nodes}
        self.audience = Listener()
        self.supervisor = Supervisor(
            builtin(nodes).nodes,
            self._command,
            self.audience,
            (lambda: Restarts(Random(1), first_delay_s=0.01)) if restart else None,
            stop_timeout_s,
        )
        self._task: asyncio.Task[int] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.supervisor.run())

    async def ended(self) -> int:
        assert self._task is not None
        async with asyncio.timeout(DEADLINE_S):
            return await self._task

    def _command(self, node: NodeConfig, fd: int) -> list[str]:
        return [sys.executable, str(FAKE_NODE), str(fd), self.behaviour[node.name]]


@asynccontextmanager
async def world(
    nodes: int = 2, restart: bool = True, stop_timeout_s: float = DEADLINE_S, **behaviour: str
) -> AsyncIterator[World]:
    """A started world, stopped in the end whatever happens."""
    made = World(nodes, restart, stop_timeout_s)
    made.behaviour.update(behaviour)
    made.start()
    try:
        yield made
    finally:
        made.supervisor.stop()
        made.supervisor.stop()
        await made.ended()


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(autouse=True)
def _modules_for_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])


@pytest.mark.slow
async def test_all_serve_speak_and_stop() -> None:
    async with world() as made:
        audience = made.audience
        await audience.until(lambda: bool(audience.pids))
        pids = audience.pids[0]
        assert sorted(pids) == ["n1", "n2"] == sorted(audience.served)
        await audience.until(lambda: ("n1", f"hello from {pids['n1']}") in audience.lines)
        made.supervisor.stop()
        assert await made.ended() == 0
        assert not any(exists(pid) for pid in pids.values())
        assert audience.said == []


@pytest.mark.slow
async def test_a_dead_node_is_started_again() -> None:
    async with world() as made:
        audience = made.audience
        await audience.until(lambda: len(audience.pids) == 1)
        os.kill(audience.pids[0]["n1"], signal.SIGKILL)
        await audience.until(lambda: len(audience.pids) == 2)
        before, after = audience.pids
        assert before["n1"] != after["n1"]
        assert before["n2"] == after["n2"]
        assert "(killed by SIGKILL); starting it again in" in audience.said[0]


@pytest.mark.slow
async def test_a_node_that_has_served_is_never_given_up() -> None:
    async with world(1, n1="crash") as made:
        audience = made.audience
        await audience.until(lambda: len(audience.served) > ATTEMPTS_MAX)
        assert all("(exit status 3); starting it again" in text for text in audience.said)


@pytest.mark.slow
async def test_a_node_that_never_serves_stops_everything_with_its_last_words() -> None:
    async with world(n2="fail") as made:
        assert await made.ended() == 1
        said = made.audience.said
        assert len(said) == ATTEMPTS_MAX
        assert f"{ATTEMPTS_MAX} times without ever serving; stopping everything" in said[-1]
        assert said[-1].endswith("Its last words:\n    no disk today")


@pytest.mark.slow
async def test_without_restart_the_others_go_on() -> None:
    async with world(restart=False) as made:
        audience = made.audience
        await audience.until(lambda: bool(audience.pids))
        first, second = audience.pids[0]["n1"], audience.pids[0]["n2"]
        os.kill(first, signal.SIGKILL)
        await audience.until(lambda: bool(audience.said))
        assert "it stays down because of --no-restart" in audience.said[0]
        assert exists(second)
        made.supervisor.stop()
        assert await made.ended() == 1
        assert len(audience.pids) == 1


@pytest.mark.slow
async def test_without_restart_the_last_death_ends_it() -> None:
    async with world(restart=False, n1="fail", n2="crash") as made:
        assert await made.ended() == 1
        assert made.audience.said[-1] == "no node is left"


@pytest.mark.slow
async def test_a_node_that_does_not_stop_is_killed_and_named() -> None:
    async with world(stop_timeout_s=0.05, n1="stubborn") as made:
        audience = made.audience
        await audience.until(lambda: bool(audience.pids))
        made.supervisor.stop()
        assert await made.ended() == 1
        assert "n1 is killed, not stopped after 0.05 s" in audience.said[0]
        assert not any(exists(pid) for pid in audience.pids[0].values())


@pytest.mark.slow
async def test_the_second_stop_kills_at_once() -> None:
    async with world(1, n1="stubborn") as made:
        audience = made.audience
        await audience.until(lambda: bool(audience.pids))
        made.supervisor.stop()
        made.supervisor.stop()
        assert await made.ended() == 1
        assert "n1 is killed, at once" in audience.said[0]


@pytest.mark.slow
async def test_a_node_that_fails_to_stop_cleanly_is_named() -> None:
    async with world(1, n1="unclean") as made:
        await made.audience.until(lambda: bool(made.audience.pids))
        made.supervisor.stop()
        assert await made.ended() == 1
        assert made.audience.said == ["n1 did not stop cleanly (exit status 4)"]


@pytest.mark.slow
def test_no_node_outlives_a_killed_up() -> None:
    command = [sys.executable, str(HERE / "fake_up.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        handles = [os.pidfd_open(int(pid)) for pid in up.stdout.readline().split()]
        assert len(handles) == 2
        up.kill()
    for handle in handles:
        assert select.select([handle], [], [], DEADLINE_S)[0], "a node lingers"
        os.close(handle)


def test_backoff_doubles_to_its_maximum_with_jitter() -> None:
    restarts = Restarts(Random(0))
    restarts.served()
    delays = [restarts.died(1.0) for _ in range(12)]
    for k, delay in enumerate(delays):
        most = min(0.2 * 2**k, DELAY_S_MAX)
        assert delay is not None
        assert most / 2 <= delay <= most


def test_a_long_life_ends_the_row() -> None:
    restarts = Restarts(Random(0))
    for _ in range(3 * ATTEMPTS_MAX):
        delay = restarts.died(STEADY_S)
        assert delay is not None
        assert delay <= 0.2


def test_five_deaths_before_serving_are_enough() -> None:
    restarts = Restarts(Random(0))
    delays = [restarts.died(0.1) for _ in range(ATTEMPTS_MAX)]
    assert [delay is None for delay in delays] == [False] * (ATTEMPTS_MAX - 1) + [True]
