"""`dynamo-node run`: one daemon in the foreground."""

import ipaddress
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog
import uvloop

from dynamo.config import LOCAL_ID, ClusterConfig, ConfigError, NodeConfig
from dynamo.errors import DynamoError
from dynamo_node import logs
from dynamo_node.directory import cluster_id, node_directory, require_own
from dynamo_node.lifeline import Lifeline


@dataclass(frozen=True)
class RunOptions:
    """What the command line said."""

    config: ClusterConfig
    name: str
    bootstrap: bool = False
    data: Path | None = None
    cluster_id: str | None = None
    lifeline_fd: int | None = None
    log_format: logs.LogFormat = "auto"
    log_level: logs.LogLevel = "info"


class Serve(Protocol):
    """The daemon: serves until SIGTERM, drains, returns; raises what ends it otherwise."""

    def __call__(
        self,
        config: ClusterConfig,
        name: str,
        *,
        bootstrap: bool,
        ready: Callable[[dict[str, Any]], None],
    ) -> Coroutine[Any, Any, None]:
        """Call `ready` once requests are answered."""


def run(options: RunOptions, serve: Serve) -> int:
    """Serve until SIGTERM; the exit status. Raises ConfigError, CannotStart."""
    config = resolved(options)
    node = config.node(options.name)
    lifeline = Lifeline(options.lifeline_fd) if options.lifeline_fd is not None else None
    logs.configure(node.name, options.log_format, options.log_level)
    log = structlog.get_logger()

    def ready(facts: dict[str, Any]) -> None:
        log.info("serving", frames=node.seed, grpc=node.place(node.grpc_port), data=node.data)
        if lifeline:
            lifeline.ready({"name": node.name, "pid": os.getpid(), **facts})

    with node_directory(Path(node.data)):
        require_own(Path(node.data), config.id, node.name)
        try:
            uvloop.run(serve(config, node.name, bootstrap=options.bootstrap, ready=ready))
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            cause = first_cause(error)
            if not isinstance(cause, DynamoError | OSError):
                raise
            log.critical("the node stops", reason=str(cause), kind=type(cause).__name__)
            return 1
    return 0


def first_cause(error: BaseException) -> BaseException:
    """What a group of errors began with."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def resolved(options: RunOptions) -> ClusterConfig:
    """The configuration with this node's directory and a real cluster id."""
    config, node = options.config, options.config.node(options.name)
    if options.data is not None:
        node = replace(node, data=str(options.data))
        others = {other.name: other for other in config.nodes} | {node.name: node}
        config = replace(config, nodes=tuple(others.values()))
    id = options.cluster_id or config.id
    if id == LOCAL_ID:
        _require_one_machine(config.nodes)
        id = cluster_id(Path(node.data).absolute().parent)
    return replace(config, id=id)


def _require_one_machine(nodes: tuple[NodeConfig, ...]) -> None:
    """The id `local` stands for what one machine keeps beside the data; hosts would differ."""
    for node in nodes:
        if not is_loopback(node.address):
            raise ConfigError(
                "cluster.id",
                f"`{LOCAL_ID}` works on one machine only, but {node.name} is on {node.address}; "
                f"write an id that is the same on all hosts, such as {secrets.token_hex(16)}",
            )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
