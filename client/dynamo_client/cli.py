"""The door of `dynamo`: runs the command line and turns errors into exit statuses.

0 done · 1 not applied, or nobody answered · 2 wrong usage · 3 not found · 4 unknown
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from dynamo_client.cli_members import app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `dynamo` and exit."""
    try:
        app(args=arguments)
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter would complain while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main()
