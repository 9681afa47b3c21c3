"""The smallest HTTP server that Prometheus and a health check need, and no more.

    GET /metrics -> 200 text       GET /health -> 200 or 503 JSON
    other path -> 404 · other method -> 405 · no HTTP -> 400 · head above 8 KiB -> 431

One request per connection. Nobody can hold it: a head must arrive, and an answer be taken, within
`TIMEOUT_S` each, and at `CONNECTIONS_MAX` the oldest connection is cut off for the newest.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple, Self

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from dynamo_node.directory import CannotStart

CONNECTIONS_MAX = 64
HEAD_BYTES_MAX = 8 << 10
TIMEOUT_S = 5.0
_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


class Reply(NamedTuple):
    """One HTTP answer."""

    status: HTTPStatus
    body: bytes
    type: str = _TEXT
    allow: str = ""

    def encode(self) -> bytes:
        """Its bytes on the wire."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.type}",
            f"Content-Length: {len(self.body)}",
            "Connection: close",
        ]
        if self.allow:
            lines.append(f"Allow: {self.allow}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class MetricsHttp:
    """A listening server; `start_metrics_http` makes it."""

    def __init__(
        self,
        registry: CollectorRegistry,
        ready: Callable[[], bool],
        timeout_s: float,
        connections_max: int,
    ) -> None:
        self._registry, self._ready = registry, ready
        self._timeout_s, self._connections_max = timeout_s, connections_max
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, also where port 0 was asked for."""
        assert self._server is not None, "it is started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Listen no more and cut off whoever is connected."""
        assert self._server is not None, "it is started"
        self._server.close()
        tasks = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def listen(self, host: str, port: int) -> Self:
        """Start. Raises OSError."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=HEAD_BYTES_MAX)
        return self

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        if len(self._open) > self._connections_max:
            oldest = next(iter(self._open))
            oldest.transport.abort()
            del self._open[oldest]
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            reply = _words(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            reply = self._reply(head)
        writer.write(reply.encode())
        async with asyncio.timeout(self._timeout_s):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def _reply(self, head: bytes) -> Reply:
        """The answer to one request, from its first line."""
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _words(HTTPStatus.BAD_REQUEST)
        path = words[1].partition(b"?")[0]
        if path not in (b"/metrics", b"/health"):
            return _words(HTTPStatus.NOT_FOUND, "; there are /metrics and /health")
        if words[0] != b"GET":
            return _words(HTTPStatus.METHOD_NOT_ALLOWED, "; only GET is")._replace(allow="GET")
        if path == b"/metrics":
            return Reply(HTTPStatus.OK, generate_latest(self._registry), CONTENT_TYPE_LATEST)
        ready = bool(self._ready())
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Reply(status, json.dumps({"ready": ready}).encode() + b"\n", _JSON)


async def start_metrics_http(
    host: str,
    port: int,
    registry: CollectorRegistry,
    ready: Callable[[], bool],
    *,
    timeout_s: float = TIMEOUT_S,
    connections_max: int = CONNECTIONS_MAX,
) -> MetricsHttp:
    """Serve /metrics and /health until `stop`. Raises CannotStart if the port cannot be used."""
    server = MetricsHttp(registry, ready, timeout_s, connections_max)
    try:
        return await server.listen(host, port)
    except OSError as error:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise CannotStart(f"{place} cannot be used for metrics: {error.strerror}") from error


def _words(status: HTTPStatus, more: str = "") -> Reply:
    return Reply(status, f"{status.phrase.lower()}{more}\n".encode())
