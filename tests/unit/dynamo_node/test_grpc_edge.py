"""The gRPC edge parses, asks the door and renders; and it is bounded, healthy and drained."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from dynamo.config import TableConfig
from dynamo.errors import GRPC_STATUS, Code, Failure
from dynamo.messages import (
    GET_DONE,
    OUTCOME_DONE,
    PUT_DONE,
    AskOutcome,
    Get,
    GetDone,
    OutcomeDone,
    Put,
    PutDone,
    failed,
)
from dynamo.siblings.operation_token import decode_operation, encode_operation
from dynamo.siblings.record import operation_id, operation_stamp
from dynamo.types import Stamp, TableId
from dynamo_node.directory import CannotStart
from dynamo_node.door import Answer, Request
from dynamo_node.grpc_edge import SERVICE, GrpcEdge, GrpcOptions, start_grpc
from dynamo_node.grpc_service import DEADLINE_MS_DEFAULT, DEADLINE_MS_MAX, OperationIds
from dynamo_protos import kv_pb2, kv_pb2_grpc

CART = TableConfig("cart", TableId(7))
MINE = encode_operation(7, b"k", b"s", operation_id(5 << 16, 1, 1))
STORED = PutDone(PUT_DONE, 0, b"seen", Stamp(9 << 16))
NOTHING_FOUND = GetDone(GET_DONE, 0, (), b"none", Stamp(0))


class ScriptedDoor:
    """Answers what the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, int]] = []
        self.answer: Answer = NOTHING_FOUND
        self.entered = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def call(self, message: Request, deadline_ms: int) -> Answer:
        self.asked.append((message, deadline_ms))
        self.entered.set()
        await self.may_answer.wait()
        return self.answer

    def table_by_name(self, name: str) -> TableConfig | None:
        return CART if name == "cart" else None


class Client:
    """Stubs of one channel to an edge."""

    def __init__(self, edge: GrpcEdge) -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{edge.port}", options=options)
        self.kv: Any = kv_pb2_grpc.KVStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)


@pytest.fixture
def door() -> ScriptedDoor:
    return ScriptedDoor()


@pytest_asyncio.fixture
async def edge(door: ScriptedDoor) -> AsyncIterator[GrpcEdge]:
    edge = await start_grpc(door, "127.0.0.1", 0, options=GrpcOptions(calls_max=2))
    await edge.set_serving(True)
    yield edge
    await edge.stop(0)


@pytest_asyncio.fixture
async def client(edge: GrpcEdge) -> AsyncIterator[Client]:
    client = Client(edge)
    yield client
    await client.channel.close()


