"""`up` with fake nodes in a process of its own: `python fake_up.py`."""

import asyncio
import sys
from pathlib import Path

from dynamo.config import NodeConfig, builtin
from dynamo_node.supervisor import Supervisor

FAKE_NODE = Path(__file__).with_name("fake_node.py")


class Quiet:
    """Prints the pids of the nodes once all serve."""

    def say(self, text: str) -> None:
        """Not interested."""

    def line(self, name: str, text: str) -> None:
        """Not interested."""

    def serves(self, node: NodeConfig) -> None:
        """Not interested."""

    def all_serve(self, pids: dict[str, int]) -> None:
        """One line on stdout."""
        print(*pids.values(), flush=True)


def command(node: NodeConfig, fd: int) -> list[str]:
    return [sys.executable, str(FAKE_NODE), str(fd), "serve"]


async def main() -> None:
    await Supervisor(builtin(2).nodes, command, Quiet(), None).run()


if __name__ == "__main__":
    asyncio.run(main())
