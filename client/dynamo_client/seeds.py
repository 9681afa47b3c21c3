"""Where a client begins: addresses as people write them, and errors as people read them."""

import errno
import os
import socket
from typing import NamedTuple

from dynamo.errors import InvalidRequest

DEFAULT_PORT = 7400
SEEDS_MAX = 64
"""More than that help nobody; one answer names every node."""


class Seed(NamedTuple):
    """One address to begin with."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_seeds(*texts: str) -> tuple[Seed, ...]:
    """`HOST`, `HOST:PORT` or `[ADDRESS]:PORT`, several separated by commas. Raises
    InvalidRequest."""
    parts = [part.strip() for text in texts for part in text.split(",")]
    seeds = dict.fromkeys(_parsed(part) for part in parts if part)
    if not 0 < len(seeds) <= SEEDS_MAX:
        raise InvalidRequest(f"{len(seeds)} seeds were given; 1 to {SEEDS_MAX} are needed")
    return tuple(seeds)


def _parsed(text: str) -> Seed:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidRequest(f"{text!r} is no seed; write an IPv6 address as [ADDRESS]:PORT")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise InvalidRequest(f"{text!r} is no seed; write HOST:PORT, such as 127.0.0.1:7400")
    return Seed(host, int(port))


def reason_of(error: BaseException) -> str:
    """Why a node could not be reached, in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror})"
    if isinstance(error, OSError):
        if error.errno:
            return os.strerror(error.errno).lower()
        if f"[Errno {errno.ECONNREFUSED}]" in str(error):  # of several addresses of one name
            return os.strerror(errno.ECONNREFUSED).lower()
    return str(error) or type(error).__name__