async def failure_of(call: Any) -> tuple[grpc.StatusCode, kv_pb2.FailureInfo, list[Any]]:
    """(status, our details, other details) of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None, f"no details: {caught.value}"
    info = kv_pb2.FailureInfo()
    assert status.details[0].Unpack(info)
    return caught.value.code(), info, list(status.details[1:])


async def test_get_asks_the_door_and_renders_siblings(door: ScriptedDoor, client: Client) -> None:
    door.answer = GetDone(GET_DONE, 0, (b"one", b""), b"seen", Stamp(0))
    request = kv_pb2.GetRequest(table="cart", key=b"k", sort_key=b"s", r=3)
    response = await client.kv.Get(request)
    assert (response.found, list(response.values), response.context) == (
        *(True, [b"one", b""], b"seen"),
    )
    (message, deadline_ms), *_ = door.asked
    assert isinstance(message, Get)
    assert (message.table, message.key, message.sort_key, message.r) == (7, b"k", b"s", 3)
    assert message.deadline_ms == deadline_ms == DEADLINE_MS_DEFAULT


async def test_not_found_is_no_error(client: Client) -> None:
    response = await client.kv.Get(kv_pb2.GetRequest(table="cart", key=b"k"))
    assert (response.found, list(response.values), response.context) == (False, [], b"none")


async def test_put_carries_context_value_and_the_clients_id(
    door: ScriptedDoor, client: Client
) -> None:
    door.answer = STORED
    item = {"table": "cart", "key": b"k", "sort_key": b"s"}
    request = kv_pb2.PutRequest(**item, value=b"", context=b"c", w=1, operation_id=MINE)  # type: ignore[arg-type]
    response = await client.kv.Put(request)
    assert (response.context, response.operation_id) == (b"seen", MINE)
    message = door.asked[0][0]
    assert isinstance(message, Put)
    assert (message.payload, message.context, message.w) == (b"", b"c", 1)
    assert not message.strict
    assert message.operation == decode_operation(MINE).operation


async def test_a_call_may_be_strict(door: ScriptedDoor, client: Client) -> None:
    door.answer = STORED
    item = {"table": "cart", "key": b"k", "strict": True}
    await client.kv.Put(kv_pb2.PutRequest(**item))  # type: ignore[arg-type]
    await client.kv.Delete(kv_pb2.DeleteRequest(**item))  # type: ignore[arg-type]
    door.answer = NOTHING_FOUND
    await client.kv.Get(kv_pb2.GetRequest(**item))  # type: ignore[arg-type]
    messages = [message for message, _ in door.asked]
    assert all(isinstance(message, Put | Get) and message.strict for message in messages)
    assert len(messages) == 3


async def test_delete_is_a_put_of_nothing(door: ScriptedDoor, client: Client) -> None:
    door.answer = STORED
    response = await client.kv.Delete(kv_pb2.DeleteRequest(table="cart", key=b"k"))
    message = door.asked[0][0]
    assert isinstance(message, Put)
    assert (message.payload, message.context, message.w) == (None, None, 0)
    assert decode_operation(response.operation_id)[:3] == (7, b"k", b"")


async def test_every_write_without_an_id_gets_its_own(door: ScriptedDoor, client: Client) -> None:
    door.answer = STORED
    request = kv_pb2.PutRequest(table="cart", key=b"k", value=b"v")
    ids = [(await client.kv.Put(request)).operation_id for _ in range(3)]
    operations = [decode_operation(id).operation for id in ids]
    assert operations == sorted(set(operations))


def test_ids_stay_above_the_stamps_that_were_seen() -> None:
    ids = OperationIds(session=1, skew_ms_max=500, wall_ms=lambda: 1000)
    ids.learn(1400 << 16)
    assert operation_stamp(ids.next()) > 1400 << 16
    ids.learn(9000 << 16)
    assert operation_stamp(ids.next()) < 1500 << 16, "an absurd stamp is not followed"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("applied", kv_pb2.OUTCOME_APPLIED),
        ("not applied", kv_pb2.OUTCOME_NOT_APPLIED),
        ("unknown", kv_pb2.OUTCOME_UNKNOWN),
    ],
)
async def test_outcome_finds_the_item_in_the_id(
    door: ScriptedDoor, client: Client, state: str, outcome: int
) -> None:
    door.answer = OutcomeDone(OUTCOME_DONE, 0, state)
    response = await client.kv.GetOutcome(kv_pb2.GetOutcomeRequest(operation_id=MINE))
    assert response.outcome == outcome
    message = door.asked[0][0]
    assert isinstance(message, AskOutcome)
    assert (message.table, message.key, message.sort_key) == (7, b"k", b"s")


@pytest.mark.parametrize("code", Code)
async def test_each_failure_has_its_status_and_details(
    door: ScriptedDoor, client: Client, code: Code
) -> None:
    causes = (("n2", "unreachable"), ("n3", "rebuilding"))
    door.answer = failed(0, Failure(code, "so it is", 2, 1, 3, causes, True, 70))
    status, info, others = await failure_of(
        client.kv.Put(kv_pb2.PutRequest(table="cart", key=b"k", sort_key=b"s", operation_id=MINE))
    )
    assert status.name == GRPC_STATUS[code]
    assert (Code(info.code), info.needed, info.got, info.asked) == (code, 2, 1, 3)
    assert kv_pb2.FailureCode.Name(info.code) == f"FAILURE_CODE_{code.name}"
    assert [(each.node, each.cause) for each in info.causes] == list(causes)
    assert (info.outcome, info.operation_id) == (kv_pb2.OUTCOME_UNKNOWN, MINE)
    assert info.kind
    wait = error_details_pb2.RetryInfo()
    assert others[0].Unpack(wait)
    assert wait.retry_delay.ToMilliseconds() == info.retry_after_ms == 70


async def test_a_write_that_changed_nothing_says_so(door: ScriptedDoor, client: Client) -> None:
    door.answer = failed(0, Failure(Code.QUORUM_NOT_REACHED, "", 2, 0, 1))
    request = kv_pb2.DeleteRequest(table="cart", key=b"k")
    _, info, others = await failure_of(client.kv.Delete(request))
    assert info.outcome == kv_pb2.OUTCOME_NOT_APPLIED
    assert decode_operation(info.operation_id).key == b"k"
    assert not others


async def test_a_read_has_no_outcome(door: ScriptedDoor, client: Client) -> None:
    door.answer = failed(0, Failure(Code.QUORUM_NOT_REACHED, "", 2, 0, 1))
    _, info, _ = await failure_of(client.kv.Get(kv_pb2.GetRequest(table="cart", key=b"k")))
    assert (info.outcome, info.operation_id) == (kv_pb2.OUTCOME_UNSPECIFIED, "")


OTHER_TABLE = encode_operation(8, b"k", b"", bytes(20))
WRONG: list[tuple[str, Any, Code]] = [
    ("Get", kv_pb2.GetRequest(table="no" * 9999, key=b"k"), Code.UNKNOWN_TABLE),
    ("Get", kv_pb2.GetRequest(table="cart", key=b"k", r=0), Code.INVALID_QUORUM),
    ("Put", kv_pb2.PutRequest(table="nope", key=b"k"), Code.UNKNOWN_TABLE),
    ("Put", kv_pb2.PutRequest(table="cart", key=b"k", w=0), Code.INVALID_QUORUM),
    ("Put", kv_pb2.PutRequest(table="cart", key=b"k", operation_id="%"), Code.INVALID_REQUEST),
    ("Put", kv_pb2.PutRequest(table="cart", key=b"x", operation_id=MINE), Code.INVALID_REQUEST),
    (
        *("Put", kv_pb2.PutRequest(table="cart", key=b"k", operation_id=OTHER_TABLE)),
        Code.INVALID_REQUEST,
    ),
    ("Put", kv_pb2.PutRequest(table="cart", key=bytes(70_000)), Code.KEY_TOO_LARGE),
    ("Delete", kv_pb2.DeleteRequest(table="cart", key=b"k", w=0), Code.INVALID_QUORUM),
    ("GetOutcome", kv_pb2.GetOutcomeRequest(operation_id="x" * 99), Code.INVALID_REQUEST),
    ("GetOutcome", kv_pb2.GetOutcomeRequest(), Code.INVALID_REQUEST),
]


@pytest.mark.parametrize(("method", "request_", "code"), WRONG)
async def test_what_cannot_be_is_refused_before_the_node(
    door: ScriptedDoor, client: Client, method: str, request_: Any, code: Code
) -> None:
    status, info, _ = await failure_of(getattr(client.kv, method)(request_))
    assert (Code(info.code), status.name) == (code, GRPC_STATUS[code])
    writes = method in ("Put", "Delete")
    assert info.outcome == (kv_pb2.OUTCOME_NOT_APPLIED if writes else kv_pb2.OUTCOME_UNSPECIFIED)
    assert not door.asked


async def test_an_id_too_long_for_trailers_is_left_out(door: ScriptedDoor, client: Client) -> None:
    door.answer = failed(0, Failure(Code.KEY_TOO_LARGE, "too large"))
    request = kv_pb2.PutRequest(table="cart", key=bytes(16_000))
    status, info, _ = await failure_of(client.kv.Put(request))
    assert (status, info.operation_id) == (grpc.StatusCode.INVALID_ARGUMENT, "")


@pytest.mark.parametrize("seconds", [5.0, 3600.0])
async def test_the_node_gets_a_little_less_time_than_the_caller_has(
    door: ScriptedDoor, client: Client, seconds: float
) -> None:
    await client.kv.Get(kv_pb2.GetRequest(table="cart", key=b"k"), timeout=seconds)
    most = min(seconds * 1000, DEADLINE_MS_MAX)
    assert most * 0.8 < door.asked[0][1] < most


@pytest.mark.slow
async def test_a_node_that_does_not_answer_leaves_a_write_unknown(
    door: ScriptedDoor, client: Client
) -> None:
    door.may_answer.clear()
    request = kv_pb2.PutRequest(table="cart", key=b"k")
    status, info, _ = await failure_of(client.kv.Put(request, timeout=0.4))
    assert status == grpc.StatusCode.DEADLINE_EXCEEDED
    assert info.outcome == kv_pb2.OUTCOME_UNKNOWN
    assert decode_operation(info.operation_id).key == b"k"


@pytest.mark.slow
async def test_the_largest_record_passes_and_more_is_refused(
    door: ScriptedDoor, client: Client
) -> None:
    door.answer = GetDone(GET_DONE, 0, (bytes(9 << 20),), b"", Stamp(0))
    response = await client.kv.Get(kv_pb2.GetRequest(table="cart", key=b"k"))
    assert len(response.values[0]) == 9 << 20
    huge = kv_pb2.PutRequest(table="cart", key=b"k", value=bytes(25 << 20))
    with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
        await client.kv.Put(huge)


async def test_calls_over_the_bound_are_refused_at_once(door: ScriptedDoor, client: Client) -> None:
    door.may_answer.clear()
    request = kv_pb2.GetRequest(table="cart", key=b"k")
    held = [asyncio.ensure_future(_get(client, request)) for _ in range(2)]
    while len(door.asked) < 2:
        door.entered.clear()
        await door.entered.wait()
    status, info, others = await failure_of(client.kv.Get(request))
    assert (status, Code(info.code)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, Code.OVERLOADED)
    assert info.retry_after_ms
    assert others
    door.may_answer.set()
    await asyncio.gather(*held)


async def _get(client: Client, request: kv_pb2.GetRequest) -> Any:
    return await client.kv.Get(request)


@pytest.mark.parametrize("name", ["", SERVICE])
async def test_health_follows_the_node(edge: GrpcEdge, client: Client, name: str) -> None:
    ask = health_pb2.HealthCheckRequest(service=name)
    seen = [(await client.health.Check(ask)).status]
    await edge.set_serving(False)
    seen.append((await client.health.Check(ask)).status)
    known = health_pb2.HealthCheckResponse
    assert seen == [known.SERVING, known.NOT_SERVING]


async def test_reflection_lists_the_services(client: Client) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    response = await call.read()
    call.cancel()
    names = {service.name for service in response.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


async def test_stop_lets_a_call_finish_and_does_not_wait_for_watchers(
    door: ScriptedDoor, edge: GrpcEdge, client: Client
) -> None:
    watcher = client.health.Watch(health_pb2.HealthCheckRequest(service=""))
    await watcher.read()
    door.may_answer.clear()
    call = asyncio.ensure_future(_get(client, kv_pb2.GetRequest(table="cart", key=b"k")))
    await door.entered.wait()
    stopping = asyncio.ensure_future(edge.stop(60))
    said = await watcher.read()
    assert said.status == health_pb2.HealthCheckResponse.NOT_SERVING
    _, info, _ = await failure_of(client.kv.Put(kv_pb2.PutRequest(table="cart", key=b"k")))
    assert (Code(info.code), info.outcome) == (Code.NOT_SERVING, kv_pb2.OUTCOME_NOT_APPLIED)
    door.may_answer.set()
    async with asyncio.timeout(5):
        assert (await call).context == b"none"
        await stopping


async def test_two_may_stop_an_edge_at_once(edge: GrpcEdge, client: Client) -> None:
    await client.kv.Get(kv_pb2.GetRequest(table="cart", key=b"k"))
    await asyncio.gather(edge.stop(0), edge.stop(0), edge.stop(1))
    with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
        await client.kv.Get(kv_pb2.GetRequest(table="cart", key=b"k"))


async def test_a_call_beyond_the_grace_is_cut_off(
    door: ScriptedDoor, edge: GrpcEdge, client: Client
) -> None:
    door.may_answer.clear()
    call = asyncio.ensure_future(_get(client, kv_pb2.GetRequest(table="cart", key=b"k")))
    await door.entered.wait()
    await edge.stop(0)
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def test_a_port_in_use_is_refused_and_not_shared(edge: GrpcEdge, door: ScriptedDoor) -> None:
    with pytest.raises(CannotStart, match=f"127.0.0.1:{edge.port}"):
        await start_grpc(door, "127.0.0.1", edge.port)


def test_the_failure_codes_of_the_api_are_those_of_the_product() -> None:
    published = dict(kv_pb2.FailureCode.items())
    assert published.pop("FAILURE_CODE_UNSPECIFIED") == 0
    assert published == {f"FAILURE_CODE_{code.name}": code.value for code in Code}
