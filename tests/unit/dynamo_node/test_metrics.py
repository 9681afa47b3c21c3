"""What Prometheus reads is what was counted, and nobody can hold the server that answers it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dynamo.meters import Meters
from dynamo_node.directory import CannotStart
from dynamo_node.metrics import (
    EngineState,
    LinkState,
    MemberState,
    NodeState,
    Sources,
    registry_of,
)
from dynamo_node.metrics_http import HEAD_BYTES_MAX, MetricsHttp, start_metrics_http

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
NOTHING = Sources()


def scraped(meters: Meters, sources: Sources = NOTHING) -> dict[tuple[str, ...], float]:
    """{(sample, label values…): value} of one scrape."""
    text = generate_latest(registry_of(meters, sources)).decode()
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_operation_is_counted_in_seconds_and_cumulatively() -> None:
    meters = Meters()
    for ms in (0.05, 3.0, 400.0, 20_000.0):
        meters.put_unknown.observe(ms)
    seen = scraped(meters)
    buckets = {
        key[1]: value
        for key, value in seen.items()
        if key[0] == "dynamo_operation_seconds_bucket" and key[2:] == ("put", "unknown")
    }
    assert (buckets["0.0001"], buckets["0.003"], buckets["0.5"], buckets["10.0"]) == (1, 2, 3, 3)
    assert buckets["+Inf"] == seen["dynamo_operation_seconds_count", "put", "unknown"] == 4
    assert seen["dynamo_operation_seconds_sum", "put", "unknown"] == pytest.approx(20.40305)
    assert seen["dynamo_operation_seconds_count", "put", "ok"] == 0


def test_counters_groups_and_siblings() -> None:
    meters = Meters()
    meters.hedges = 3
    meters.too_many_siblings = 2
    meters.commit_group.observe(17)
    meters.fsync_ms.observe(1.5)
    meters.siblings.observe(0)
    seen = scraped(meters)
    assert seen["dynamo_hedges_total",] == 3
    assert seen["dynamo_too_many_siblings_total",] == 2
    assert seen["dynamo_commit_group_writes_bucket", "16.0"] == 0
    assert seen["dynamo_commit_group_writes_bucket", "32.0"] == 1
    assert seen["dynamo_fsync_seconds_sum",] == 0.0015
    assert seen["dynamo_get_siblings_bucket", "0.0"] == 1


def test_states_are_read_at_the_time_of_the_scrape() -> None:
    states = [NodeState(partitions_missing=9), NodeState(partitions_missing=4)]
    engine = EngineState(memory_table_bytes=5, refusing=True, checkpoints=2, checkpoint_ms=1500)
    sources = Sources(node=lambda: states.pop(0), engine=lambda: engine)
    registry = registry_of(Meters(), sources._replace(node=lambda: states[0]))
    assert b"dynamo_partitions_missing 9.0" in generate_latest(registry)
    del states[0]
    assert b"dynamo_partitions_missing 4.0" in generate_latest(registry)
    seen = scraped(Meters(), sources)
    assert (seen["dynamo_memory_table_bytes",], seen["dynamo_refusing",]) == (5, 1)
    assert (seen["dynamo_checkpoints_total",], seen["dynamo_checkpoint_seconds_total",]) == (2, 1.5)


def test_peers_have_names_and_clients_are_one() -> None:
    links = [LinkState("n2", 10, 1, 2, 3, 4), LinkState("", 5), LinkState("", 6)]
    seen = scraped(Meters(), Sources(links=lambda: links))
    assert seen["dynamo_link_queued_bytes", "n2"] == 10
    assert seen["dynamo_link_messages_total", "in", "n2"] == 1
    assert seen["dynamo_link_messages_total", "out", "n2"] == 2
    assert seen["dynamo_link_bytes_total", "out", "n2"] == 4
    assert (seen["dynamo_clients",], seen["dynamo_client_queued_bytes",]) == (2, 11)


def test_members_have_one_state_and_those_that_come_and_go_are_counted() -> None:
    members = [
        MemberState("n2", "alive", True),
        MemberState("n3", "dead", False),
        MemberState("n4", "suspect", True),
    ]
    seen = scraped(Meters(), Sources(members=lambda: members))
    states = {key[1:]: value for key, value in seen.items() if key[0] == "dynamo_member_state"}
    assert len(states) == 12
    assert {key for key, value in states.items() if value} == {
        ("n2", "alive"),
        ("n3", "dead"),
        ("n4", "suspect"),
    }
    assert (seen["dynamo_members_silent",], seen["dynamo_members_unsteady",]) == (1, 1)


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    text = generate_latest(registry_of(Meters(), Sources())).decode()
    served = set(re.findall(r"^# TYPE (dynamo_\w+)", text, re.MULTILINE))
    documented = set(re.findall(r"^\| `(dynamo_\w+)", DOCUMENT.read_text(), re.MULTILINE))
    assert documented == served


class Node:
    """What the server asks, and the server."""

    def __init__(self) -> None:
        self.is_ready = True
        self.meters = Meters()
        self.http: MetricsHttp

    async def start(self, **bounds: Any) -> MetricsHttp:
        registry = registry_of(self.meters, Sources())
        self.http = await start_metrics_http(
            "127.0.0.1", 0, registry, lambda: self.is_ready, **bounds
        )
        return self.http

    async def ask(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of the answer to these bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http.port)
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert int(headers["Content-Length"]) == len(body)
        return int(first.split()[1]), headers, body


@pytest_asyncio.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    await node.start()
    yield node
    await node.http.stop()


async def test_metrics_are_served_as_text(node: Node) -> None:
    node.meters.forwards = 7
    status, headers, body = await node.ask(b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (status, headers["Connection"]) == (200, "close")
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b"dynamo_forwards_total 7.0" in body


async def test_health_follows_the_node(node: Node) -> None:
    ask = b"GET /health HTTP/1.1\r\n\r\n"
    status, headers, body = await node.ask(ask)
    assert (status, headers["Content-Type"], json.loads(body)) == (
        *(200, "application/json", {"ready": True}),
    )
    node.is_ready = False
    status, _, body = await node.ask(ask)
    assert (status, json.loads(body)) == (503, {"ready": False})


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"HEAD /health HTTP/1.1\r\n\r\n", 405),
        (b"hello\r\n\r\n", 400),
        (b"GET /metrics SPDY/3\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (bytes(range(256)) + b"\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n", 431),
    ],
)
async def test_everything_else_gets_a_clear_answer(node: Node, raw: bytes, status: int) -> None:
    answered, headers, body = await node.ask(raw)
    assert answered == status
    assert body.decode().strip()
    assert ("Allow" in headers) == (status == 405)


async def test_a_client_that_leaves_early_disturbs_nobody(node: Node) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", node.http.port)
    writer.write(b"GET /met")
    writer.transport.abort()
    assert (await node.ask(b"GET /health HTTP/1.1\r\n\r\n"))[0] == 200


async def test_a_head_that_does_not_come_is_not_awaited() -> None:
    node = Node()
    http = await node.start(timeout_s=0.02)
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):  # an abrupt end will do as well
            assert await reader.read() == b""
    writer.close()
    await http.stop()


async def test_at_the_bound_the_oldest_connection_gives_way() -> None:
    node = Node()
    http = await node.start(connections_max=3)
    idle = [await asyncio.open_connection("127.0.0.1", http.port) for _ in range(10)]
    async with asyncio.timeout(5):
        assert (await node.ask(b"GET /health HTTP/1.1\r\n\r\n"))[0] == 200
    assert len(http._open) <= 3
    await http.stop()
    for _, writer in idle:
        writer.close()


async def test_stop_cuts_off_who_is_connected(node: Node) -> None:
    other = Node()
    http = await other.start()
    _, writer = await asyncio.open_connection("127.0.0.1", http.port)
    async with asyncio.timeout(5):
        await http.stop()
    writer.close()


async def test_a_port_in_use_is_named(node: Node) -> None:
    registry = registry_of(Meters(), Sources())
    with pytest.raises(CannotStart, match=f"127.0.0.1:{node.http.port}"):
        await start_metrics_http("127.0.0.1", node.http.port, registry, lambda: True)
