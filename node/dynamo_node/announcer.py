"""What `up` tells people and scripts: addresses, the first commands to try, the ready file."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from dynamo.config import ClusterConfig, NodeConfig
from dynamo_node.cluster_directory import ClusterDirectory
from dynamo_node.directory import CannotStart, write_atomically

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
_DEFAULT_SEED = "127.0.0.1:7400"


class Announcer:
    """The `Audience` of a terminal; plain text where there is none."""

    def __init__(
        self, config: ClusterConfig, directory: ClusterDirectory, ready_file: Path | None
    ) -> None:
        self._config = config
        self._directory = directory
        self._ready_file = ready_file.absolute() if ready_file else None
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        names = [str(node.name) for node in config.nodes]
        self._width = max(len(name) for name in names)
        self._colour: dict[str, str] = {
            name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)
        }
        self._announced = False

    def prepare(self) -> None:
        """Remove what an earlier run left. Raises CannotStart if it could not be written."""
        if self._ready_file is None:
            return
        if not self._ready_file.parent.is_dir():
            raise CannotStart(f"--ready-file: {self._ready_file.parent} is no directory")
        self.withdraw()

    def withdraw(self) -> None:
        """The cluster is no longer ready."""
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)

    def say(self, text: str) -> None:
        """A sentence of `up` itself, on stderr."""
        self._err.print(Text(f"dynamo-node up: {text}"))

    def line(self, name: str, text: str) -> None:
        """A node's line, with its name before it, on stderr."""
        prefix = (f"{name:<{self._width}} | ", self._colour[name])
        self._err.print(Text.assemble(prefix, Text.from_ansi(text)))

    def serves(self, node: NodeConfig) -> None:
        """A founder that has served is a founder no more."""
        self._directory.has_served(node.name)
        if self._announced:
            self.say(f"{node.name} serves again")

    def all_serve(self, pids: dict[str, int]) -> None:
        """Write the ready file, each time with the present pids; greet once."""
        if self._ready_file is not None:
            write_atomically(self._ready_file, json.dumps(self.facts(pids), indent=2) + "\n")
        if not self._announced:
            self._announced = True
            self._greet()

    def facts(self, pids: dict[str, int]) -> dict[str, Any]:
        """The ready file's object."""
        return {
            "cluster": self._config.name,
            "id": self._config.id,
            "pid": os.getpid(),
            "seeds": [node.seed for node in self._config.nodes],
            "nodes": [
                {
                    "name": node.name,
                    "address": node.address,
                    "port": node.port,
                    "grpc_port": node.grpc_port,
                    "metrics_port": node.metrics_port,
                    "pid": pids[node.name],
                    "data": node.data,
                }
                for node in self._config.nodes
            ],
        }

    def _greet(self) -> None:
        config, say = self._config, self._out.print
        say(Text(f"cluster {config.name} serves; its data is in {self._directory.path}", "bold"))
        for node in config.nodes:
            grpc, metrics = node.place(node.grpc_port), node.place(node.metrics_port)
            colour = self._colour[node.name]
            say(
                Text.assemble((f"  {node.name:<{self._width}}", colour), f"  {node.seed}"),
                Text(f"  gRPC {grpc}  metrics http://{metrics}/metrics", "dim"),
                sep="",
            )
        if config.tables:
            table = config.tables[0].name
            say(Text.assemble("try  ", (f"{self._command()} put {table} alice 'a book'", "bold")))
            say(Text.assemble("     ", (f"{self._command()} get {table} alice", "bold")))
        say(Text("Ctrl-C stops it."))

    def _command(self) -> str:
        """The `dynamo` command as this shell would find it."""
        command = "dynamo"
        beside = Path(sys.executable).with_name("dynamo")
        if shutil.which(command) is None and beside.exists():
            here = Path.cwd()
            command = str(beside.relative_to(here) if beside.is_relative_to(here) else beside)
        seed = self._config.nodes[0].seed
        return command if seed == _DEFAULT_SEED else f"{command} --seeds {seed}"
