"""The door of `dynamo-node`: runs the command line and turns errors into exit statuses.

0 done · 1 it failed · 2 wrong usage or a wrong configuration
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

_EXTRA = ("yaml", "structlog", "uvloop", "lmdb", "grpc", "prometheus_client")
"""What `dynamo-kv[node]` installs beyond `dynamo-kv`."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `dynamo-node` and exit."""
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        _exit(1, f"{', '.join(missing)} not installed; pip install 'dynamo-kv[node]'")

    from dynamo.config import ConfigError
    from dynamo_node.commands import app
    from dynamo_node.directory import CannotStart

    try:
        app(args=arguments)
    except ConfigError as error:
        _exit(2, str(error))
    except CannotStart as error:
        _exit(1, str(error))
    except OSError as error:
        _exit(
            1,
            f"{error.filename} cannot be used: {error.strerror}" if error.filename else str(error),
        )
    sys.exit(0)


def _exit(status: int, sentence: str) -> NoReturn:
    print(f"dynamo-node: {sentence}", file=sys.stderr)
    sys.exit(status)
