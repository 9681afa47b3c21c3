"""Links over real loopback sockets: what is said arrives, and who misbehaves is told and cut."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from frames_client import framed

from dynamo.errors import IncompatiblePeer, ValueTooLarge, WrongCluster
from dynamo.wire import Callbacks, Hello, HelloDecoder, Link, LinkLimits, LinkSet, Message
from dynamo.wire.ages import stamp_of
from dynamo.wire.frames import FrameDecoder, FrameEncoder, pack_message
from dynamo.wire.handshake import PROTOCOL_MAX, Refusal, encode_hello

NODE = Hello("node", "n1", b"\x01", incarnation="a", boot=1, durability="fsync")
CLIENT = Hello("client", "cart", b"")
QUICK = LinkLimits(goodbye_timeout_ms=200)


class Side:
    """One end: what its links told it, as queues to await."""

    def __init__(self, hello: Hello, limits: LinkLimits = QUICK) -> None:
        self.hello, self.heard = hello, list[Hello | None]()
        self.opened: asyncio.Queue[Link] = asyncio.Queue()
        self.received: asyncio.Queue[Message] = asyncio.Queue()
        self.lost: asyncio.Queue[str | None] = asyncio.Queue()
        self.echo = False
        self.links = LinkSet(
            Callbacks(
                self.say_hello,
                lambda link, _: self.opened.put_nowait(link),
                self.on_messages,
                lambda _, reason: self.lost.put_nowait(reason),
            ),
            limits,
        )

    def say_hello(self, theirs: Hello | None) -> Hello:
        self.heard.append(theirs)
        return self.hello

    def on_messages(self, link: Link, messages: list[Message]) -> None:
        for message in messages:
            self.received.put_nowait(message)
            if self.echo:
                link.send(message)


Make = Callable[..., Awaitable[Side]]


@pytest.fixture
async def side() -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        async def make(hello: Hello, limits: LinkLimits = QUICK) -> Side:
            made = Side(hello, limits)
            await stack.enter_async_context(made.links)
            return made

        yield make


async def soon(awaitable: Awaitable[object]) -> object:
    return await asyncio.wait_for(awaitable, 5)


async def test_messages_arrive_in_order_and_are_counted(side: Make) -> None:
    node, client = await side(NODE), await side(CLIENT)
    node.echo = True
    link = await client.links.dial("127.0.0.1", await node.links.listen())
    assert (link.their_hello, link.version, node.heard) == (NODE, PROTOCOL_MAX, [CLIENT])
    for number in range(600):  # more than wait for the end of a tick
        if number % 3:
            link.send((10, number))
        else:
            link.send_packed(pack_message((10, number)))
    got = [await soon(client.received.get()) for _ in range(600)]
    assert got == [(10, number) for number in range(600)]
    there = await node.opened.get()
    assert (link.messages_out, there.messages_in, link.messages_in) == (600, 600, 600)
    assert (link.frames_out, link.bytes_out) == (there.frames_in, there.bytes_in - HELLO_BYTES)
    assert link.queued_bytes == 0


HELLO_BYTES = len(encode_hello(CLIENT))


async def test_what_one_tick_sends_is_one_frame(side: Make) -> None:
    node, client = await side(NODE), await side(CLIENT)
    link = await client.links.dial("127.0.0.1", await node.links.listen())
    for number in range(100):
        link.send((10, number))
    while (await soon(node.received.get())) != (10, 99):
        pass
    assert link.frames_out == 1


async def test_a_large_message_arrives(side: Make) -> None:
    node, client = await side(NODE), await side(CLIENT)
    link = await client.links.dial("127.0.0.1", await node.links.listen())
    link.send((10, bytes(3 << 20)))
    assert await soon(node.received.get()) == (10, bytes(3 << 20))


async def test_a_goodbye_arrives_after_what_was_sent(side: Make) -> None:
    node, client = await side(NODE), await side(CLIENT)
    link = await client.links.dial("127.0.0.1", await node.links.listen())
    link.send((10, "last words"))
    link.close("leaving")
    link.send((10, "unheard"))
    assert await soon(node.received.get()) == (10, "last words")
    assert await soon(node.lost.get()) == "goodbye: leaving"
    assert await soon(client.lost.get()) == "leaving"
    assert node.received.empty()
    assert not client.links.dialed
    link.send((10, "nobody"))  # no error, as on a network


async def test_leaving_without_a_word_has_no_reason(side: Make) -> None:
    node = await side(NODE)
    _, writer = await greeted(await node.links.listen())
    await soon(node.opened.get())
    writer.close()
    assert await soon(node.lost.get()) is None


async def test_dialing_the_wrong_ones_says_why(side: Make) -> None:
    node = await side(NODE)
    port = await node.links.listen()
    other = await side(NODE._replace(name="n2", cluster=b"\x02"))
    with pytest.raises(ConnectionError, match="refused: node 'n2' is of cluster 02, we are of 01"):
        await other.links.dial("127.0.0.1", port)
    newer = await side(CLIENT._replace(version_min=8, version_max=9))
    with pytest.raises(ConnectionError, match="speaks protocol 8-9, we speak"):
        await newer.links.dial("127.0.0.1", port)
    assert "of cluster 02" in str(await soon(node.lost.get()))
    assert "protocol 8-9" in str(await soon(node.lost.get()))
    assert node.opened.empty()
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await newer.links.dial("127.0.0.1", unused_port())


@pytest.mark.parametrize(
    ("theirs", "error"),
    [
        (NODE._replace(cluster=b"\x02"), WrongCluster),
        (NODE._replace(version_min=8, version_max=9), IncompatiblePeer),
    ],
)
async def test_a_dialer_judges_too(side: Make, theirs: Hello, error: type[Exception]) -> None:
    """An acceptor that does not check gets a goodbye, the dialer's caller an error."""
    dialer = await side(NODE)
    said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode_hello(theirs))
        said.set_result(await reader.read())
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1") as server:
        with pytest.raises(error):
            await dialer.links.dial("127.0.0.1", server.sockets[0].getsockname()[1])
        words = FrameDecoder().feed((await said)[len(encode_hello(NODE)) :])
        assert words[0][0] == 0


