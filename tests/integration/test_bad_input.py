"""Bad input on real daemons: each gets a clear typed error or a farewell in words, all nodes stay
up, and what was acknowledged before stays."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cluster_process import ClusterProcess
from frames_client import CART, CLIENT, SESSION, FramesClient, framed, get, packed, put
from remembering import serves_all

from dynamo.errors import Code
from dynamo.keys import item_key
from dynamo.messages import (
    ASK_OUTCOME,
    GET,
    PUT,
    REPLICA_PUT,
    REPLICA_STORED,
    AskOutcome,
    Failed,
    GetDone,
    PutDone,
    ReplicaPut,
    ReplicaStored,
)
from dynamo.ring.hashing import partition_of, token_of
from dynamo.siblings.codec import encode_context, opened_context
from dynamo.types import ItemKey, OperationId
from dynamo.wire import Hello, Refusal
from dynamo.wire.handshake import PROTOCOL_MAX, PROTOCOL_MIN, encode_hello
from dynamo_client import (
    InvalidContext,
    InvalidQuorum,
    InvalidRequest,
    KeyTooLarge,
    UnknownTable,
    ValueTooLarge,
    WrongCluster,
    connect,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

WITNESSES = 20
ITEM = item_key(partition_of(token_of(CART, b"forged"), 256), CART, b"forged", b"")
MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterProcess]:
    """One cluster for all; at the end nobody has died and every earlier write is there."""
    data = tmp_path_factory.mktemp("bad") / "data"
    async with ClusterProcess(data, 3, "--no-restart") as made:
        await serves_all(made.seeds, 3)
        pids = [made.pid(name) for name in made.names]
        async with connect(made.seeds) as db:
            for number in range(WITNESSES):
                await db.table("cart").put(f"witness {number}", number)
        yield made
        assert [made.pid(name) for name in made.names] == pids
        assert made.up.status is None
        async with connect(made.seeds) as db:
            for number in range(WITNESSES):
                assert (await db.table("cart").get(f"witness {number}")).value == number
        for name in made.names:
            errors = [e for e in made.events(name) if e["level"] in ("error", "critical")]
            assert not errors, "bad input is no error of the node"


@pytest.fixture
def port(cluster: ClusterProcess) -> int:
    return cluster.port


async def works(port: int) -> bool:
    """Whether a new client can write and read through this node."""
    async with FramesClient(port) as client:
        done = await client.ask(put(b"still works", packed("yes")))
        found = await client.ask(get(b"still works"))
    return isinstance(done, PutDone) and isinstance(found, GetDone) and bool(found.payloads)


# what callers get wrong


async def test_a_caller_s_mistakes_have_their_types(cluster: ClusterProcess) -> None:
    async with connect(cluster.seeds) as db:
        cart, session = db.table("cart"), db.table("session")
        context = await cart.put("mistakes", 1)
        assert isinstance(context, bytes)
        for wrong in ("k" * 1025, ""):
            with pytest.raises(KeyTooLarge, match="1024"):
                await cart.put(wrong, 1)
            with pytest.raises(KeyTooLarge, match="1024"):
                await cart.get(wrong)
        with pytest.raises(KeyTooLarge, match="sort key has 1025 bytes"):
            await cart.put("k", 1, sort_key="s" * 1025)
        with pytest.raises(ValueTooLarge, match="at most 1048576"):
            await cart.put("k", "v" * (MIB + 1))
        with pytest.raises(UnknownTable, match="cart"):
            await db.table("nonsense").get("k")
        for quorum in (-1, 0, 4):
            with pytest.raises(InvalidQuorum):
                await cart.get("k", r=quorum)
            with pytest.raises(InvalidQuorum):
                await cart.put("k", 1, w=quorum)
        altered = bytes([*context[:-6], context[-6] ^ 1, *context[-5:]])
        for wrong in (altered, b"nonsense", context[:-1], context * 5000):
            with pytest.raises(InvalidContext):
                await cart.put("mistakes", 2, wrong)
        with pytest.raises(InvalidContext, match="for another item"):
            await session.put("mistakes", 2, context)
        for word in ("", "nonsense", "x" * 100_000):
            with pytest.raises(InvalidRequest):
                await db.outcome(word)
        assert (await cart.get("mistakes")).value == 1


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (Code.KEY_TOO_LARGE, {"key": b"k" * 100_000}),
        (Code.KEY_TOO_LARGE, {"key": b""}),
        (Code.VALUE_TOO_LARGE, {"payload": bytes(9 * MIB)}),
        (Code.UNKNOWN_TABLE, {"table": 77}),
        (Code.UNKNOWN_TABLE, {"table": -1}),
        (Code.INVALID_QUORUM, {"w": 4}),
        (Code.INVALID_QUORUM, {"w": -1}),
        (Code.INVALID_CONTEXT, {"context": b"\x01nonsense"}),
        (Code.INVALID_REQUEST, {"operation": b"short"}),
        (Code.INVALID_REQUEST, {"operation": b"\x7f" * 20}),
        (Code.DEADLINE_EXCEEDED, {"deadline_ms": -5}),
        (Code.WRONG_RING, {"epoch": 99}),
    ],
    ids=lambda each: each.name if isinstance(each, Code) else next(iter(each)),
)
async def test_a_client_in_another_language_gets_them_wrong(
    port: int, code: Code, changes: dict[str, object]
) -> None:
    async with FramesClient(port) as client:
        answer = await client.ask(put(b"wrong", **changes))
        assert isinstance(answer, Failed)
        assert (Code(answer.code), answer.unknown) == (code, False)
        found = await client.ask(get(b"wrong"))
        assert found.payloads == (), "nothing was written, and the connection goes on"


async def test_a_forged_context_brings_no_node_down(cluster: ClusterProcess) -> None:
    """It covers dots of the other nodes that they have yet to issue."""
    async with FramesClient(cluster.port) as client:
        done = await client.ask(put(b"forged", packed("one"), w=3))
    seen = opened_context(done.context)
    vector = {actor: counter + 1000 for actor, counter in seen.history.vector.items()}
    forged = encode_context(ITEM, seen._replace(history=seen.history._replace(vector=vector)))
    answers = []
    for number in range(3):
        async with FramesClient(cluster.port + number) as client:
            for round in range(3):
                value = packed(f"{number} {round}")
                answers.append(await client.ask(put(b"forged", value, context=forged)))
                answers.append(await client.ask(put(b"forged", value)))
    refused = [answer for answer in answers if isinstance(answer, Failed)]
    assert all(Code(answer.code) is Code.INVALID_CONTEXT for answer in refused)
    assert len(refused) < len(answers)
    for number in range(3):
        assert await works(cluster.port + number)


async def test_an_outcome_of_nonsense(port: int) -> None:
    async with FramesClient(port) as client:
        for operation in (b"", b"x" * 5000, b"\x7f" * 20):
            ask = AskOutcome(ASK_OUTCOME, 0, 1000, 0, CART, b"k", b"", OperationId(operation))
            answer = await client.ask(ask)
            assert isinstance(answer, Failed)
            assert Code(answer.code) is Code.INVALID_REQUEST


# who knocks at the wrong door


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "not HTTP; metrics are on port+200"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not HTTP/2; gRPC is on port+100"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "not TLS"),
        (b"\x00" * 64, "not with a hello"),
        (b"hello, is anybody there?", "not with a hello"),
        (b"DYNM\xff\xff", "over 8192"),
        (b"DYNM\x00\x03abc", "not msgpack"),
        (b"DYNM\x00\x01\x90", "not a map"),
    ],
)
async def test_a_stranger_is_told_where_he_is(port: int, first: bytes, words: str) -> None:
    async with FramesClient(port, None) as client:
        client.say(first)
        theirs, _ = await client.greeting()
        assert isinstance(theirs, Refusal)
        assert words in theirs.reason
    assert await works(port)


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        (CLIENT._replace(cluster=b"\x01" * 16), "is of cluster 0101"),
        (
            CLIENT._replace(version_min=7, version_max=9),
            f"speaks protocol 7-9, we speak {PROTOCOL_MIN}-{PROTOCOL_MAX}",
        ),
        (Hello("node", "n2", b"\x01" * 16, boot=1, durability="fsync"), "is of cluster 0101"),
    ],
)
async def test_another_cluster_and_another_version_are_refused(
    port: int, hello: Hello, words: str
) -> None:
    async with FramesClient(port, None) as client:
        client.say(encode_hello(hello))
        theirs, _ = await client.greeting()
        assert isinstance(theirs, Refusal)
        assert words in theirs.reason


async def test_the_embedded_client_of_another_cluster(cluster: ClusterProcess) -> None:
    with pytest.raises(WrongCluster):
        async with connect(cluster.seeds, cluster=b"\x01" * 16) as db:
            await db.table("cart").get("k")


async def test_a_member_s_name_alone_makes_no_member(port: int) -> None:
    """Right cluster, but a name that is in no configuration, or the node's own."""
    async with FramesClient(port) as client:
        assert isinstance(client.theirs, Hello)
        cluster = client.theirs.cluster
    for name in ("n9", "n1"):
        hello = Hello("node", name, cluster, boot=1, incarnation="x", durability="fsync")
        async with FramesClient(port, hello) as impostor:
            assert "not another member" in await impostor.farewell()


