"""`dynamo repair`: let every node compare itself with its co-owners, and watch until all agree."""

import asyncio
from collections.abc import Callable
from typing import Any

from dynamo_client.cli_actions import Answer, columns
from dynamo_client.cli_output import DONE, NOT_APPLIED
from dynamo_client.database import Database

LOOK_S = 0.2
"""Between two looks at how far it is."""


async def repair(db: Database, wait_ms: float, say: Callable[[str], None]) -> Answer:
    """Ask, wait until every node found all its trees equal with every co-owner's, and tell."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_ms / 1000
    await db.repair()
    said = (0, 0)
    while True:
        nodes = (await db.status())["nodes"]
        equal, trees = _counts(nodes.values())
        if all(_agrees(node) for node in nodes.values()):
            return Answer(DONE, _told(nodes, True), _lines(nodes))
        if loop.time() >= until:
            notes = ("not all owners agree yet; they go on comparing",)
            return Answer(NOT_APPLIED, _told(nodes, False), _lines(nodes), notes)
        if (equal, trees) != said:
            say(f"{equal:,} of {trees:,} comparisons found both sides equal")
            said = equal, trees
        await asyncio.sleep(LOOK_S)


def _counts(nodes: Any) -> tuple[int, int]:
    """(equal, all) trees that these nodes share with their co-owners."""
    peers = [peer for node in nodes for peer in node.get("in_sync", {}).values()]
    return sum(peer["in_sync"] for peer in peers), sum(peer["trees"] for peer in peers)


def _agrees(node: dict[str, Any]) -> bool:
    equal, trees = _counts([node])
    return "in_sync" in node and equal == trees


def _told(nodes: dict[str, Any], agreed: bool) -> dict[str, Any]:
    shown = ("state", "reason", "in_sync", "trees_growing")
    return {
        "in_sync": agreed,
        "nodes": {
            name: {field: node[field] for field in shown if field in node}
            for name, node in nodes.items()
        },
    }


def _lines(nodes: dict[str, Any]) -> list[str]:
    rows = [("node", "state", "co-owner", "equal")]
    for name, node in nodes.items():
        state = node["state"] + (f" ({node['reason']})" if "reason" in node else "")
        for peer, found in node.get("in_sync", {}).items() or [("", None)]:
            equal = f"{found['in_sync']} of {found['trees']}" if found else ""
            rows.append((name, state, peer, equal))
    return columns(rows)
