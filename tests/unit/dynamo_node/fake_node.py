"""A node as its supervisor sees it: `python fake_node.py FD BEHAVIOUR`, without any storage.

`serve`    says that it serves, ends on SIGTERM or when its supervisor is gone
`fail`     says why it cannot and exits 3 before it serves
`crash`    serves, then exits 3
`stubborn` serves and ignores SIGTERM
`unclean`  serves, and exits 4 on SIGTERM
"""

import os
import signal
import sys
from typing import NoReturn

from dynamo_node.lifeline import Lifeline


def end(status: int) -> NoReturn:
    sys.stdout.flush()
    os._exit(status)


def main() -> None:
    lifeline, behaviour = Lifeline(int(sys.argv[1])), sys.argv[2]
    if behaviour == "fail":
        print("no disk today")
        end(3)
    status = 4 if behaviour == "unclean" else 0
    ignore = behaviour == "stubborn"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignore else lambda *_: end(status))
    print("hello from", os.getpid(), flush=True)
    lifeline.ready({"pid": os.getpid()})
    if behaviour == "crash":
        end(3)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
