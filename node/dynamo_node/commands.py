"""The command line of `dynamo-node`: what may be said and what it means."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dynamo.config import NODES_MAX, ClusterConfig, builtin
from dynamo.wire.version import version_of
from dynamo_node.config_file import load
from dynamo_node.config_text import render
from dynamo_node.joining import with_newcomer
from dynamo_node.logs import LogFormat, LogLevel
from dynamo_node.up import UpOptions
from dynamo_node.up import up as run_cluster

app = typer.Typer(
    name="dynamo-node",
    help="Storage nodes of dynamo-kv: a whole cluster on this machine, or one daemon.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


Bootstrap = Annotated[
    bool,
    typer.Option(
        "--bootstrap",
        help="Take an empty directory for complete: only when the whole cluster is new. "
        "Without it, the node copies its data from the others first.",
    ),
]
JoinSeed = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT[,…]",
        help="Any members of a running cluster: be a new node of it, which `dynamo member commit "
        "join` then makes a member. Name several, so that it starts again after one has left.",
    ),
]
Place = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="Where a node listens that the file does not name.")
]


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(version_of("dynamo-node"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Say which version this is."
        ),
    ] = False,
) -> None:
    """Storage nodes of dynamo-kv: a whole cluster on this machine, or one daemon."""


@app.command()
def up(
    nodes: Annotated[
        int | None,
        typer.Option(min=1, max=NODES_MAX, help="How many nodes: n1, n2, … [default: 3]"),
    ] = None,
    data: Annotated[
        Path, typer.Option(help="Directory of the cluster; node ni keeps its data in DATA/ni.")
    ] = Path("data"),
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            help="Node i: frames PORT+i-1, gRPC +100, metrics +200 [default: 7400]",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A cluster.yml instead of --nodes and --port.")
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Written when all nodes serve: one JSON object; removed at the end."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart/--no-restart", help="Start a node that dies again.")
    ] = True,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="All the nodes' log on a terminal, not warnings only.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Write the configuration to stdout and stop.")
    ] = False,
) -> None:
    """Run a cluster on this machine until Ctrl-C or SIGTERM.

    The data is found again next time. Exit status: 0 stopped cleanly, 1 something failed, 2 wrong
    usage.
    """
    wanted = _configuration(nodes, data, port, config)
    if print_config:
        typer.echo(render(wanted), nl=False)
        return
    raise typer.Exit(run_cluster(UpOptions(wanted, data, ready_file, restart, verbose)))


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="The cluster's cluster.yml.")],
    name: Annotated[str, typer.Option(help="Which of its nodes to be.")],
    bootstrap: Bootstrap = False,
    join: JoinSeed = None,
    address: Place = "",
    data: Annotated[
        Path | None, typer.Option(help="The node's directory, instead of the file's.")
    ] = None,
    cluster_id: Annotated[
        str | None, typer.Option(metavar="HEX", help="The cluster's id, instead of the file's.")
    ] = None,
    log_format: Annotated[
        str, typer.Option(metavar="auto|json|text", help="auto: text on a terminal, else json.")
    ] = "auto",
    log_level: Annotated[
        str, typer.Option(metavar="info|warning", help="The least that is logged.")
    ] = "info",
    lifeline_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run one node in the foreground; SIGTERM drains and stops it."""
    formats: dict[str, LogFormat] = {"auto": "auto", "json": "json", "text": "text"}
    if log_format not in formats:
        raise typer.BadParameter("must be auto, json or text", param_hint="--log-format")
    levels: dict[str, LogLevel] = {"info": "info", "warning": "warning"}
    if log_level not in levels:
        raise typer.BadParameter("must be info or warning", param_hint="--log-level")
    cluster = load(config)
    if join is not None:
        cluster = with_newcomer(cluster, name, address)

    # Here, because only a node needs the storage engine and the servers.
    from dynamo_node.daemon import serve
    from dynamo_node.run import RunOptions
    from dynamo_node.run import run as run_node

    options = RunOptions(
        cluster,
        name,
        bootstrap,
        data,
        cluster_id,
        lifeline_fd,
        formats[log_format],
        levels[log_level],
        join,
    )
    raise typer.Exit(run_node(options, partial(serve, join=join)))


def _configuration(
    nodes: int | None, data: Path, port: int | None, config: Path | None
) -> ClusterConfig:
    """The file's cluster, or the built-in one."""
    if config is None:
        return builtin(3 if nodes is None else nodes, str(data), 7400 if port is None else port)
    if nodes is not None or port is not None:
        raise typer.BadParameter(
            "says nodes and ports already; leave --nodes and --port out", param_hint="--config"
        )
    return load(config)
