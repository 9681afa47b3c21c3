"""Where each node is reached, where it listens, and how one looks at it past all faults."""

from collections.abc import Sequence
from typing import NamedTuple

HOST = "127.0.0.1"


class Site(NamedTuple):
    """One node's place in a network."""

    address: str
    """Where clients and the other nodes reach it."""
    port: int
    listen_address: str
    listen_port: int
    control: str
    """The address at which no fault lies between."""
    prefix: tuple[str, ...] = ()
    """Of the command that starts it."""


def behind_proxy(names: Sequence[str], front: int, own: int) -> dict[str, Site]:
    """All on this machine's loopback, each reached at its front."""
    return {name: Site(HOST, front + i, HOST, own + i, HOST) for i, name in enumerate(names)}
