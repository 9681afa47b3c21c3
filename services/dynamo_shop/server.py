"""The gRPC server: three services on one port, with health and reflection beside them.

    started -> NOT_SERVING --set_serving(True)--> SERVING --stop(grace)--> NOT_SERVING, drained

Everything a client can make this process hold has a bound; at it calls and messages are refused
(RESOURCE_EXHAUSTED), connections closed.
"""

import asyncio
import time
from contextlib import suppress

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dynamo_protos import shop_pb2, shop_pb2_grpc
from dynamo_shop.calls import CALLS_MAX, Calls
from dynamo_shop.cart_service import CartService
from dynamo_shop.catalog_service import CatalogService
from dynamo_shop.errors import CannotServe
from dynamo_shop.parsing import Parsing
from dynamo_shop.session_service import SessionService
from dynamo_shop.tables import Tables

SERVICES: tuple[str, ...] = tuple(
    service.full_name for service in shop_pb2.DESCRIPTOR.services_by_name.values()
)
OVERALL = ""
"""The name under which health knows the whole server."""
OTHER_CALLS_MAX = 128
"""Calls of health and reflection on top of the shop's. Lowering it: fewer watchers of health."""
CALLS_PER_CONNECTION_MAX = 256
CONNECTIONS_MAX = 1024
MESSAGE_BYTES_MAX = 4 << 20
"""Above the largest legal message, so that bounds are told by rules and not by the transport."""
KEEPALIVE_MS = 20_000
IDLE_MS = 300_000
HANDSHAKE_TIMEOUT_MS = 5000
"""A connection must speak HTTP/2 within this."""
LAST_WORDS_S = 0.1
"""For refusals and watchers at the very end, while nobody can connect any more."""

_ARGUMENTS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", CALLS_PER_CONNECTION_MAX),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
    ("grpc.max_connection_idle_ms", IDLE_MS),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
]


class ShopServer:
    """A listening server; `start_server` makes it."""

    def __init__(
        self, server: grpc.aio.Server, calls: Calls, watch: health.aio.HealthServicer
    ) -> None:
        self._server, self._calls, self._health = server, calls, watch
        self.port = 0
        """Where it listens, also where port 0 was asked for."""

    async def set_serving(self, serving: bool) -> None:
        """Tell whoever asks for health; calls are answered either way."""
        known = health_pb2.HealthCheckResponse
        for name in (OVERALL, *SERVICES):
            await self._health.set(name, known.SERVING if serving else known.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING, refuse new calls, give those underway so many seconds."""
        await self._health.enter_graceful_shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._calls.drained()
        # gRPC's own grace would wait for watchers of health, who never leave.
        await self._server.stop(LAST_WORDS_S)


async def start_server(
    tables: Tables, host: str, port: int, *, calls_max: int = CALLS_MAX
) -> ShopServer:
    """Listen and answer; healthy only after `set_serving(True)`. Raises CannotServe."""
    server = grpc.aio.server(
        interceptors=[Parsing()],
        options=_ARGUMENTS,
        maximum_concurrent_rpcs=calls_max + OTHER_CALLS_MAX,
    )
    calls, watch = Calls(calls_max), health.aio.HealthServicer()
    carts = CartService(calls, tables.cart, _wall_ms)
    sessions = SessionService(calls, tables.session, _wall_ms)
    shop_pb2_grpc.add_CartServiceServicer_to_server(carts, server)
    shop_pb2_grpc.add_SessionServiceServicer_to_server(sessions, server)
    catalog = CatalogService(calls, tables.product, tables.product_r)
    shop_pb2_grpc.add_CatalogServiceServicer_to_server(catalog, server)
    health_pb2_grpc.add_HealthServicer_to_server(watch, server)
    names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    shop = ShopServer(server, calls, watch)
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        shop.port = server.add_insecure_port(place)
    except RuntimeError as error:
        raise CannotServe(f"{place} cannot be used for gRPC: {error}") from error
    await server.start()
    await shop.set_serving(False)
    return shop


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
