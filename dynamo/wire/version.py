"""What this installation is, in the words a report of a fault should begin with."""

import platform
from importlib.metadata import PackageNotFoundError, version

from dynamo import history
from dynamo.wire.handshake import PROTOCOL_MAX

DISTRIBUTION = "dynamo-kv"


def version_of(program: str) -> str:
    """Such as `dynamo 0.1.0 (protocol 3, compiled core, CPython 3.11.7)`."""
    try:
        number = version(DISTRIBUTION)
    except PackageNotFoundError:
        number = "not installed"
    core = "pure Python" if history.__file__.endswith(".py") else "compiled"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{program} {number} (protocol {PROTOCOL_MAX}, {core} core, {python})"
