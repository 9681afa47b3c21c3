"""The command line of `dynamo`: what may be said and what it means."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dynamo.errors import DynamoError, InvalidRequest
from dynamo.wire.version import version_of
from dynamo_client import cli_actions as actions
from dynamo_client import cli_output as output
from dynamo_client import cli_repair as compare
from dynamo_client.cli_actions import Answer, Target
from dynamo_client.database import Database, connect

app = typer.Typer(
    name="dynamo",
    help="Read and write a dynamo-kv cluster.\n\nExit status: 0 done, 1 not applied or nobody "
    "answered, 2 wrong usage, 3 not found, 4 unknown whether applied.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="Such as cart.")]
KeyText = Annotated[str, typer.Argument(metavar="KEY", help="Partition key, as text.")]
SortKey = Annotated[str, typer.Option("--sort-key", metavar="S", help="Sort key, as text.")]
ContextText = Annotated[
    str | None,
    typer.Option(
        "--context", metavar="C", help="Replace what this context covers, not what is there now."
    ),
]
Blind = Annotated[
    bool, typer.Option("--blind", help="Neither read first nor replace anything known.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="No node stands in for an owner of the key.")
]
Writes = Annotated[int | None, typer.Option("--w", metavar="W", help="Durable copies to wait for.")]


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(version_of("dynamo"))
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_say_version, is_eager=True, help="Say which version this is."
    ),
]


@dataclass(frozen=True)
class Wanted:
    """What was said before the command."""

    seeds: str
    json: bool
    timeout_ms: float


@app.callback()
def options(
    context: typer.Context,
    seeds: Annotated[
        str,
        typer.Option(envvar="DYNAMO_SEEDS", metavar="HOST:PORT[,…]", help="Where to begin."),
    ] = "127.0.0.1:7400",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    timeout_ms: Annotated[
        float, typer.Option(min=1, help="How long an operation may take.")
    ] = 1000,
    version: Version = False,
) -> None:
    """Read and write a dynamo-kv cluster.

    Exit status: 0 done, 1 not applied or nobody answered, 2 wrong usage, 3 not found, 4 unknown
    whether applied.
    """
    context.obj = Wanted(seeds, as_json, timeout_ms)


@app.command()
def put(
    context: typer.Context,
    table: TableName,
    key: KeyText,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="Written as text.")] = None,
    sort_key: SortKey = "",
    seen: ContextText = None,
    blind: Blind = False,
    w: Writes = None,
    strict: Strict = False,
    raw_file: Annotated[
        str | None, typer.Option(metavar="F", help="The value: this file's bytes; - is stdin.")
    ] = None,
    json_value: Annotated[bool, typer.Option("--json-value", help="VALUE is JSON.")] = False,
) -> None:
    """Write a value in place of what is there now."""
    target = Target(table, key, sort_key, strict)
    run(
        context,
        lambda db: actions.put(
            db, target, _value(value, raw_file, json_value), _seen(seen, blind), blind, w
        ),
        is_write=True,
    )


@app.command()
def get(
    context: typer.Context,
    table: TableName,
    key: KeyText,
    sort_key: SortKey = "",
    r: Annotated[
        int | None, typer.Option("--r", metavar="R", help="Replicas that must answer.")
    ] = None,
    strict: Strict = False,
) -> None:
    """Print the value; if there are siblings, all of them and the context."""
    run(context, lambda db: actions.get(db, Target(table, key, sort_key, strict), r))


@app.command()
def delete(
    context: typer.Context,
    table: TableName,
    key: KeyText,
    sort_key: SortKey = "",
    seen: ContextText = None,
    blind: Blind = False,
    w: Writes = None,
    strict: Strict = False,
) -> None:
    """Remove what is there now."""
    target = Target(table, key, sort_key, strict)
    run(
        context,
        lambda db: actions.delete(db, target, _seen(seen, blind), blind, w),
        is_write=True,
    )


@app.command()
def outcome(
    context: typer.Context,
    operation_id: Annotated[str, typer.Argument(metavar="ID", help="As an unknown write told.")],
) -> None:
    """What became of a write: applied (0), not applied (1), unknown (4)."""
    run(context, lambda db: actions.outcome(db, operation_id))


@app.command()
def status(context: typer.Context) -> None:
    """How each node is, and which tables there are."""
    run(context, actions.status)


@app.command()
def repair(
    context: typer.Context,
    wait_ms: Annotated[
        float, typer.Option("--wait-ms", min=0, help="How long to wait until all owners agree.")
    ] = 60_000,
) -> None:
    """Let all owners compare what they hold, now; they do so all the time by themselves."""

    def say(line: str) -> None:
        if not context.obj.json:
            output.tell((), (line,))

    run(context, lambda db: compare.repair(db, wait_ms, say))


@app.command()
def hints(context: typer.Context) -> None:
    """Which node keeps records for nodes that are away."""
    run(context, actions.hints)


@app.command()
def ring(context: typer.Context) -> None:
    """Which node holds how much."""
    run(context, actions.ring)


def run(
    context: typer.Context,
    act: Callable[[Database], Awaitable[Answer]],
    is_write: bool = False,
) -> None:
    """Do it, say it, exit with its status."""
    wanted: Wanted = context.obj

    async def connected() -> Answer:
        async with connect(wanted.seeds, timeout_ms=wanted.timeout_ms) as db:
            return await act(db)

    try:
        answer = asyncio.run(connected())
    except DynamoError as error:
        raise typer.Exit(output.failed(error, wanted.json, is_write)) from None
    if wanted.json:
        output.emit(answer.json)
    else:
        output.tell(answer.lines, answer.notes)
    raise typer.Exit(answer.status)


def _value(text: str | None, raw_file: str | None, json_value: bool) -> Any:
    """What to write. Raises InvalidRequest."""
    if (text is None) == (raw_file is None):
        raise InvalidRequest("give either a VALUE or --raw-file")
    if raw_file is not None:
        return _file(raw_file)
    if not json_value:
        return text
    try:
        return json.loads(text or "")
    except ValueError as error:
        raise InvalidRequest(f"VALUE is not JSON: {error}") from None


def _file(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{name} cannot be read: {error.strerror}") from None


def _seen(text: str | None, blind: bool) -> bytes | None:
    if text is None:
        return None
    if blind:
        raise InvalidRequest("--blind and --context contradict each other")
    return output.context_from(text)
