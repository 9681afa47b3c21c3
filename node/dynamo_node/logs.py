"""Structured logs on stderr: JSON lines for machines, colours for a terminal.

Own code logs through `structlog.get_logger()`; libraries that use `logging` come out the same way.
"""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import Processor

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["info", "warning"]

_LEVELS: dict[LogLevel, int] = {"info": logging.INFO, "warning": logging.WARNING}


def configure(node: str, log_format: LogFormat = "auto", level: LogLevel = "info") -> None:
    """Set the process up for logging as `node`; `auto` asks whether stderr is a terminal."""
    terminal = sys.stderr.isatty()
    text = log_format == "text" or (log_format == "auto" and terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *_rendering(text, terminal)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    if not text:  # text is for people, who see the node's name before each line
        structlog.contextvars.bind_contextvars(node=node)
    _configure_libraries(shared, text, terminal)


def _rendering(text: bool, terminal: bool) -> list[Processor]:
    if text:
        return [structlog.dev.ConsoleRenderer(colors=terminal)]
    return [
        structlog.processors.dict_tracebacks,
        structlog.processors.JSONRenderer(default=str),
    ]


def _configure_libraries(shared: list[Processor], text: bool, terminal: bool) -> None:
    """Warnings and worse of grpc, asyncio and others, in the same form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(text, terminal),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
