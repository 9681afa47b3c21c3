"""The storage nodes: `dynamo-node run` processes that can be killed, stopped, wiped and started.

One cluster.yml serves all: it says where each is reached and, beside that, where it listens. A node
that joins later has one of its own, with itself in it.
"""

import asyncio
import json
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any

from dynamo.config import Durability
from dynamo_bench.chaos.schedule import zone_of
from dynamo_bench.chaos.sites import Site
from dynamo_bench.cluster import CannotMeasure

GRPC, METRICS = 100, 200
"""Groups of ports above that of frames."""
N, R, W = 3, 2, 2
STRICT, SLOPPY = "ledger", "basket"
TABLES = {
    STRICT: {"id": 1, "n": N, "r": R, "w": W, "conflict_rule": "siblings", "sloppy": False},
    SLOPPY: {"id": 2, "n": N, "r": R, "w": W, "conflict_rule": "siblings", "sloppy": True},
}
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOG_TAIL_BYTES = 3000
HTTP_TIMEOUT_S = 2.0
SAMPLE = re.compile(r"^(dynamo_\S+) (\S+)$", re.MULTILINE)


class Nodes:
    """All nodes of one cluster, running inside the context."""

    def __init__(
        self,
        directory: Path,
        sites: Mapping[str, Site],
        limits: Mapping[str, dict[str, int]],
        durability: Durability = "fsync",
        joining: Sequence[str] = (),
    ) -> None:
        """`limits`: of nodes whose bounds differ from the built-in ones; `joining`: those of
        `sites` that are no founders."""
        self.directory, self._sites = directory, sites
        described = {name: _node(directory, name, site, durability) for name, site in sites.items()}
        for name, bounds in limits.items():
            described[name]["limits"] = bounds
        self.zones = {name: zone_of(name) for name in sites}
        self.names = [name for name in sites if name not in joining]
        """Of the members."""
        founders = {name: described[name] for name in self.names}
        cluster = {"name": "chaos", "id": token_hex(16)}
        common = _written(directory / "cluster.yml", cluster, founders)
        self.by_name = {name: Daemon(name, common, sites[name], None) for name in self.names}
        """Members and those who were or will be."""
        for name in joining:
            nodes = {**founders, name: described[name]}
            own = _written(directory / f"cluster-{name}.yml", cluster, nodes)
            self.by_name[name] = Daemon(name, own, sites[name], lambda: self.seeds)
        self.left: list[int] = []
        """Exit statuses of those who have left."""

    async def __aenter__(self) -> "Nodes":
        try:
            await self.start(bootstrap=True)
        except BaseException:
            await self._kill()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._kill()

    @property
    def seeds(self) -> list[str]:
        """What clients connect to: the members."""
        return [self.seed(name) for name in self.names]

    def seed(self, name: str) -> str:
        """Where a node is reached."""
        return f"{self._sites[name].address}:{self._sites[name].port}"

    async def join(self, name: str) -> None:
        """Start a node that waits to be made a member. Raises CannotMeasure."""
        await self.by_name[name].start()

    async def leave(self, name: str) -> None:
        """Stop a node that is no member any more."""
        self.names.remove(name)
        self.left.append(await self.by_name[name].stop())

    async def start(self, *, bootstrap: bool = False) -> None:
        """Start all members that are down, side by side."""
        await asyncio.gather(*(node.start(bootstrap=bootstrap) for node in self._members))

    async def are_whole(self) -> bool:
        """Whether every member serves all of its partitions."""
        return all(await asyncio.gather(*(node.is_whole() for node in self._members)))

    async def hints(self) -> int | None:
        """How many all members keep for others; None if one does not say."""
        kept = await asyncio.gather(*(node.hints() for node in self._members))
        return None if None in kept else sum(count for count in kept if count is not None)

    async def stop(self) -> list[int]:
        """Ask all members to end; their exit statuses, and those of whoever left before."""
        ended = await asyncio.gather(*(node.stop() for node in self._members))
        return [*ended, *self.left]

    @property
    def _members(self) -> list["Daemon"]:
        return [self.by_name[name] for name in self.names]

    async def _kill(self) -> None:
        for node in self.by_name.values():
            await node.kill()


