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
from dynamo_bench.chaos.report import as_json, show
from dynamo_bench.chaos.run import MAXIMUM_S, Network, Outcome, Plan, run
from dynamo_bench.chaos.schedule import KINDS, Schedule, draw, length_s, usual
from dynamo_bench.machine import machine_facts

SEED_MAX = 1 << 32


def chaos(
    nodes: Annotated[int, typer.Option(min=3, max=9, help="Storage nodes.")] = 3,
    seconds: Annotated[
        float | None,
        typer.Option(min=5, help="Of load. [default: every kind of fault once, at full length]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which faults, when, on whom. [default: a new one]")
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option(metavar="KIND[,…]", help=f"Of {', '.join(KINDS)}. [default: all]"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, help="Operations a second. [default: 30 % of a measured maximum]"),
    ] = None,
    durability: Annotated[
        Durability,
        typer.Option(help="Of the nodes; with interval or memory a crash may lose writes."),
    ] = "fsync",
    network: Annotated[
        Network | None,
        typer.Option(help="[default: namespaces where they can be made (root), else proxy]"),
    ] = None,
    clients: Annotated[int, typer.Option(min=1, max=8, help="Client processes.")] = 2,
    keys: Annotated[int, typer.Option(min=10, help="Of each of the two tables.")] = 200,
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
    plan = plan._replace(durability=durability, network=network or _usual_network())
    outcome = uvloop.run(run(plan, lambda text: out.print(text, style="dim", soft_wrap=True)))
    _report(out, plan, outcome, as_json_)
    raise typer.Exit(0 if outcome.holds else 1)


def _schedule(nodes: int, seconds: float | None, seed: int | None, faults: str | None) -> Schedule:
    names = [f"n{number}" for number in range(1, nodes + 1)]
    kinds = usual(nodes) if faults is None else [kind.strip() for kind in faults.split(",")]
    if seed is None:
        seed = SystemRandom().randrange(SEED_MAX)
    try:
        return draw(seed, seconds or length_s(kinds), names, kinds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from None


def _usual_network() -> Network:
    return "namespaces" if are_possible() else "proxy"


def _report(out: Console, plan: Plan, outcome: Outcome, to_machines: bool) -> None:
    if to_machines:
        typer.echo(json.dumps({"machine": machine_facts(), **as_json(plan, outcome)}))
    else:
        reports.show_facts(out, machine_facts())
        show(out, outcome)
