"""Whether the ports of a cluster are free, asked before anything is started."""

import errno
import socket
from collections.abc import Sequence

from dynamo.config import NodeConfig
from dynamo_node.directory import CannotStart


def require_free(nodes: Sequence[NodeConfig]) -> None:
    """Raise CannotStart for the first port that a node could not listen on.

    Asks without SO_REUSEPORT, with which gRPC would quietly share a port with a stranger.
    """
    for node in nodes:
        for kind, port in zip(("frames", "gRPC", "metrics"), node.ports(), strict=True):
            try:
                _listen_once(node.listens_at, port)
            except OSError as error:
                raise CannotStart(_sentence(node, kind, port, error)) from error


def _listen_once(address: str, port: int) -> None:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(1)


def _sentence(node: NodeConfig, kind: str, port: int, error: OSError) -> str:
    place = f"port {port} on {node.listens_at}, for {kind} of {node.name},"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place} is in use; stop what listens there (`ss -ltnp 'sport = :{port}'` shows it) "
            "or choose other ports with --port"
        )
    if error.errno == errno.EACCES:
        return f"{place} is reserved for root; choose ports above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"{place} cannot be used: {node.listens_at} is no address of this machine"
    return f"{place} cannot be used: {error.strerror}"