class Daemon:
    """One node, over several lives."""

    def __init__(
        self, name: str, config: Path, site: Site, seeds: Callable[[], list[str]] | None
    ) -> None:
        """Its directory is beside its configuration. `seeds`: who is a member at the moment, of one
        that joins; a founder asks nobody."""
        self.name, self.directory, self._seeds = name, config.with_name(name), seeds
        self._config, self._site = config, site
        self._log = config.with_name(f"{name}.log")
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline: socket.socket | None = None

    @property
    def is_up(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    async def start(self, *, bootstrap: bool = False) -> float:
        """Start it unless it is up; the seconds until it served. Raises CannotMeasure."""
        if self.is_up:
            return 0.0
        began = time.monotonic()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._lifeline = ours
        with theirs, self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(theirs.fileno(), bootstrap),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                said = await asyncio.get_running_loop().sock_recv(ours, 4096)
        except (TimeoutError, ConnectionError):
            said = b""
        if not said:
            raise CannotMeasure(f"{self.name} does not serve:\n{self.log_tail()}")
        return time.monotonic() - began

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
        self._let_go()

    async def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self._process is not None, "it was started"
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            await self.kill()
        self._let_go()
        return self._process.returncode or 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is a process."""
        if self.is_up:
            assert self._process is not None, "it is up"
            self._process.send_signal(number)

    def wipe(self) -> None:
        """Its disk is gone; only while it is down."""
        assert not self.is_up, "a running node's directory is its own"
        shutil.rmtree(self.directory)

    async def is_whole(self) -> bool:
        """Whether it serves all of its partitions."""
        return self.is_up and await self._http("/health") is not None

    async def refuses_writes(self) -> bool:
        """Whether its own figures say that it takes no writes."""
        return "\ndynamo_refusing 1" in (await self._http("/metrics") or "")

    async def hints(self) -> int | None:
        """How many it keeps for others; None if it does not say."""
        kept = (await self.metrics()).get("dynamo_hints")
        return None if kept is None else round(kept)

    async def metrics(self) -> dict[str, float]:
        """Its own figures by name and labels, as the page has them; none if it does not answer."""
        page = await self._http("/metrics") or ""
        return {name: float(value) for name, value in SAMPLE.findall(page)}

    def log_tail(self) -> str:
        """The last it said."""
        return self._log.read_text(errors="replace")[-LOG_TAIL_BYTES:]

    def _command(self, lifeline: int, bootstrap: bool) -> list[str]:
        return [
            *self._site.prefix,
            *(str(Path(sys.executable).with_name("dynamo-node")), "run"),
            *("--config", str(self._config), "--name", self.name),
            *("--lifeline-fd", str(lifeline), "--log-format", "text"),
            *(("--bootstrap",) if bootstrap and self._seeds is None else ()),
            *(() if self._seeds is None else ("--join", ",".join(self._seeds()))),
        ]

    def _let_go(self) -> None:
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None

    async def _http(self, path: str) -> str | None:
        """The body of a page; None unless it is there and all is well."""
        port = self._site.port + METRICS
        try:
            async with asyncio.timeout(HTTP_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(self._site.control, port)
                writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                answer = (await reader.read()).decode()
                writer.close()
        except (OSError, TimeoutError):
            return None
        return answer if f" {HTTPStatus.OK.value} " in answer.partition("\r\n")[0] else None


def _written(file: Path, cluster: dict[str, str], nodes: dict[str, dict[str, Any]]) -> Path:
    """cluster.yml, which JSON is as well."""
    told = {"cluster": cluster, "nodes": nodes, "tables": TABLES, "timing": "local"}
    file.write_text(json.dumps(told, indent=1))
    return file


def _node(directory: Path, name: str, site: Site, durability: Durability) -> dict[str, Any]:
    """One node's part of it."""
    return {
        "address": site.address,
        "port": site.port,
        "listen_address": site.listen_address,
        "listen_port": site.listen_port,
        "grpc_port": site.port + GRPC,
        "metrics_port": site.port + METRICS,
        "data": str(directory / name),
        "zone": zone_of(name),
        "durability": durability,
    }
