"""`dynamo-node run --join SEED[,…]`: what a new node must know of the cluster that it will join.

Its cluster.yml says what is equal on all nodes (id, Q, limits, tables); who the members are now,
any of them tells. The new node then waits, a stranger, until `dynamo member commit join` makes it
a member; from then on the members dial it, and it copies what it gains.
"""

import asyncio
from dataclasses import replace

from dynamo.config import ClusterConfig, ConfigError, NodeConfig
from dynamo.errors import InvalidRequest, ProtocolViolation
from dynamo.membership.topology import Topology
from dynamo.messages import parse
from dynamo.messages_members import ASK_TOPOLOGY, TopologyIs
from dynamo.types import NodeId
from dynamo.wire import Callbacks, Hello, Link, LinkSet, Message
from dynamo_node.directory import CannotStart

ANSWER_S = 5.0
"""How long a seed may take to answer."""


def with_newcomer(config: ClusterConfig, name: str, place: str, data: str = "") -> ClusterConfig:
    """The configuration with the node `name` in it, listening at HOST:PORT unless it says where.

    Raises ConfigError if neither does.
    """
    if any(node.name == name for node in config.nodes):
        return config
    if not place:
        raise ConfigError("nodes", f"{name} is not among them; say with --address where it listens")
    host, port = seed_of(place)
    newcomer = NodeConfig(NodeId(name), port, address=host, data=data)
    return replace(config, nodes=(*config.nodes, newcomer))


def seed_of(text: str) -> tuple[str, int]:
    """HOST:PORT as two. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ConfigError("nodes", f"{text!r} is no HOST:PORT, such as 127.0.0.1:7404")
    return host.strip("[]"), int(port)


async def topology_at(seeds: str, config: ClusterConfig) -> Topology:
    """The members and rings in force, as the first of HOST:PORT[,…] that answers knows them.

    Raises CannotStart if none does.
    """
    failures = []
    for seed in seeds.split(","):
        try:
            return await _topology_at(seed.strip(), config)
        except CannotStart as failure:
            failures.append(str(failure))
    raise CannotStart("; ".join(failures))


async def _topology_at(seed: str, config: ClusterConfig) -> Topology:
    host, port = seed_of(seed)
    told: asyncio.Future[Topology] = asyncio.get_running_loop().create_future()

    def answered(link: Link, messages: list[Message]) -> None:
        try:
            answer = parse(messages[0])
            assert isinstance(answer, TopologyIs), "only that was asked for"
            if not told.done():
                told.set_result(Topology.decoded(answer.topology))
        except (ProtocolViolation, InvalidRequest, AssertionError) as error:
            link.abort(str(error))

    def lost(link: Link, reason: str | None) -> None:
        if not told.done():
            told.set_exception(ConnectionError(reason or "it hung up"))

    hello = Hello("client", "a node that joins", config.fingerprint())
    callbacks = Callbacks(lambda _: hello, lambda link, _: None, answered, lost)
    try:
        async with LinkSet(callbacks) as links, asyncio.timeout(ANSWER_S):
            link = await links.dial(host, port)
            link.send((ASK_TOPOLOGY, 0))
            return await told
    except (OSError, ProtocolViolation) as error:
        told.cancel()
        why = str(error) or "no answer in time"
        raise CannotStart(f"the cluster cannot be joined at {seed}: {why}") from error