# what is wrong inside frames


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x7f\xff\xff\xff\x02" + bytes(4), "over the maximum"),
        (framed(b""), "no body"),
        (framed(b"\x91\x91\x0a", form=9), "format 9 is not known"),
        (framed(b"\xc1"), "not msgpack"),
        (framed(b"\x05"), "not an array"),
        (framed(b"\xdd\xff\xff\xff\xff"), "not msgpack"),
        (framed(b"\x91\xc0"), "not an array that begins with its kind"),
        (framed(b"\x91\x91\x05"), "5 is no message kind"),
    ],
)
async def test_a_frame_that_is_none(port: int, data: bytes, words: str) -> None:
    async with FramesClient(port) as client:
        client.say(data)
        assert words in await client.farewell()
    assert await works(port)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ((99, 1), "no message is of kind"),
        ((PUT, 1), "malformed Put"),
        ((GET, 1, 0, 0, 1, "text for bytes", b"", 0), "malformed Get"),
        ((GET, 1, 0, 0, 1, b"k", b"", {"r": 1}), "malformed Get"),
        ((GET, True, 0, 0, 1, b"k", b"", 0), "malformed Get"),
        (ReplicaPut(REPLICA_PUT, 1, ItemKey(b"12345678"), b"r", b""), "not for you"),
        (ReplicaStored(REPLICA_STORED, (1, 2, 3), True), "not for you"),
        ((REPLICA_STORED, (1, "two", None), True), "malformed ReplicaStored"),
        ((REPLICA_STORED, ((1,), {}), True), "malformed ReplicaStored"),
    ],
)
async def test_a_message_that_is_none(port: int, message: tuple[object, ...], words: str) -> None:
    async with FramesClient(port) as client:
        client.send(message)
        assert words in await client.farewell()
    assert await works(port)


