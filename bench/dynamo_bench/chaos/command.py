"""`dynamo-bench chaos`: what may be said and what it means."""

import json
from pathlib import Path
from random import SystemRandom
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from dynamo.config import Durability
from dynamo_bench import report as reports
from dynamo_bench.chaos.namespaces import are_possible
from dynamo_bench.chaos.plan import MAXIMUM_S, Network, Outcome, Plan
from dynamo_bench.chaos.report import as_json, show
from dynamo_bench.chaos.run import run
from dynamo_bench.chaos.schedule import KINDS, MEMBERS, Schedule, draw, length_s, named, usual
from dynamo_bench.machine import machine_facts

SEED_MAX = 1 << 32
ITEMS = 50_000
"""So much data that a change of members takes a while."""

Items = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Beside those keys: written before the load, never touched, all read at the end. "
        f"[default: {ITEMS:,} if members change, else none]",
    ),
]
Kinds = Annotated[
    str | None,
    typer.Option(metavar="KIND[,…]", help=f"Of {', '.join(KINDS)}. [default: all]"),
]
Wires = Annotated[
    Network | None,
    typer.Option(help="[default: namespaces where they can be made (root), else proxy]"),
]


def chaos(
    nodes: Annotated[int, typer.Option(min=3, max=9, help="Storage nodes.")] = 3,
    seconds: Annotated[
        float | None,
        typer.Option(min=5, help="Of load. [default: every kind of fault once, at full length]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which faults, when, on whom. [default: a new one]")
    ] = None,
    faults: Kinds = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, help="Operations a second. [default: 30 % of a measured maximum]"),
    ] = None,
    durability: Annotated[
        Durability,
        typer.Option(help="Of the nodes; with interval or memory a crash may lose writes."),
    ] = "fsync",
    network: Wires = None,
    clients: Annotated[int, typer.Option(min=1, max=8, help="Client processes.")] = 2,
    keys: Annotated[int, typer.Option(min=10, help="Of each of the two tables.")] = 200,
    items: Items = None,
    value_bytes: Annotated[int, typer.Option(min=32, help="Bytes of each value.")] = 512,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where the nodes keep their data for the run.")
    ] = None,
    as_json_: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout; what goes on, on stderr.")
    ] = False,
) -> None:
    """Kill, stop, wipe and cut off real nodes under load, and check every promise.

    Exit status: 0 every promise was kept, 1 one was not, 2 wrong usage.
    """
    schedule = _schedule(nodes, seconds, seed, faults)
    out = reports.console(stderr=as_json_)
    for line in schedule.lines():
        out.print(line, soft_wrap=True)
    maximum_s = min(MAXIMUM_S, schedule.seconds / 5)
    plan = Plan(schedule, nodes, clients, keys, value_bytes, directory, rate, maximum_s)
    plan = plan._replace(
        durability=durability,
        network=network or _usual_network(),
        items=_usual_items(schedule) if items is None else items,
    )
    outcome = uvloop.run(run(plan, lambda text: out.print(text, style="dim", soft_wrap=True)))
    _report(out, plan, outcome, as_json_)
    raise typer.Exit(0 if outcome.holds else 1)


def _schedule(nodes: int, seconds: float | None, seed: int | None, faults: str | None) -> Schedule:
    kinds = usual(nodes) if faults is None else [kind.strip() for kind in faults.split(",")]
    if seed is None:
        seed = SystemRandom().randrange(SEED_MAX)
    try:
        return draw(seed, seconds or length_s(kinds), named(nodes), kinds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from None


def _usual_network() -> Network:
    return "namespaces" if are_possible() else "proxy"


def _usual_items(schedule: Schedule) -> int:
    return ITEMS if any(fault.kind == MEMBERS for fault in schedule.faults) else 0


def _report(out: Console, plan: Plan, outcome: Outcome, to_machines: bool) -> None:
    if to_machines:
        typer.echo(json.dumps({"machine": machine_facts(), **as_json(plan, outcome)}))
    else:
        reports.show_facts(out, machine_facts())
        show(out, outcome)