@pytest.mark.parametrize(
    ("garbage", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "this port speaks dynamo frames, not HTTP"),
        (b"\x00" * 4000, "not with a hello"),
    ],
)
async def test_strangers_are_refused_with_a_reason(side: Make, garbage: bytes, words: str) -> None:
    node = await side(NODE)
    reader, writer = await asyncio.open_connection("127.0.0.1", await node.links.listen())
    writer.write(garbage)
    refusal = HelloDecoder().feed(await soon(reader.read()))  # type: ignore[arg-type]
    assert isinstance(refusal, Refusal)
    assert words in refusal.reason
    writer.close()
    assert words in str(await soon(node.lost.get()))
    assert node.opened.empty()


@pytest.mark.parametrize(
    ("garbage", "words"),
    [
        (b"\xff" * 100, "frame format 255"),
        (framed(b"\xc1"), "not msgpack"),
        (framed(b"\x91\x91\x07"), "7 is no message kind of a link"),
    ],
)
async def test_garbage_on_an_open_link_ends_it_with_a_goodbye(
    side: Make, garbage: bytes, words: str
) -> None:
    node = await side(NODE)
    reader, writer = await greeted(await node.links.listen())
    writer.write(garbage)
    data = await soon(reader.read())
    assert isinstance(data, bytes)
    [(kind, reason)] = FrameDecoder().feed(data)
    assert kind == 0
    assert words in reason
    writer.close()
    assert words in str(await soon(node.lost.get()))


