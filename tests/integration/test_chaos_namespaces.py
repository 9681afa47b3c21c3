"""What the weather forbids does not pass between network namespaces, and everything else does."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from dynamo_bench.chaos.namespaces import Namespaces, are_possible
from dynamo_bench.chaos.weather import CLIENTS, Weather

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not are_possible(), reason="needs root and network namespaces"),
]

PORT = 7400
NAMES = ("n1", "n2")
GIVE_UP_S = 0.4
START_S = 30.0
SERVER = """
import socket, sys
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("up", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(b"n")
    connection.close()
"""
CALLER = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])).recv(1)
except TimeoutError:
    sys.exit(1)
"""


class Net:
    """Two nodes that answer whoever reaches them."""

    def __init__(self) -> None:
        self.weather = Weather(NAMES)
        self.spaces = Namespaces(self.weather, NAMES, PORT)

    async def reaches(self, sender: str, receiver: str, address: str = "") -> bool:
        """Whether a connection can be made and is answered."""
        site = self.spaces.sites[receiver]
        prefix = self.spaces.sites[sender].prefix if sender != CLIENTS else ()
        call = await asyncio.create_subprocess_exec(
            *(*prefix, sys.executable, "-S", "-c", CALLER),
            *(address or site.address, str(site.listen_port), str(GIVE_UP_S)),
        )
        return await call.wait() == 0


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    made, servers = Net(), []
    async with made.spaces:
        try:
            for site in made.spaces.sites.values():
                server = await asyncio.create_subprocess_exec(
                    *(*site.prefix, sys.executable, "-S", "-c", SERVER, str(site.listen_port)),
                    stdout=asyncio.subprocess.PIPE,
                )
                servers.append(server)
                assert server.stdout is not None
                async with asyncio.timeout(START_S):
                    assert await server.stdout.readline() == b"up\n"
            yield made
        finally:
            for server in servers:
                server.kill()
                await server.wait()


async def test_a_partition_is_between_nodes_only_and_ends(net: Net) -> None:
    assert await net.reaches("n1", "n2")
    for way in net.weather.between("n1", ["n2"]):
        way.held = True
    net.weather.changed()
    assert not await net.reaches("n1", "n2")
    assert not await net.reaches("n2", "n1")
    assert await net.reaches(CLIENTS, "n1")
    net.weather.clear()
    assert await net.reaches("n1", "n2")
    assert await net.reaches("n2", "n1")


async def test_clients_are_cut_off_but_not_who_looks_on(net: Net) -> None:
    net.weather.way("n2", CLIENTS).cut = True
    net.weather.changed()
    assert not await net.reaches(CLIENTS, "n2")
    assert await net.reaches(CLIENTS, "n2", net.spaces.sites["n2"].control)
    assert await net.reaches(CLIENTS, "n1")
    assert await net.reaches("n1", "n2")
