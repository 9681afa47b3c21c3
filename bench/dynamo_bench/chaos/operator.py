"""The operator: orders changes of members with `dynamo member …`, as a person would type it."""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

COMMAND_S = 120.0
"""How long one command may take; a change of members waits until the data has moved."""
TIMEOUT_MS = 5000
TOLD_MAX = 300
"""Characters of what a command said when it failed."""


class Refused(Exception):
    """A command was not done; the message says what was typed, and what it said."""


class Operator:
    """Somebody at a terminal."""

    def __init__(self, seeds: Callable[[], list[str]]) -> None:
        """`seeds`: the members of the moment."""
        self._seeds = seeds

    async def member(self, *words: str) -> dict[str, Any]:
        """`dynamo --json member …`; its answer. Raises Refused."""
        options = ("--seeds", ",".join(self._seeds()), "--json", "--timeout-ms", str(TIMEOUT_MS))
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("dynamo")), *options, "member", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        typed = f"dynamo member {' '.join(words)}"
        try:
            async with asyncio.timeout(COMMAND_S):
                out, said = await process.communicate()
        except TimeoutError:
            raise Refused(f"{typed}: not done in {COMMAND_S:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode:
            told = " ".join((said or out).decode(errors="replace").split())[:TOLD_MAX]
            raise Refused(f"{typed}: exit status {process.returncode}, {told}")
        answer: dict[str, Any] = json.loads(out)
        return answer