async def test_a_slow_loris_is_let_go(side: Make) -> None:
    node = await side(NODE, LinkLimits(handshake_timeout_ms=20, goodbye_timeout_ms=20))
    reader, writer = await asyncio.open_connection("127.0.0.1", await node.links.listen())
    writer.write(b"DYN")
    refusal = HelloDecoder().feed(await soon(reader.read()))  # type: ignore[arg-type]
    assert refusal == Refusal("no handshake within 20 ms")
    assert await soon(node.lost.get()) == "no handshake within 20 ms"  # though it stays connected
    assert not node.links.accepted
    writer.close()


async def test_dialing_who_never_answers_times_out(side: Make) -> None:
    client = await side(CLIENT, LinkLimits(handshake_timeout_ms=20, goodbye_timeout_ms=20))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        with pytest.raises(TimeoutError):
            await client.links.dial("127.0.0.1", mute.getsockname()[1])
        await soon(client.lost.get())
    assert not client.links.dialed


@pytest.mark.parametrize("host", ["n1..local", "a" * 70, "a" * 300])
async def test_dialing_what_can_be_no_name_is_nobody_there(side: Make, host: str) -> None:
    client = await side(CLIENT)
    with pytest.raises(OSError, match="no host can have this name"):
        await client.links.dial(host, 7400)
    assert not client.links.dialed


async def test_who_never_reads_is_cut_at_the_budget(side: Make) -> None:
    limits = LinkLimits(
        outgoing_bytes_max=1 << 20, frame_bytes_max=1 << 19, frame_bytes_target=1 << 16
    )
    node = await side(NODE, limits)
    _, writer = await greeted(await node.links.listen())
    link = await node.opened.get()
    most = 0
    while link.is_open:
        for _ in range(8):
            link.send((10, bytes(1 << 14)))
        await asyncio.wait([asyncio.ensure_future(tick())])
        most = max(most, link.queued_bytes)
    assert await soon(node.lost.get()) == "send budget exceeded"
    assert 0 < most <= limits.outgoing_bytes_max
    assert link.bytes_out < 32 << 20  # the rest is in the kernel's buffers
    writer.close()


async def test_a_burst_over_the_budget_within_one_tick_is_cut_at_once(side: Make) -> None:
    limits = LinkLimits(
        outgoing_bytes_max=1 << 20, frame_bytes_max=1 << 19, frame_bytes_target=1 << 16
    )
    node, client = await side(NODE, limits), await side(CLIENT)
    await client.links.dial("127.0.0.1", await node.links.listen())
    link = await node.opened.get()
    data = pack_message((10, bytes(1 << 15)))
    for _ in range(10_000):
        link.send_packed(data)
        assert link.queued_bytes <= limits.outgoing_bytes_max + limits.frame_bytes_target
    assert not link.is_open
    assert await soon(node.lost.get()) == "send budget exceeded"


async def test_what_fits_in_no_frame_is_told_to_the_sender(side: Make) -> None:
    limits = LinkLimits(frame_bytes_max=1 << 12, frame_bytes_target=1 << 10)
    node, client = await side(NODE, limits), await side(CLIENT, limits)
    link = await client.links.dial("127.0.0.1", await node.links.listen())
    with pytest.raises(ValueTooLarge):
        link.send_packed(pack_message((10, bytes(1 << 12))))
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about["message"]))
    link.send((10, "before"))
    link.send((10, bytes(1 << 12)))
    link.send((10, object()))
    link.send((10, "after"))
    assert await soon(node.received.get()) == (10, "before")
    assert await soon(node.received.get()) == (10, "after")
    assert ["dropped" in words for words in told] == [True, True]


async def test_one_connection_too_many_is_told_so(side: Make) -> None:
    node = await side(NODE, LinkLimits(connections_max=1, goodbye_timeout_ms=200))
    port, client = await node.links.listen(), await side(CLIENT)
    link = await client.links.dial("127.0.0.1", port)
    with pytest.raises(ConnectionError, match="refused: too many connections"):
        await client.links.dial("127.0.0.1", port)
    assert link.is_open
    assert await soon(node.lost.get()) == "too many connections"


