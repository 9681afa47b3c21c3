"""A change of members as the command line follows it: ordered, watched, taken back."""

import asyncio
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
    """Say what it may lose, or do it."""
    found = await _change(db)
    if found is None and not lost:
        nothing = "no change is under way; name the members whose votes are lost"
        return Answer(NOT_APPLIED, {"change": None}, [], (nothing,))
    if yes:
        return await commit(db, "force", lost, None, False)
    waiting = {} if found is None else found["waiting"]
    losses = [f"{count} partitions: {why}" for why, count in waiting.items()]
    losses += [f"{node} loses its vote; what only it held is lost" for node in lost]
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
        f"epoch {found['epoch']}, {found['what']}: "
        f"{found['ready']} of {found['partitions']} partitions are ready",
        *(f"  {count} wait: {why}" for why, count in found["waiting"].items()),
        *(
            f"  {name} has copied {node['copied']} of {node['of']}"
            for name, node in copying.items()
        ),
    ]
    return Answer(DONE, told, lines)


async def _moved(db: Database) -> None:
    """Return when no change is under way, with a bar for people meanwhile."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("moving partitions")
        while (found := await _change(db)) is not None:
            progress.update(
                bar,
                description=str(found["what"]).partition(" (")[0],
                total=found["partitions"],
                completed=found["ready"],
            )
            await asyncio.sleep(LOOK_S)


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
