"""The client processes as seen from the one that leads."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from dynamo_bench.cluster import CannotMeasure

READS = ("client", "server")
"""Who asks the replicas for a get: every other process the one way."""
LINE_BYTES_MAX = 1 << 20
END_S = 10.0


class Loads:
    """Some client processes, alive inside the context."""

    def __init__(self, spec: dict[str, Any], processes: int, directory: Path) -> None:
        self._spec, self._count, self._directory = spec, processes, directory
        self._processes: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> "Loads":
        try:
            for number in range(1, self._count + 1):
                self._processes.append(await self._started(number))
            for process in self._processes:
                await self._answer(process)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def all(self, **order: Any) -> list[dict[str, Any]]:
        """Tell all to do something; their answers. Raises CannotMeasure if one has ended."""
        return await asyncio.gather(*(self._ask(p, order) for p in self._processes))

    async def save(self) -> Sequence[Path]:
        """The files with what all of them did."""
        files = []
        for number, process in enumerate(self._processes, 1):
            file = self._directory / f"journal-{number}"
            await self._ask(process, {"do": "save", "file": str(file)})
            files.append(file)
        return files

    async def _started(self, number: int) -> asyncio.subprocess.Process:
        spec = {
            **self._spec,
            "process": number,
            "processes": self._count,
            "reads": READS[(number - 1) % len(READS)],
        }
        with (self._directory / f"client-{number}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "dynamo_bench.chaos.load_process", json.dumps(spec)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_BYTES_MAX,
                start_new_session=True,
            )

    async def _ask(
        self, process: asyncio.subprocess.Process, order: dict[str, Any]
    ) -> dict[str, Any]:
        assert process.stdin is not None, "started with a pipe"
        with suppress(ConnectionError):  # it has ended, which its answer will tell
            process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self._answer(process)

    async def _answer(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None, "started with a pipe"
        line = await process.stdout.readline()
        if not line:
            number = self._processes.index(process) + 1
            log = (self._directory / f"client-{number}.log").read_text(errors="replace")
            raise CannotMeasure(f"a client process ended:\n{log[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _end(self) -> None:
        for process in self._processes:
            if process.returncode is None and process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            try:
                await asyncio.wait_for(process.wait(), END_S)
            except TimeoutError:
                process.kill()
                await process.wait()
