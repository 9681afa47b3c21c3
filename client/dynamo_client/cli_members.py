"""`dynamo member plan|commit …`, `cancel`, `force`, and `dynamo transfers`: who belongs to it.

plan …   ─▶ what it would move; changes nothing
commit … ─▶ the same, decided: data begins to move
cancel   ─▶ the old owners alone again, while it moves
transfers ─▶ how far it is, and what waits for what
"""

from typing import Annotated, Any

import typer

from dynamo.errors import InvalidRequest
from dynamo.membership.plan import Change, ChangePlan, Join, Leave, Replace, Weight, plan_of
from dynamo.ring import Member
from dynamo.types import NodeId
from dynamo_client import cli_change as change
from dynamo_client.cli_actions import Answer
from dynamo_client.cli_commands import app, run
from dynamo_client.cli_output import DONE
from dynamo_client.database import Database
from dynamo_client.seeds import parse_seeds

__all__ = ["app"]

member = typer.Typer(help="Who belongs to the cluster.", no_args_is_help=True)
plan = typer.Typer(
    help="Show what a change would move, from the ring in force; change nothing.",
    no_args_is_help=True,
)
commit = typer.Typer(
    help="Carry a change out. Exit status: 0 decided, data moves; 1 not decided.",
    no_args_is_help=True,
)
member.add_typer(plan, name="plan")
member.add_typer(commit, name="commit")
app.add_typer(member, name="member")

Node = Annotated[str, typer.Argument(metavar="NODE", help="A member's name.")]
Newcomer = Annotated[str, typer.Argument(metavar="NEW", help="The newcomer's name.")]
Host = Annotated[
    str, typer.Option(metavar="H", help="Copies avoid sharing it; by default the name.")
]
Zone = Annotated[str, typer.Option(metavar="Z", help="Copies avoid sharing it.")]
Share = Annotated[float, typer.Option(metavar="X", help="Share of the data relative to others.")]
Weighing = Annotated[float, typer.Argument(metavar="X", help="Relative to others; 0 drains it.")]
Place = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="Where the others reach the newcomer.")
]
OnEpoch = Annotated[
    int | None,
    typer.Option("--epoch", metavar="E", help="Refuse unless this ring, as planned, is in force."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the data has moved.")]


@plan.command(name="join")
def plan_join(
    context: typer.Context, node: Newcomer, host: Host = "", zone: Zone = "", weight: Share = 1.0
) -> None:
    """A new node takes its share."""
    _show(context, Join(_newcomer(node, host, zone, weight)))


@plan.command(name="leave")
def plan_leave(context: typer.Context, node: Node) -> None:
    """A member gives up all it holds."""
    _show(context, Leave(NodeId(node)))


@plan.command(name="replace")
def plan_replace(
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
def plan_weight(context: typer.Context, node: Node, share: Weighing) -> None:
    """A member's share of the data changes."""
    _show(context, Weight(NodeId(node), share))


@commit.command(name="join")
def commit_join(
    context: typer.Context,
    node: Newcomer,
    address: Place,
    host: Host = "",
    zone: Zone = "",
    weight: Share = 1.0,
    epoch: OnEpoch = None,
    wait: Wait = False,
) -> None:
    """A new node, started with `dynamo-node run --join`, takes its share."""
    fields = (node, host, zone, weight, *_place(address))
    run(context, lambda db: change.commit(db, "join", fields, epoch, wait))


@commit.command(name="leave")
def commit_leave(
    context: typer.Context, node: Node, epoch: OnEpoch = None, wait: Wait = False
) -> None:
    """A member gives up all it holds; when that has moved, it may be stopped."""
    run(context, lambda db: change.commit(db, "leave", (node,), epoch, wait))


@commit.command(name="replace")
def commit_replace(
    context: typer.Context,
    dead: Node,
    node: Newcomer,
    address: Place,
    host: Host = "",
    zone: Zone = "",
    weight: Share = 1.0,
    epoch: OnEpoch = None,
    wait: Wait = False,
) -> None:
    """A new node takes what a dead one held."""
    fields = (dead, node, host, zone, weight, *_place(address))
    run(context, lambda db: change.commit(db, "replace", fields, epoch, wait))


@commit.command(name="weight")
def commit_weight(
    context: typer.Context, node: Node, share: Weighing, epoch: OnEpoch = None, wait: Wait = False
) -> None:
    """A member's share of the data changes."""
    run(context, lambda db: change.commit(db, "weight", (node, share), epoch, wait))


@member.command()
def cancel(context: typer.Context) -> None:
    """Take back the change under way: the old owners alone count again."""
    run(context, lambda db: change.commit(db, "cancel", (), None, False))


@member.command()
def force(
    context: typer.Context,
    lost: Annotated[
        list[str] | None, typer.Argument(metavar="[NODE]…", help="Members lost for ever.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it, whatever it may lose.")] = False,
) -> None:
    """End the change under way without waiting; first it says what that may lose.

    Only when members are lost for ever, so that it can neither end nor be cancelled. Without a
    change it takes their votes from members that are named, so that others can decide one again.
    """
    run(context, lambda db: change.force(db, lost or [], yes))


@app.command()
def transfers(
    context: typer.Context,
    wait: Annotated[bool, typer.Option("--wait", help="Show it until the data has moved.")] = False,
) -> None:
    """How far a change of members is, and what each waiting partition waits for."""
    run(context, lambda db: change.transfers(db, wait))


def _newcomer(node: str, host: str, zone: str, weight: float) -> Member:
    return Member(NodeId(node), host or node, zone, weight)


def _place(address: str) -> tuple[str, int]:
    """Where a newcomer listens: with its port, for the cluster keeps what is said here."""
    try:
        (seed,) = parse_seeds(address)
    except (InvalidRequest, ValueError):
        seed = None
    if seed is None or not address.rstrip().endswith(f":{seed.port}"):
        words = f"{address!r} is no HOST:PORT, such as 10.0.0.4:7400"
        raise typer.BadParameter(words, param_hint="--address")
    return seed


def _show(context: typer.Context, wish: Change) -> None:
    async def planned(db: Database) -> Answer:
        made = plan_of(wish, db.ring())
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
