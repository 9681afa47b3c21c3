"""The door of `dynamo-bench`: runs the command line and turns errors into exit statuses.

0 done · 1 it failed, or a replay found lines missing or doubled · 2 wrong usage
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

_EXTRA = ("hdrh", "lmdb", "uvloop")
"""What `dynamo-kv[bench]` installs beyond `dynamo-kv`."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `dynamo-bench` and exit."""
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        _exit(f"{', '.join(missing)} not installed; pip install 'dynamo-kv[bench]'")

    from dynamo_bench.cluster import CannotMeasure
    from dynamo_bench.commands import app
    from dynamo_bench.replay import AlreadyThere, GaveUp
    from dynamo_bench.retail import BadRetailFile
    from dynamo_client import DynamoError

    try:
        app(args=arguments)
    except (AlreadyThere, BadRetailFile, CannotMeasure, DynamoError, GaveUp, OSError) as error:
        _exit(str(error))
    sys.exit(0)


def _exit(sentence: str) -> NoReturn:
    print(f"dynamo-bench: {sentence}", file=sys.stderr)
    sys.exit(1)
