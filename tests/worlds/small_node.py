"""`dynamo-node` with short log segments, and no other difference: for tests that start many nodes.

    python small_node.py up --data …

A segment is written with zeros and synced when it is made, two of them at a node's first start. The
400 starts of one run of all tests wrote 54 GB that way, and each cluster waited for it.
"""

from collections.abc import Sequence
from typing import Any

from dynamo.storage.port import EngineOptions
from dynamo_node import engines, up
from dynamo_node.cli import main

SEGMENT_BYTES = 8 << 20

_command = up._command


def small(**options: Any) -> EngineOptions:
    """The node's options, with short segments."""
    return EngineOptions(**{**options, "segment_bytes": SEGMENT_BYTES})


def small_command(*arguments: Any) -> Sequence[str]:
    """How `up` starts its nodes, with this file in place of `-m dynamo_node`."""
    shipped = list(_command(*arguments))
    place = shipped.index("-m")
    assert shipped[place + 1] == "dynamo_node"
    return [*shipped[:place], __file__, *shipped[place + 2 :]]


if __name__ == "__main__":
    engines.EngineOptions = small  # type: ignore[assignment,misc]
    up._command = small_command
    main()