async def test_a_bad_message_spoils_only_its_own_connection(port: int) -> None:
    async with FramesClient(port) as good, FramesClient(port) as bad:
        bad.send(put(b"before")._replace(id=1), (99, 1), put(b"after")._replace(id=2))
        assert "kind" in await bad.farewell()
        assert isinstance(await good.ask(get(b"before")), GetDone)
        assert (await good.ask(get(b"after"))).payloads == ()


async def test_another_table_s_context_over_frames(port: int) -> None:
    async with FramesClient(port) as client:
        done = await client.ask(put(b"tables", table=SESSION))
        answer = await client.ask(put(b"tables", context=done.context))
        assert Code(answer.code) is Code.INVALID_CONTEXT


# who takes his time


async def test_the_slow_and_the_silent_are_cut_off(cluster: ClusterProcess) -> None:
    """A hello letter by letter; a connection that says nothing; a client that falls silent in the
    middle of a frame, and one that says nothing after its hello."""

    async def letter_by_letter() -> str:
        async with FramesClient(cluster.port, None) as client:
            talk = asyncio.create_task(_trickle(client, encode_hello(CLIENT)))
            theirs, _ = await client.greeting()
            talk.cancel()
            assert isinstance(theirs, Refusal)
            return theirs.reason

    async def nothing() -> str:
        async with FramesClient(cluster.port, None) as client:
            theirs, _ = await client.greeting()
            assert isinstance(theirs, Refusal)
            return theirs.reason

    async def half_a_frame() -> str:
        async with FramesClient(cluster.port) as client:
            client.say(b"\x00\x10\x00\x00\x01\x91")
            return await client.farewell()

    async def half_open() -> str:
        async with FramesClient(cluster.port) as client:
            return await client.farewell()

    async with asyncio.timeout(10):
        said = await asyncio.gather(letter_by_letter(), nothing(), half_a_frame(), half_open())
    assert said[:2] == ["no handshake within 2000 ms"] * 2
    assert said[2:] == ["", ""], "who does not answer pings hears no words either"
    assert await works(cluster.port)


async def _trickle(client: FramesClient, data: bytes) -> None:
    for place in range(len(data)):
        client.say(data[place : place + 1])
        await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=0.2)


async def test_many_who_hang_up_in_the_middle(port: int) -> None:
    """Fifty at once, each leaving another piece of a frame behind."""

    async def leave(number: int) -> None:
        async with FramesClient(port) as client:
            client.send(put(b"gone %d" % number, bytes(2000))._replace(id=1))
            client.say(bytes([0, 0, 50, 0, 1])[: number % 6])

    await asyncio.gather(*(leave(number) for number in range(50)))
    assert await works(port)
