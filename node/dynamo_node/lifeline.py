"""The line between `up` and its nodes: readiness one way, the end of `up` the other way.

`up` keeps one end of a socket pair and gives the node the other (`run --lifeline-fd`). The node
writes one JSON line when it serves. When `up` goes, even by SIGKILL, the kernel closes its end:
the node reads the end of file and stops, so that no node outlives its `up`.
"""

import json
import os
import signal
import threading
from typing import Any

GRACE_S = 15.0
"""How long a node may drain before it ends itself. Raising it: a hung node lingers longer after a
killed `up`; lowering it: requests in flight may end unanswered."""


class Lifeline:
    """The node's end. Ends the process GRACE_S after the other end is closed, at the latest."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_inheritable(fd, False)
        # A thread, because it must see the end of `up` even if the event loop hangs.
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def ready(self, facts: dict[str, Any]) -> None:
        """Tell `up` that this node serves."""
        os.write(self._fd, json.dumps(facts).encode() + b"\n")

    def _watch(self) -> None:
        try:
            while os.read(self._fd, 1):
                pass
        except OSError:
            return  # no descriptor that can be read: nobody to watch
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(GRACE_S)
        os._exit(1)
