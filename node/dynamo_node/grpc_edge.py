"""The gRPC edge: one listener for every language, with health and reflection beside the API.

    start_grpc -> NOT_SERVING --set_serving(True)--> SERVING --stop(grace)--> NOT_SERVING, drained

Everything a client can make this process hold has a bound in `GrpcOptions`, with what happens
there: too many calls and too large messages are refused (RESOURCE_EXHAUSTED), connections closed.
"""

import asyncio
import secrets
import time
from contextlib import suppress
from typing import NamedTuple

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dynamo_node.directory import CannotStart
from dynamo_node.door import Door
from dynamo_node.grpc_service import KvService, OperationIds
from dynamo_protos import kv_pb2, kv_pb2_grpc

MIB = 1024 * 1024
SERVICE: str = kv_pb2.DESCRIPTOR.services_by_name["KV"].full_name
OVERALL = ""
"""The name under which health knows the whole server."""
LAST_WORDS_S = 0.1
"""For refusals and watchers at the very end, while nobody can connect any more."""


class GrpcOptions(NamedTuple):
    """The edge's bounds."""

    message_bytes_max: int = 24 * MIB
    """Above the largest legal record, so that limits are refused by rules and not by the transport.
    Raising it: a client may make this node hold more."""
    calls_max: int = 512
    """Calls of the API at once, all clients together; then `Overloaded`. Raising it: more memory,
    at worst `message_bytes_max` each; lowering it: bursts are shed sooner."""
    other_calls_max: int = 128
    """Calls of health and reflection on top; beyond both gRPC refuses without details. Raising it
    costs some KiB each; lowering it: fewer watchers of health."""
    calls_per_connection_max: int = 256
    """Calls at once of one connection; then its calls wait at the client. Must leave room for other
    connections within `calls_max`."""
    connections_max: int = 1024
    """Connections; the next one is closed. Raising it costs some KiB each."""
    handshake_timeout_ms: int = 5000
    """A connection must speak HTTP/2 within this. Raising it: slow-loris connections linger."""
    idle_timeout_ms: int = 300_000
    """A connection with no call for this long is closed. Raising it: unused ones stay longer."""
    keepalive_ms: int = 20_000
    """A silent connection is probed after this, and closed without an answer for as long. Raising
    it: half-open connections hold their calls longer."""
    skew_ms_max: int = 500
    """As in `Timing`, for the stamps in the ids that are made here."""

    def arguments(self) -> list[tuple[str, int]]:
        """The same as gRPC's channel arguments."""
        return [
            ("grpc.max_receive_message_length", self.message_bytes_max),
            ("grpc.max_send_message_length", self.message_bytes_max),
            ("grpc.max_concurrent_streams", self.calls_per_connection_max),
            ("grpc.max_allowed_incoming_connections", self.connections_max),
            ("grpc.server_handshake_timeout_ms", self.handshake_timeout_ms),
            ("grpc.max_connection_idle_ms", self.idle_timeout_ms),
            ("grpc.keepalive_time_ms", self.keepalive_ms),
            ("grpc.keepalive_timeout_ms", self.keepalive_ms),
            # Clients that probe without a call are not scolded at once (ENHANCE_YOUR_CALM).
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            # With it, two daemons would share a port without a word.
            ("grpc.so_reuseport", 0),
        ]


_DEFAULTS = GrpcOptions()


class GrpcEdge:
    """A listening server; `start_grpc` makes it."""

    def __init__(
        self, server: grpc.aio.Server, service: KvService, health: health.aio.HealthServicer
    ) -> None:
        self._server, self._service, self._health = server, service, health
        self._stopping = asyncio.Lock()
        self.port = 0
        """Where it listens, also where port 0 was asked for."""

    async def set_serving(self, serving: bool) -> None:
        """Tell whoever asks for health; calls are answered either way."""
        known = health_pb2.HealthCheckResponse
        status = known.SERVING if serving else known.NOT_SERVING
        for name in (OVERALL, SERVICE):
            await self._health.set(name, status)

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING, refuse new calls, give those underway so many seconds."""
        await self._health.enter_graceful_shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._service.drained()
        # gRPC's own grace would wait for watchers of health, who never leave. And it is stopped by
        # one caller at a time: two at once bring the process down.
        async with self._stopping:
            await self._server.stop(LAST_WORDS_S)


async def start_grpc(
    door: Door,
    host: str,
    port: int,
    *,
    credentials: grpc.ServerCredentials | None = None,
    options: GrpcOptions = _DEFAULTS,
) -> GrpcEdge:
    """Listen for gRPC and answer through `door`; healthy only after `set_serving(True)`.

    `credentials` is the one place that will take TLS; None: plain text, for a trusted network.
    Raises CannotStart if the port cannot be used.
    """
    ids = OperationIds(secrets.randbits(64), options.skew_ms_max, _wall_ms)
    edge = _assembled(door, ids, options)
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if credentials is None:
            edge.port = edge._server.add_insecure_port(place)
        else:
            edge.port = edge._server.add_secure_port(place, credentials)
    except RuntimeError as error:
        raise CannotStart(f"{place} cannot be used for gRPC: {error}") from error
    await edge._server.start()
    await edge.set_serving(False)
    return edge


def _assembled(door: Door, ids: OperationIds, options: GrpcOptions) -> GrpcEdge:
    """The server with its three services."""
    server = grpc.aio.server(
        options=options.arguments(),
        maximum_concurrent_rpcs=options.calls_max + options.other_calls_max,
    )
    service, watch = KvService(door, ids, options.calls_max), health.aio.HealthServicer()
    kv_pb2_grpc.add_KVServicer_to_server(service, server)
    health_pb2_grpc.add_HealthServicer_to_server(watch, server)
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return GrpcEdge(server, service, watch)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
