"""`dynamo-node run`: one daemon in the foreground."""

import asyncio
import ipaddress
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog
import uvloop

from dynamo.brain import JoinsAnew
from dynamo.config import LOCAL_ID, ClusterConfig, ConfigError, NodeConfig
from dynamo.errors import DynamoError
from dynamo_node import logs
from dynamo_node.directory import CLUSTER_ID, cluster_id, is_owned, node_directory, require_own
from dynamo_node.joining import topology_at
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
    join: str | None = None
    """HOST:PORT[,…] of members of the cluster that this node is to join."""


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

    if options.join is not None and not is_owned(Path(node.data)):
        # Another cluster, or none, is told before a directory is marked as that one's.
        asyncio.run(topology_at(options.join, config))
    with node_directory(Path(node.data)):
        require_own(Path(node.data), config.id, node.name)
        status = _served(serve(config, node.name, bootstrap=options.bootstrap, ready=ready))
        while status is None:
            status = _served(serve(config, node.name, bootstrap=False, ready=ready))
    return status


def _served(serving: Coroutine[Any, Any, None]) -> int | None:
    """The exit status; None if the node is to start once more, on an empty store."""
    log = structlog.get_logger()
    try:
        uvloop.run(serving)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        cause = first_cause(error)
        if isinstance(cause, JoinsAnew):
            log.warning("starting again on an empty store", reason=str(cause))
            return None
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
        beside = Path(node.data).absolute().parent
        if options.join is not None and not (beside / CLUSTER_ID).exists():
            raise ConfigError(
                "cluster.id",
                f"{beside} has no file {CLUSTER_ID}: put --data beside the directories of the "
                "cluster's nodes, or give --cluster-id, the content of that file there",
            )
        id = cluster_id(beside)
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
