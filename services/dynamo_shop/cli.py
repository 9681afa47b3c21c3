"""The door of `dynamo-shop`: runs the command line and turns errors into exit statuses.

0 done · 1 it failed · 2 wrong usage
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

_EXTRA = ("grpc", "grpc_health", "grpc_reflection", "grpc_status", "structlog")
"""What `dynamo-kv[shop]` installs beyond `dynamo-kv`."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `dynamo-shop` and exit."""
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        _exit(1, f"{', '.join(missing)} not installed; pip install 'dynamo-kv[shop]'")

    from dynamo_client import DynamoError, InvalidRequest
    from dynamo_shop.commands import app
    from dynamo_shop.errors import CannotServe

    try:
        app(args=arguments)
    except InvalidRequest as error:
        _exit(2, str(error))
    except (CannotServe, DynamoError, OSError) as error:
        _exit(1, str(error))
    sys.exit(0)


def _exit(status: int, sentence: str) -> NoReturn:
    print(f"dynamo-shop: {sentence}", file=sys.stderr)
    sys.exit(status)
