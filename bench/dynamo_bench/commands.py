"""The command line of `dynamo-bench`: what may be said and what it means."""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from dynamo_bench import behind as catching_up
from dynamo_bench import compare as comparing
from dynamo_bench import report, retail, retail_source, scale
from dynamo_bench.chaos.command import chaos
from dynamo_bench.cluster import Cluster
from dynamo_bench.connection import load_over, loads_over
from dynamo_bench.load import Reads, Workload
from dynamo_bench.machine import load_average, machine_facts
from dynamo_bench.measure import Figures
from dynamo_bench.progress import progress_bar, steps
from dynamo_bench.replay import Comparison, Replayer
from dynamo_bench.shop import CartWorkload, cart_load_over
from dynamo_bench.targets import WORKLOADS, Cell
from dynamo_bench.yardstick import Yardstick
from dynamo_client import connect

app = typer.Typer(
    name="dynamo-bench",
    help="Measures a dynamo-kv cluster: loads, a replay of real invoices, ratios to a yardstick.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(chaos)

DOWNLOADED = Path("build/online_retail.csv.gz")

Seeds = Annotated[str, typer.Option(metavar="HOST:PORT[,…]", help="Nodes to begin with.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
ValueBytes = Annotated[int, typer.Option(min=1, help="Bytes of each value.")]
Directory = Annotated[
    Path | None,
    typer.Option("--dir", help="Where the nodes keep their data; must be on a real disk."),
]


@app.command()
def run(
    workload: Annotated[Workload, typer.Option(help="What the workers do.")] = "mixed",
    seeds: Seeds = "127.0.0.1:7400",
    concurrency: Annotated[int, typer.Option(min=1, help="Operations in flight.")] = 64,
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds.")] = 10,
    value_bytes: ValueBytes = 1024,
    keys: Annotated[int, typer.Option(min=1, help="Written before the run begins.")] = 20_000,
    reads: Annotated[Reads, typer.Option(help="Who asks the replicas for a get.")] = "client",
    table: Annotated[str, typer.Option(help="The table.")] = "cart",
    as_json: Json = False,
) -> None:
    """Load a running cluster: a closed loop of one client process."""
    if concurrency > keys:
        raise typer.BadParameter("must not exceed --keys", param_hint="--concurrency")

    async def measured() -> Figures:
        async with load_over(seeds, reads, keys, value_bytes, table=table) as load:
            with progress_bar("filling") as progress:
                await load.fill(progress)
            with progress_bar(workload) as progress:
                return await load.measure(
                    workload, concurrency=concurrency, seconds=duration, progress=progress
                )

    figures = uvloop.run(measured())
    if as_json:
        asked = {
            "workload": workload,
            "concurrency": concurrency,
            "value_bytes": value_bytes,
            "keys": keys,
            "reads": reads,
            "table": table,
        }
        _print_json({**figures.as_json(), **asked})
    else:
        report.show_figures(report.console(), {f"{workload} × {concurrency}": figures})


@app.command()
def shop(
    workload: Annotated[CartWorkload, typer.Option(help="What the workers do.")] = "add",
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where `dynamo-shop serve` listens.")
    ] = "127.0.0.1:7900",
    concurrency: Annotated[int, typer.Option(min=1, help="Calls in flight.")] = 64,
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds.")] = 10,
    as_json: Json = False,
) -> None:
    """Load the carts of a running shop over gRPC; `hot`: all workers change one cart."""

    async def measured() -> Figures:
        async with cart_load_over(address) as load:
            with progress_bar(workload) as progress:
                return await load.measure(
                    workload, concurrency=concurrency, seconds=duration, progress=progress
                )

    figures = asyncio.run(measured())
    if as_json:
        _print_json({**figures.as_json(), "workload": workload, "concurrency": concurrency})
    else:
        report.show_figures(report.console(), {f"{workload} × {concurrency}": figures})


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A retail .csv.gz.")],
    seeds: Seeds = "127.0.0.1:7400",
    table: Annotated[str, typer.Option(help="The table; it must hold no earlier replay.")] = "cart",
    lines: Annotated[int | None, typer.Option(min=1, help="Only that many lines.")] = None,
    in_flight: Annotated[int, typer.Option(min=1, help="Invoices at a time.")] = 64,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", help="Compare what an earlier replay wrote.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Turn invoice lines into carts, then prove that none is missing and none is there twice."""
    invoices = retail.invoices(retail.read_rows(file, lines))

    async def replayed() -> tuple[Figures | None, Comparison]:
        async with connect(seeds) as database:
            replayer = Replayer(database, database.table(table), in_flight=in_flight)
            written = None
            if not verify_only:
                with progress_bar("writing carts") as progress:
                    written = await replayer.write(invoices, progress)
            with progress_bar("reading back") as progress:
                return written, await replayer.compare(invoices, progress)

    written, comparison = uvloop.run(replayed())
    if as_json:
        facts: dict[str, object] = {**comparison._asdict(), "exact": comparison.exact}
        if written:
            facts |= {"lines_per_s": round(written.ops_per_s, 1), "update": written.as_json()}
        _print_json(facts)
    else:
        console = report.console()
        if written:
            report.show_figures(console, {"update": written})
        report.show_comparison(console, comparison)
    raise typer.Exit(0 if comparison.exact else 1)


@app.command()
def compare(
    rounds: Annotated[int, typer.Option(min=1, help="How often each cell is measured.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 10,
    settle: Annotated[float, typer.Option(min=0, help="Seconds of rest before each.")] = 1,
    keys: Annotated[
        int,
        typer.Option(min=256, help="1000000: what that many keys cost, instead of the ratios."),
    ] = 20_000,
    value_bytes: ValueBytes = 1024,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Measure a fresh cluster beside the bare yardstick, in turn; what `make bench` runs."""
    facts, console = machine_facts(), report.console(stderr=as_json)
    if keys > scale.Plan().few_keys:
        plan = scale.Plan(keys=keys, value_bytes=value_bytes, rounds=rounds, seconds=seconds)
        result = _compare_sizes(plan, directory, console)
    else:
        times = comparing.Plan(rounds, seconds, settle)
        result = _compare_sides(times, keys, value_bytes, directory, console)
    facts["load_average_after"] = load_average()
    report.show_facts(console, facts)
    if as_json:
        _print_json({"machine": facts, **result})


@app.command()
def behind(
    keys: Annotated[int, typer.Option(min=1000, help="Written while one node is dead.")] = 100_000,
    value_bytes: ValueBytes = 512,
    rate: Annotated[float, typer.Option(min=1, help="Operations a second meanwhile.")] = 300,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Let a node of three return far behind, and watch it catch up by itself."""
    facts, console = machine_facts(), report.console(stderr=as_json)
    plan = catching_up.Plan(keys=keys, value_bytes=value_bytes, rate=rate)
    with tempfile.TemporaryDirectory(prefix="dynamo-bench-", dir=directory) as place:
        found = uvloop.run(catching_up.measure(Path(place), plan, steps()))
    made = catching_up.checks(found, plan)
    report.show_checks(console, made)
    report.show_figures(console, {"before": found.calm, "meanwhile": found.meanwhile})
    facts["load_average_after"] = load_average()
    report.show_facts(console, facts)
    if as_json:
        _print_json({"machine": facts, **catching_up.as_json(found, made)})
    raise typer.Exit(0 if all(check.holds for check in made) else 1)


@app.command()
def yardstick(
    concurrency: Annotated[str, typer.Option(help="Numbers, separated by commas.")] = "1,64,256",
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 10,
    keys: Annotated[int, typer.Option(min=1, help="Different keys.")] = 20_000,
    value_bytes: ValueBytes = 1024,
    fdatasync: Annotated[bool, typer.Option(help="Whether puts are durable.")] = True,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Measure the bare yardstick alone: about what CPython allows on this machine."""
    try:
        cells = [Cell(what, int(each)) for each in concurrency.split(",") for what in WORKLOADS]
    except ValueError:
        raise typer.BadParameter("numbers, please", param_hint="--concurrency") from None
    bare = Yardstick(keys=keys, value_bytes=value_bytes, fdatasync=fdatasync, directory=directory)

    async def measured() -> dict[str, Figures]:
        found = {}
        async with bare:
            for what, workers in cells:
                with progress_bar(f"{what} × {workers}") as progress:
                    found[f"{what} × {workers}"] = await bare.measure(
                        what, concurrency=workers, seconds=seconds, progress=progress
                    )
        return found

    figures = uvloop.run(measured())
    if as_json:
        _print_json({name: cell.as_json() for name, cell in figures.items()})
    else:
        report.show_figures(report.console(), figures)


@app.command()
def data(
    to: Annotated[Path, typer.Option(help="Where to put it.")] = DOWNLOADED,
    source: Annotated[
        str, typer.Option("--from", help="An address or a file: .zip, .xlsx or .csv.gz.")
    ] = retail_source.PUBLIC_URL,
) -> None:
    """Fetch the public invoice lines, convert them, and check them by their digest."""
    fetched = retail_source.fetch(to, source)
    typer.echo(f"{to}: {retail_source.ROWS} rows, {'fetched' if fetched else 'already there'}")


def _compare_sides(
    plan: comparing.Plan, keys: int, value_bytes: int, directory: Path | None, console: Console
) -> dict[str, object]:
    """The cluster beside the yardstick."""

    async def measured() -> comparing.Rounds:
        bare = Yardstick(keys=keys, value_bytes=value_bytes, directory=directory)
        async with (
            bare,
            Cluster(directory) as cluster,
            loads_over(cluster.seeds, keys, value_bytes) as loads,
        ):
            await bare.fill()
            await next(iter(loads.values())).fill()
            return await comparing.measure_rounds(bare, loads, plan, steps())

    rounds = uvloop.run(measured())
    report.show_rows(console, comparing.rows(rounds))
    return comparing.as_json(rounds)


def _compare_sizes(plan: scale.Plan, directory: Path | None, console: Console) -> dict[str, object]:
    """Many keys beside few."""

    async def measured() -> scale.Scale:
        async with (
            Cluster(directory) as small,
            Cluster(directory) as large,
            loads_over(small.seeds, plan.few_keys, plan.value_bytes) as few,
            loads_over(large.seeds, plan.keys, plan.value_bytes) as many,
        ):
            return await scale.measure_scale(few, many, large, plan, steps())

    found = uvloop.run(measured())
    report.show_checks(console, scale.checks(found))
    return scale.as_json(found)


def _print_json(value: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(value))
