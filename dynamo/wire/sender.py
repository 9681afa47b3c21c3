"""The sending half of a link: an outbox that is emptied once per tick, within a budget.

    send, send, send_packed ... --outbox--> one pack, one frame, one write --transport--> peer
                                 256 messages               outgoing_bytes_max

Law: messages leave in the order in which they were sent. The transport never holds more than the
budget, the outbox never more than 256 messages: the link of a peer that does not keep up is cut,
for a slow peer is a failing peer. One list append per message is all that the hot path pays;
msgpack is called once per tick.
"""

import asyncio
from typing import Final, cast

from dynamo.wire.ages import stamp_of
from dynamo.wire.frames import FrameEncoder, Message, pack_message, too_large
from dynamo.wire.limits import LinkLimits

GREETING, OPEN, CLOSING, LOST = range(4)
"""A link's states, in the order in which it goes through them."""

OUTBOX_MAX: Final = 256
"""Messages that wait for the end of the tick; then they are written, as a frame of their own."""


class Sender(asyncio.Protocol):
    """What can be sent on, cut off, and asked how much it sent."""

    __slots__ = (
        "_encoder",
        "_flushing",
        "_limits",
        "_loop",
        "_outbox",
        "_packed_bytes",
        "_plain_bytes",
        "_state",
        "_timer",
        "_transport",
        "address",
        "bytes_out",
        "frames_out",
        "messages_out",
        "reason",
    )

    _loop: asyncio.AbstractEventLoop
    _timer: asyncio.TimerHandle
    _transport: asyncio.Transport

    def __init__(self, limits: LinkLimits) -> None:
        self._limits = limits
        self._state = GREETING
        self._encoder = FrameEncoder(limits.frame_bytes_max, limits.frame_bytes_target)
        self._outbox: list[Message | bytes] = []
        self._packed_bytes = self._plain_bytes = 0
        self._flushing = False
        self.bytes_out = self.frames_out = self.messages_out = 0
        self.address = ""
        """Where the other side is, for people: `host:port`."""
        self.reason: str | None = None
        """Why the link ends or ended."""

    def send(self, message: Message, weight: int = 0) -> None:
        """Send with all of this tick. Silently nothing on a closing or lost link.

        `weight`: about how many bytes it takes, where these may be many. A peer that does not keep
        up is then cut off before its tick has gathered more than the budget.

        The message is packed at the end of the tick, so nothing in it may change until then. One
        that cannot be packed, or fits in no frame, is our own fault: it is dropped and told to
        the loop's exception handler.
        """
        outbox = self._outbox
        outbox.append(message)
        self._plain_bytes += weight
        if not self._flushing:
            self._schedule()
        elif len(outbox) >= OUTBOX_MAX or self._plain_bytes > self._limits.frame_bytes_target:
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
        waiting = self._packed_bytes + self._plain_bytes
        if self._state in (GREETING, LOST):
            return waiting
        return waiting + self._transport.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        """Whether what is sent has a chance to arrive."""
        return self._state == OPEN

    def abort(self, reason: str | None = None) -> None:
        """End at once; what was not yet written is dropped."""
        if self._state == LOST:
            return
        if self._state != CLOSING:
            self.reason = reason
        self._shut()
        self._transport.abort()

    def _schedule(self) -> None:
        assert self._state != GREETING, "a link cannot be sent on before on_open"
        if self._state == OPEN:
            self._flushing = True
            self._loop.call_soon(self._flush)
        else:
            self._outbox.clear()
            self._packed_bytes = self._plain_bytes = 0

    def _flush(self) -> None:
        self._flushing = False
        self._write()

    def _write(self) -> None:
        """Hand the outbox to the transport, which gathers all writes of a tick in one."""
        outbox, some_packed = self._outbox, self._packed_bytes > 0
        self._outbox, self._packed_bytes, self._plain_bytes = [], 0, 0
        if not outbox or self._state >= CLOSING:
            return
        stamp = stamp_of(self._loop.time() * 1000)
        try:
            buffers = self._encoder.frames(outbox, some_packed, stamp)
        except Exception:  # whatever msgpack says of a value that is none of its own
            outbox = self._sound(outbox)
            buffers = self._encoder.frames(outbox, True, stamp)
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

    def _shut(self) -> None:
        """Stop sending and listening; the transport has so long to end, and no longer."""
        if self._state >= CLOSING:
            return
        self._state = CLOSING
        self._outbox, self._packed_bytes, self._plain_bytes = [], 0, 0
        self._timer.cancel()
        self._timer = self._loop.call_later(
            self._limits.goodbye_timeout_ms / 1000, self._transport.abort
        )
