"""The command line of `dynamo-shop`: what may be said and what it means."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from dynamo_shop.serve import ServeOptions
from dynamo_shop.serve import serve as run_services

app = typer.Typer(
    name="dynamo-shop",
    help="E-commerce services on a dynamo-kv cluster: carts, sessions, catalog, over gRPC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def shop() -> None:
    """E-commerce services on a dynamo-kv cluster: carts, sessions, catalog, over gRPC."""


@app.command()
def serve(
    seeds: Annotated[
        str,
        typer.Option(envvar="DYNAMO_SEEDS", help="Nodes of the cluster, HOST:PORT[,…]."),
    ] = "127.0.0.1:7400",
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the services; 0: any free one.")
    ] = 7900,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Written when calls are answered: one JSON object; removed at the end."),
    ] = None,
) -> None:
    """Serve carts, sessions and the catalog in one process until Ctrl-C or SIGTERM.

    The cluster needs the tables shop_cart, shop_session and shop_product, as the built-in one has.
    """
    _log_as_json()
    asyncio.run(run_services(ServeOptions(seeds, host, port, ready_file)))


def _log_as_json() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
