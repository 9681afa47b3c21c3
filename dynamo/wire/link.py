"""A link: one connection between two of us, from its handshake to its goodbye.

    GREETING --hellos agree--> OPEN --close(), goodbye, end of stream--> CLOSING --> LOST
        '------- refusal, garbage, timeout ------------------------------^          ^
    any state --abort(): budget exceeded, silence ----------------------------------'

Laws: every connection made ends in exactly one `on_lost`, before it there is at most one
`on_open`, and `on_messages` comes only between the two. All that is sent in one tick of the loop
travels together, in order. What a peer sends never raises here: it ends the link, with a reason
that is told to both sides.

`dynamo.wire.sender` is the half that sends. Here the hot path is `data_received`: one call of
`on_messages` per read, however many messages it brought.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from dynamo.errors import ProtocolViolation
from dynamo.wire.ages import Ages
from dynamo.wire.frames import (
    KIND_APPLICATION_MIN,
    FrameDecoder,
    Message,
    pack_message,
)
from dynamo.wire.handshake import (
    REASON_MAX,
    Hello,
    HelloDecoder,
    Refusal,
    agree,
    encode_hello,
    encode_refusal,
)
from dynamo.wire.limits import LinkLimits
from dynamo.wire.sender import CLOSING, GREETING, LOST, OPEN, Sender

KIND_GOODBYE: Final = 0
KIND_PING: Final = 1
KIND_PONG: Final = 2

OLD_MS: Final = 50
"""From this age of its first frame on, what one read brought is handed over frame by frame. Not
above that of dynamo.coordination.lateness, or frames would be judged by the age of others."""
REFUSED_MAX: Final = 64
"""Connections over the maximum that are told so at one time; yet more are just reset."""

_PING: Final = pack_message((KIND_PING,))
_PONG: Final = pack_message((KIND_PONG,))


class Callbacks(NamedTuple):
    """What a link tells its owner. None of them may raise or wait."""

    hello: Callable[[Hello | None], Hello]
    """Our hello. The acceptor is given the other's, the dialer None."""
    on_open: Callable[["Link", Hello], None]
    """Both sides agreed; the link can be sent on. It may already be closed here, with a reason."""
    on_messages: Callable[["Link", list[Message]], None]
    """At least one message, in order, all of application kinds."""
    on_lost: Callable[["Link", str | None], None]
    """The end. None: the other side left without a word."""


