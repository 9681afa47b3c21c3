"""A link: one connection between two of us, from its handshake to its goodbye.

    GREETING --hellos agree--> OPEN --close(), goodbye, end of stream--> CLOSING --> LOST
        '------- refusal, garbage, timeout ------------------------------^          ^
    any state --abort(): budget exceeded, silence ----------------------------------'

Laws: every connection made ends in exactly one `on_lost`, before it there is at most one
`on_open`, and `on_messages` comes only between the two. All that is sent in one tick of the loop
travels together, in order. What a peer sends never raises here: it ends the link, with a reason
that is told to both sides.

The hot path is `send`, `_write` and `data_received`: one list append per message sent, one call
of msgpack per tick, and one call of `on_messages` per read, however many messages it brought.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from dynamo.errors import ProtocolViolation
from dynamo.wire.frames import (
    KIND_APPLICATION_MIN,
    FrameDecoder,
    FrameEncoder,
    Message,
    pack_message,
    too_large,
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

KIND_GOODBYE: Final = 0
KIND_PING: Final = 1
KIND_PONG: Final = 2

GREETING, OPEN, CLOSING, LOST = range(4)

REFUSED_MAX: Final = 64
"""Connections over the maximum that are told so at one time; yet more are just reset."""

OUTBOX_MAX: Final = 256
"""Messages that wait for the end of the tick; then they are written, as a frame of their own."""

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


class Link(asyncio.Protocol):
    """One connection; the same class dials and accepts, in nodes and in clients."""

    __slots__ = (
        "_among",
        "_bytes_in_at_beat",
        "_callbacks",
        "_decoder",
        "_dialing",
        "_encoder",
        "_flushing",
        "_greeted",
        "_greeter",
        "_limits",
        "_loop",
        "_my_hello",
        "_outbox",
        "_packed_bytes",
        "_silent_ms",
        "_state",
        "_timer",
        "_transport",
        "address",
        "bytes_in",
        "bytes_out",
        "frames_out",
        "messages_in",
        "messages_out",
        "reason",
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
        self._callbacks, self._limits, self._dialing = callbacks, limits, dialing
        self._among: dict[Link, None] = {} if among is None else among
        self._state = GREETING
        self._greeted = False
        self._greeter = HelloDecoder()
        self._encoder = FrameEncoder(limits.frame_bytes_max, limits.frame_bytes_target)
        self._decoder = FrameDecoder(limits.frame_bytes_max)
        self._outbox: list[Message | bytes] = []
        self._packed_bytes = 0
        self._flushing = False
        self._silent_ms = 0.0
        self._bytes_in_at_beat = 0
        self.bytes_in = self.bytes_out = 0
        self.frames_out = self.messages_in = self.messages_out = 0
        self.address = ""
        """Where the other side is, for people: `host:port`."""
        self.their_hello: Hello | None = None
        self.version = 0
        """The protocol version agreed on."""
        self.reason: str | None = None
        """Why the link ends or ended."""
        self.violation: ProtocolViolation | None = None
        """The reason as an error, if the other side broke the rules."""
        self.tag: object = None
        """For the owner's use."""

    # sending

    def send(self, message: Message) -> None:
        """Send with all of this tick. Silently nothing on a closing or lost link.

        The message is packed at the end of the tick. One that cannot be packed, or fits in no
        frame, is our own fault: it is dropped and told to the loop's exception handler.
        """
        outbox = self._outbox
        outbox.append(message)
        if not self._flushing:
            self._schedule()
        elif len(outbox) >= OUTBOX_MAX:
            self._write()

    def send_packed(self, data: bytes) -> None:
        """The same for a message that `pack_message` already packed, for several peers at once.

        Raises ValueTooLarge if the message fits in no frame.
        """
        if len(data) > self._encoder.message_bytes_max:
            raise too_large(len(data), self._encoder.message_bytes_max)
        outbox = self._outbox
        outbox.append(data)
        self._packed_bytes += len(data)
        if not self._flushing:
            self._schedule()
        elif len(outbox) >= OUTBOX_MAX or self._packed_bytes > self._limits.frame_bytes_target:
            self._write()

    @property
    def queued_bytes(self) -> int:
        """What waits to be sent here, outside the kernel's own buffers."""
        if self._state in (GREETING, LOST):
            return self._packed_bytes
        return self._packed_bytes + self._transport.get_write_buffer_size()

    @property
    def frames_in(self) -> int:
        """Frames received."""
        return self._decoder.frames

    @property
    def is_open(self) -> bool:
        """Whether what is sent has a chance to arrive."""
        return self._state == OPEN

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

    def abort(self, reason: str | None = None) -> None:
        """End at once; what was not yet written is dropped."""
        if self._state == LOST:
            return
        if self._state != CLOSING:
            self.reason = reason
        self._shut()
        self._transport.abort()

    def beat(self, elapsed_ms: float) -> None:
        """Time passes: ask a silent peer for life, give up one that stays silent."""
        if self._state != OPEN:
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
        if self._decoder.has_control:
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

    def _schedule(self) -> None:
        assert self._state != GREETING, "a link cannot be sent on before on_open"
        if self._state == OPEN:
            self._flushing = True
            self._loop.call_soon(self._flush)
        else:
            self._outbox.clear()
            self._packed_bytes = 0

    def _flush(self) -> None:
        self._flushing = False
        self._write()

    def _write(self) -> None:
        """Hand the outbox to the transport, which gathers all writes of a tick in one."""
        outbox, some_packed = self._outbox, self._packed_bytes > 0
        self._outbox, self._packed_bytes = [], 0
        if not outbox or self._state >= CLOSING:
            return
        try:
            buffers = self._encoder.frames(outbox, some_packed)
        except Exception:  # whatever msgpack says of a value that is none of its own
            outbox = self._sound(outbox)
            buffers = self._encoder.frames(outbox, True)
        size = sum(map(len, buffers))
        if size + self._transport.get_write_buffer_size() > self._limits.outgoing_bytes_max:
            self.abort("send budget exceeded")
            return
        self._transport.writelines(buffers)
        self.bytes_out += size
        self.frames_out += len(buffers) // 2
        self.messages_out += len(outbox)

    def _sound(self, outbox: list[Message | bytes]) -> list[Message | bytes]:
        """Those that can be sent, packed; the others are told to whoever watches the loop."""
        sound: list[Message | bytes] = []
        for message in outbox:
            try:
                data = message if type(message) is bytes else pack_message(cast(Message, message))
                if len(data) > self._encoder.message_bytes_max:
                    raise too_large(len(data), self._encoder.message_bytes_max)
                sound.append(data)
            except Exception as wrong:
                about = f"a message of kind {message[0]} to {self.address} was dropped: {wrong}"
                self._loop.call_exception_handler({"message": about, "exception": wrong})
        return sound

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

    def _shut(self) -> None:
        """Stop sending and listening; the transport has so long to end, and no longer."""
        if self._state >= CLOSING:
            return
        self._state = CLOSING
        self._outbox, self._packed_bytes = [], 0
        self._timer.cancel()
        self._timer = self._loop.call_later(
            self._limits.goodbye_timeout_ms / 1000, self._transport.abort
        )


def _address(peername: object) -> str:
    match peername:
        case (str(host), int(port), *_):
            return f"{host}:{port}"
        case _:
            return ""
