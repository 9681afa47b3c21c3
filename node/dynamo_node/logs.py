"""Structured logs on stderr: JSON lines for machines, colours for a terminal.

Own code logs through `structlog.get_logger()`; libraries that use `logging` come out the same way.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["info", "warning"]

PERIOD_S = 10.0
SAME_MAX = 20
"""So often an event is logged in one period; more often it tells nothing, and fills a disk."""
KINDS_MAX = 1000
"""Events whose repetitions are counted; own code has about thirty."""

_LEVELS: dict[LogLevel, int] = {"info": logging.INFO, "warning": logging.WARNING}


def configure(node: str, log_format: LogFormat = "auto", level: LogLevel = "info") -> None:
    """Set the process up for logging as `node`; `auto` asks whether stderr is a terminal."""
    terminal = sys.stderr.isatty()
    text = log_format == "text" or (log_format == "auto" and terminal)
    shared: list[Processor] = [
        Repetitions(),
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


class Repetitions:
    """Lets an event through so often in a period; the next that comes through afterwards says how
    many were left out."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        """A processor of structlog."""
        name, now_s = str(event.get("event", "")), self._clock_s()
        begun_s, count = self._seen.get(name, (now_s, 0))
        if now_s - begun_s >= PERIOD_S:
            if count > SAME_MAX:
                event["left_out_before"] = count - SAME_MAX
            begun_s, count = now_s, 0
        if len(self._seen) >= KINDS_MAX and name not in self._seen:
            self._seen.clear()
        self._seen[name] = (begun_s, count + 1)
        if count >= SAME_MAX:
            raise structlog.DropEvent
        return event


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