class Link(Sender):
    """One connection; the same class dials and accepts, in nodes and in clients."""

    __slots__ = (
        "_ages",
        "_among",
        "_bytes_in_at_beat",
        "_callbacks",
        "_controls_in",
        "_decoder",
        "_dialing",
        "_greeted",
        "_greeter",
        "_idle_ms",
        "_my_hello",
        "_requests_at_beat",
        "_silent_ms",
        "age_ms",
        "bytes_in",
        "messages_in",
        "tag",
        "their_hello",
        "version",
        "violation",
    )

    def __init__(
        self,
        callbacks: Callbacks,
        limits: LinkLimits,
        *,
        dialing: bool,
        among: dict["Link", None] | None = None,
    ) -> None:
        """`among` is where the link enters itself while it is connected."""
        super().__init__(limits)
        self._callbacks, self._dialing = callbacks, dialing
        self._among: dict[Link, None] = {} if among is None else among
        self._greeted = False
        self._greeter = HelloDecoder()
        self._decoder = FrameDecoder(limits.frame_bytes_max)
        self._ages = Ages()
        self.age_ms = 0
        """How old the messages are that are being handed over."""
        self._silent_ms = 0.0
        self._bytes_in_at_beat = self._controls_in = self._requests_at_beat = 0
        self._idle_ms = 0.0
        self.bytes_in = self.messages_in = 0
        self.their_hello: Hello | None = None
        self.version = 0
        """The protocol version agreed on."""
        self.violation: ProtocolViolation | None = None
        """The reason as an error, if the other side broke the rules."""
        self.tag: object = None
        """For the owner's use."""

    @property
    def held_bytes(self) -> int:
        """What this side keeps for the other: what is unsent, and its unfinished frame."""
        return self.queued_bytes + self._decoder.buffered_bytes

    @property
    def is_client(self) -> bool:
        """Whether the other side has introduced itself as a client."""
        return self.their_hello is not None and self.their_hello.role == "client"

    @property
    def frames_in(self) -> int:
        """Frames received."""
        return self._decoder.frames

    # ending

    def close(self, reason: str | None = None) -> None:
        """Hand over what was sent, say goodbye with the reason, then close."""
        if self._state >= CLOSING:
            return
        self.reason = reason
        if self._dialing or self._greeted:
            self._outbox.append((KIND_GOODBYE, (reason or "")[:REASON_MAX]))
            self._write()
            if self._state == CLOSING:  # the budget did not hold it
                return
        else:
            self._transport.write(encode_refusal(reason or ""))
        self._shut()
        self._hang_up()

    def beat(self, elapsed_ms: float) -> None:
        """Time passes: ask a silent peer for life, give up one that stays silent."""
        if self._state != OPEN:
            return
        if self.is_client and self._is_idle(elapsed_ms):
            self.close(f"no request within {self._limits.client_idle_timeout_ms} ms")
            return
        if self.bytes_in != self._bytes_in_at_beat:
            self._bytes_in_at_beat, self._silent_ms = self.bytes_in, 0.0
            return
        self._silent_ms += elapsed_ms
        if self._silent_ms >= self._limits.idle_timeout_ms:
            self.abort(f"silent for {self._silent_ms:.0f} ms")
        else:
            self.send_packed(_PING)

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands; nobody has said anything yet."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self.address = _address(transport.get_extra_info("peername"))
        self._timer = self._loop.call_later(
            self._limits.handshake_timeout_ms / 1000, self._handshake_late
        )
        self._among[self] = None
        if self._dialing:
            self._my_hello = self._callbacks.hello(None)
            self._transport.write(encode_hello(self._my_hello))
        elif len(self._among) > self._limits.connections_max + REFUSED_MAX:
            self.abort("too many connections")
        elif len(self._among) > self._limits.connections_max:
            self.close("too many connections")

    def data_received(self, data: bytes) -> None:
        """Bytes arrived: hand all the messages they complete over in one call."""
        self.bytes_in += len(data)
        if self._state != OPEN:
            if self._state == GREETING:
                self._greet(data)
            return
        try:
            messages = self._decoder.feed(data)
        except ProtocolViolation as wrong:
            self._refuse(wrong)
            return
        if not messages:
            return
        self.messages_in += len(messages)
        now_ms = self._loop.time() * 1000
        self.age_ms = self._ages.age_ms(self._decoder.stamp, now_ms)
        if self.age_ms >= OLD_MS and self._decoder.cuts:
            self._receive_apart(messages, self._decoder.cuts, now_ms)
        elif self._decoder.has_control:
            self._receive_control(messages)
        else:
            self._callbacks.on_messages(self, messages)

    def eof_received(self) -> None:
        """The other side will send no more; the transport closes itself."""
        self._shut()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, told once."""
        self._shut()
        self._state = LOST
        self._timer.cancel()
        self._among.pop(self, None)
        if self.reason is None and exc is not None:
            self.reason = str(exc) or type(exc).__name__
        self._callbacks.on_lost(self, self.reason)

    # private

    def _is_idle(self, elapsed_ms: float) -> bool:
        requests = self.messages_in - self._controls_in
        if requests != self._requests_at_beat:
            self._requests_at_beat, self._idle_ms = requests, 0.0
            return False
        self._idle_ms += elapsed_ms
        return self._idle_ms >= self._limits.client_idle_timeout_ms

    def _hang_up(self) -> None:
        """Close our half only: closing with bytes unread would reset the connection, and a reset
        may overtake the goodbye. The other side closes at the goodbye, or the timer does."""
        transport = self._transport
        if transport.is_closing() or not transport.can_write_eof():
            transport.close()
            return
        try:
            transport.write_eof()
        except OSError:  # the other side has reset the connection, and we are about to hear it
            transport.abort()

    def _greet(self, data: bytes) -> None:
        try:
            hello = self._greeter.feed(data)
            if hello is None:
                return
            if isinstance(hello, Refusal):
                self.reason = f"refused: {hello.reason}"
                self._shut()
                self._transport.close()
                return
            if not self._dialing:
                self._my_hello = self._callbacks.hello(hello)
            self.version = agree(self._my_hello, hello)
        except ProtocolViolation as wrong:
            self._refuse(wrong)
            return
        self._open(hello)

    def _open(self, hello: Hello) -> None:
        self._timer.cancel()
        if not self._dialing:
            self._transport.write(encode_hello(self._my_hello))
        self._greeted = True
        self._state = OPEN
        self.their_hello = hello
        self._callbacks.on_open(self, hello)
        rest, self._greeter.rest = self._greeter.rest, b""
        if rest:
            self.bytes_in -= len(rest)
            self.data_received(rest)

    def _refuse(self, wrong: ProtocolViolation) -> None:
        self.violation = wrong
        self.close(str(wrong))

    def _handshake_late(self) -> None:
        self.close(f"no handshake within {self._limits.handshake_timeout_ms} ms")

    def _receive_apart(
        self, messages: list[Message], cuts: list[tuple[int, int]], now_ms: float
    ) -> None:
        """Frames that have waited, each as old as it is."""
        begin = 0
        for end, stamp in (*cuts, (len(messages), 0)):
            if self._state != OPEN:
                return
            self._receive_control(messages[begin:end])
            begin = end
            self.age_ms = self._ages.age_ms(stamp, now_ms) if end < len(messages) else 0

    def _receive_control(self, messages: list[Message]) -> None:
        application: list[Message] = []
        ending: Message | None = None
        for message in messages:
            kind = message[0]
            if kind >= KIND_APPLICATION_MIN:
                application.append(message)
            elif kind == KIND_PING:
                self.send_packed(_PONG)
            elif kind != KIND_PONG:
                ending = message
                break
        self._controls_in += len(messages) - len(application)
        if application:
            self._callbacks.on_messages(self, application)
        if ending is not None and self._state == OPEN:
            self._end_by(ending)

    def _end_by(self, message: Message) -> None:
        if message[0] != KIND_GOODBYE:
            self._refuse(ProtocolViolation(f"{message[0]} is no message kind of a link"))
            return
        said = message[1] if len(message) > 1 and type(message[1]) is str else ""
        self.reason = f"goodbye: {said[:REASON_MAX]}" if said else None
        self._shut()
        self._transport.close()


def _address(peername: object) -> str:
    match peername:
        case (str(host), int(port), *_):
            return f"{host}:{port}"
        case _:
            return ""
