"""Connections to the gRPC port are bounded, like all others."""

import asyncio

import pytest

from dynamo.config import TableConfig
from dynamo_node.door import Answer, Request
from dynamo_node.grpc_edge import GrpcOptions, start_grpc


class NoDoor:
    """Nobody comes this far."""

    async def call(self, message: Request, deadline_ms: int) -> Answer:
        raise AssertionError("no request was made")

    def table_by_name(self, name: str) -> TableConfig | None:
        return None


async def is_greeted(port: int) -> tuple[bool, asyncio.StreamWriter]:
    """Whether the server speaks HTTP/2 on a new connection, rather than close it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    async with asyncio.timeout(5):
        try:
            return bool(await reader.read(9)), writer
        except ConnectionError:
            return False, writer


@pytest.mark.slow
async def test_one_connection_too_many_is_closed() -> None:
    options = GrpcOptions(connections_max=2)
    edge = await start_grpc(NoDoor(), "127.0.0.1", 0, options=options)
    writers = []
    try:
        greeted = []
        for _ in range(3):
            is_welcome, writer = await is_greeted(edge.port)
            greeted.append(is_welcome)
            writers.append(writer)
        assert greeted == [True, True, False]
    finally:
        for writer in writers:
            writer.transport.abort()
        await edge.stop(0)
