"""A change of members as the command line follows it: ordered, watched, taken back."""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from dynamo.errors import Code, Failure
from dynamo_client.cli_actions import Answer
from dynamo_client.cli_output import DONE, NOT_APPLIED
from dynamo_client.database import Database

LOOK_S = 0.25
"""Between two looks at how far the data has moved."""
SAY_S = 5.0
"""Between two lines that say it where no bar can be drawn."""


async def commit(
    db: Database, action: str, fields: Sequence[object], epoch: int | None, wait: bool
) -> Answer:
    """Have it decided; with `wait`, see it through."""
    answer = await db.change_members(action, *fields, epoch=epoch)
    told = {"verdict": answer.verdict, "epoch": answer.epoch, "text": answer.text}
    if answer.verdict != "won":
        return Answer(NOT_APPLIED, told, [], (f"{answer.verdict}: {answer.text}",))
    if wait:
        await _moved(db)
        told["epoch"] = db.ring().epoch
    return Answer(DONE, told, [answer.text])


async def force(db: Database, lost: Sequence[str], yes: bool) -> Answer:
    """Say what it may lose, or do it; nobody is lost who is there and serves."""
    nodes, found = await _nodes(db), await _change(db)
    here = [node for node in lost if nodes.get(node, {}).get("state") == "serving"]
    if here:
        refused = f"not lost, but here and serving: {', '.join(here)}"
        return Answer(NOT_APPLIED, {"change": found, "not_lost": here}, [], (refused,))
    if found is None and not lost:
        nothing = "no change is under way; name the members whose votes are lost"
        return Answer(NOT_APPLIED, {"change": None}, [], (nothing,))
    if yes:
        return await commit(db, "force", lost, None, False)
    waiting = {} if found is None else found["waiting"]
    losses = [f"{count} partitions: {why}" for why, count in waiting.items()]
    losses += [f"{node} loses its vote; what only its disk held is given up" for node in lost]
    lines = ["until all members hold the forced epoch, two may act on different rings", *losses]
    return Answer(NOT_APPLIED, {"change": found, "losses": losses}, lines, ("add --yes to do it",))


async def transfers(db: Database, wait: bool) -> Answer:
    """How far it is."""
    if wait:
        await _moved(db)
    found, nodes = await _change(db), await _nodes(db)
    copying = {name: node["transfers"] for name, node in nodes.items() if "transfers" in node}
    told = {"change": found, "nodes": copying}
    if found is None:
        return Answer(DONE, told, ["no change is under way"])
    lines = [
        *_lines(found),
        *(
            f"  {name} has copied {node['copied']} of {node['of']}"
            for name, node in copying.items()
        ),
    ]
    return Answer(DONE, told, lines)


async def _moved(db: Database) -> None:
    """Return when no change is under way; meanwhile a bar for people, or now and then a line."""
    console, said_s = Console(stderr=True), float("-inf")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    drawn = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not drawn) as progress:
        bar = progress.add_task("moving partitions")
        while (found := await _change(db)) is not None:
            progress.update(
                bar,
                description=str(found["what"]).partition(" (")[0],
                total=found["partitions"],
                completed=found["ready"],
            )
            if not drawn and time.monotonic() - said_s >= SAY_S:
                said_s = time.monotonic()
                print(*_lines(found), sep="\n", file=sys.stderr, flush=True)
            await asyncio.sleep(LOOK_S)


def _lines(found: dict[str, Any]) -> list[str]:
    """How far a change is, and what waits for what."""
    return [
        f"epoch {found['epoch']}, {found['what']}: "
        f"{found['ready']} of {found['partitions']} partitions are ready",
        *(f"  {count} wait: {why}" for why, count in found["waiting"].items()),
    ]


async def _change(db: Database) -> dict[str, Any] | None:
    """The change under way as the member says that knows the newest epoch."""
    nodes = await _nodes(db)
    newest = max(nodes.values(), key=lambda node: node.get("ring_epoch", 0))
    if "ring_epoch" not in newest:
        raise Failure(Code.NOT_SERVING, "no node tells how it is").error()
    change: dict[str, Any] | None = newest.get("change")
    return change


async def _nodes(db: Database) -> dict[str, dict[str, Any]]:
    nodes: dict[str, dict[str, Any]] = (await db.status())["nodes"]
    return nodes