async def test_a_silent_peer_is_lost_and_a_living_one_is_not(side: Make) -> None:
    limits = LinkLimits(ping_interval_ms=10, idle_timeout_ms=50)
    node, client = await side(NODE, limits), await side(CLIENT)
    port = await node.links.listen()
    living = await client.links.dial("127.0.0.1", port)
    _, writer = await greeted(port)  # never answers a ping
    reason = await soon(node.lost.get())
    assert isinstance(reason, str)
    assert reason.startswith("silent for ")
    assert living.is_open
    assert living.frames_in >= 1  # pings
    writer.close()


async def test_our_own_pause_is_nobodys_silence(side: Make) -> None:
    """A long step of the clock counts as one beat: the peers' words wait unread in the sockets."""
    node, client = await side(NODE), await side(CLIENT)
    await client.links.dial("127.0.0.1", await node.links.listen())
    link = await node.opened.get()
    node.links._beaten_at -= 3600
    node.links._beat()
    node.links._beaten_at -= 3600
    node.links._beat()
    assert link.is_open


async def test_shutting_down_says_goodbye_to_all(side: Make) -> None:
    node, client = await side(NODE), await side(CLIENT)
    port = await node.links.listen()
    for _ in range(3):
        await client.links.dial("127.0.0.1", port)
    await soon(node.links.close("shutting down"))
    assert [await soon(client.lost.get()) for _ in range(3)] == ["goodbye: shutting down"] * 3
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await client.links.dial("127.0.0.1", port)


async def test_sending_before_the_handshake_is_a_mistake(side: Make) -> None:
    node = await side(NODE)
    link = Link(node.links._callbacks, QUICK, dialing=True)
    with pytest.raises(AssertionError, match="before on_open"):
        link.send((10,))


@pytest.mark.parametrize(
    "limits",
    [
        {"outgoing_bytes_max": 1 << 20},
        {"frame_bytes_target": 1 << 30},
        {"idle_timeout_ms": 999},
        {"handshake_timeout_ms": 0},
        {"connections_max": 0},
    ],
)
def test_limits_explain_themselves(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        LinkLimits(**limits)


async def greeted(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection that has only said hello and read the node's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(encode_hello(CLIENT))
    await reader.readexactly(len(encode_hello(NODE)))
    return reader, writer


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def tick() -> None:
    """One turn of the loop."""


async def test_what_waited_is_handed_over_frame_by_frame_each_as_old_as_it_is() -> None:
    """Frames of one connection: a quick one, then two that waited and another, in one read."""
    heard: asyncio.Queue[tuple[list[Message], int]] = asyncio.Queue()
    callbacks = Callbacks(
        lambda _: NODE,
        lambda link, hello: None,
        lambda link, messages: heard.put_nowait(([*messages], link.age_ms)),
        lambda link, reason: None,
    )
    loop, encoder = asyncio.get_running_loop(), FrameEncoder()

    def frame(number: int, before_ms: float) -> bytes:
        stamp = stamp_of(loop.time() * 1000 - before_ms)
        return b"".join(encoder.frames([(10, number)], False, stamp))

    async with LinkSet(callbacks, QUICK) as links:
        reader, writer = await asyncio.open_connection("127.0.0.1", await links.listen())
        writer.write(encode_hello(CLIENT))
        await reader.read(100)
        writer.write(frame(1, 0))
        assert await soon(heard.get()) == ([(10, 1)], 0)
        writer.write(frame(2, 900) + frame(3, 500) + frame(4, 0))
        ages = []
        for number in (2, 3, 4):
            messages, age_ms = await heard.get()
            assert messages == [(10, number)]
            ages.append(age_ms)
        writer.close()
        await writer.wait_closed()
    # Each is too young by the journey of the first frame, and on a busy machine that takes a while.
    assert 700 <= ages[0] < 2000
    assert 300 <= ages[0] - ages[1] <= 500
    assert 700 <= ages[0] - ages[2] <= 1100
