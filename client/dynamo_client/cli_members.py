"""`dynamo member plan …`: what a change of members would come to. It changes nothing."""

from typing import Annotated, Any

import typer

from dynamo.membership.plan import Change, ChangePlan, Join, Leave, Replace, Weight, plan_of
from dynamo.ring import Member
from dynamo.types import NodeId
from dynamo_client.cli_actions import Answer
from dynamo_client.cli_commands import app, run
from dynamo_client.cli_output import DONE
from dynamo_client.database import Database

__all__ = ["app"]

member = typer.Typer(help="Who belongs to the cluster.", no_args_is_help=True)
plan = typer.Typer(
    help="Show what a change would move, from the ring in force; change nothing.",
    no_args_is_help=True,
)
member.add_typer(plan, name="plan")
app.add_typer(member, name="member")

Node = Annotated[str, typer.Argument(metavar="NODE", help="A member's name.")]
Newcomer = Annotated[str, typer.Argument(metavar="NEW", help="The newcomer's name.")]
Host = Annotated[
    str, typer.Option(metavar="H", help="Copies avoid sharing it; by default the name.")
]
Zone = Annotated[str, typer.Option(metavar="Z", help="Copies avoid sharing it.")]
Share = Annotated[float, typer.Option(metavar="X", help="Share of the data relative to others.")]


@plan.command()
def join(
    context: typer.Context, node: Newcomer, host: Host = "", zone: Zone = "", weight: Share = 1.0
) -> None:
    """A new node takes its share."""
    _show(context, Join(_newcomer(node, host, zone, weight)))


@plan.command()
def leave(context: typer.Context, node: Node) -> None:
    """A member gives up all it holds."""
    _show(context, Leave(NodeId(node)))


@plan.command()
def replace(
    context: typer.Context,
    dead: Node,
    node: Newcomer,
    host: Host = "",
    zone: Zone = "",
    weight: Share = 1.0,
) -> None:
    """A new node takes what a dead one held."""
    _show(context, Replace(NodeId(dead), _newcomer(node, host, zone, weight)))


@plan.command(name="weight")
def reweigh(
    context: typer.Context,
    node: Node,
    share: Annotated[float, typer.Argument(metavar="X", help="Relative to others; 0 drains it.")],
) -> None:
    """A member's share of the data changes."""
    _show(context, Weight(NodeId(node), share))


def _newcomer(node: str, host: str, zone: str, weight: float) -> Member:
    return Member(NodeId(node), host or node, zone, weight)


def _show(context: typer.Context, change: Change) -> None:
    async def planned(db: Database) -> Answer:
        made = plan_of(change, db.ring())
        return Answer(DONE, _as_json(made), made.show())

    run(context, planned)


def _as_json(made: ChangePlan) -> dict[str, Any]:
    head, *_ = made.show()
    return {
        "change": head.partition(": ")[0],
        "epoch": made.before.epoch,
        "copies": made.copies,
        "moves": [
            {"partition": move.partition, "before": [*move.before], "after": [*move.after]}
            for move in made.moves
        ],
        "not_satisfied": [*made.unsatisfied],
    }
