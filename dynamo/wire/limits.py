"""The bounds of a connection, and what happens at each."""

from dataclasses import dataclass

from dynamo.wire.frames import FRAME_BYTES_MAX, FRAME_BYTES_TARGET


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Per connection, except `connections_max` and `clients_bytes_max`, which are per set."""

    outgoing_bytes_max: int = 32 << 20
    """What may wait to be sent, in the outbox and in the transport. At the bound the link is cut:
    a slow peer is a failing peer, and hints or retries cost less than memory. Higher: longer
    stalls are survived, more memory per slow peer; lower: bursts cut healthy links. Must hold at
    least one frame of the maximum size."""
    frame_bytes_max: int = FRAME_BYTES_MAX
    """At the bound the receiver says goodbye; the sender's `send` raises ValueTooLarge first."""
    frame_bytes_target: int = FRAME_BYTES_TARGET
    """A tick's messages are split into frames of about this size."""
    handshake_timeout_ms: int = 5000
    """From the connection to both hellos; then it is closed. Dialing as a whole has as long."""
    goodbye_timeout_ms: int = 1000
    """How long a closing link may take to hand over what it still has; then it is aborted."""
    ping_interval_ms: int = 500
    """A link that heard nothing for so long asks. Higher: fewer idle pings; lower: faster proof."""
    idle_timeout_ms: int = 2000
    """Silence after which a link is lost: stopped process, cut cable. At least two intervals, so
    that one lost beat is not death. Higher: slow peers are kept; lower: failures show sooner."""
    client_idle_timeout_ms: int = 300_000
    """A client that has sent no whole message for so long is told so and closed: it may be half
    open, or send a frame byte by byte. Higher: such ones hold their places longer; lower: idle
    clients connect more often."""
    clients_bytes_max: int = 256 << 20
    """What all clients together may make this side hold, unsent answers and unfinished frames. At
    every ping interval the client that holds most is cut off until it is less. Higher: more
    memory; lower: bursts of many clients break links."""
    connections_max: int = 1024
    """Accepted at one time. One more is accepted, told `too many connections` and closed."""

    def __post_init__(self) -> None:
        if not 64 <= self.frame_bytes_target <= self.frame_bytes_max <= self.outgoing_bytes_max:
            raise ValueError(
                "frame_bytes_target, frame_bytes_max and outgoing_bytes_max must rise in this"
                f" order from 64, not {self.frame_bytes_target}, {self.frame_bytes_max},"
                f" {self.outgoing_bytes_max}"
            )
        if self.idle_timeout_ms < 2 * self.ping_interval_ms:
            raise ValueError(
                f"idle_timeout_ms {self.idle_timeout_ms} must be at least twice"
                f" ping_interval_ms {self.ping_interval_ms}"
            )
        if min(self.ping_interval_ms, self.handshake_timeout_ms, self.goodbye_timeout_ms) <= 0:
            raise ValueError("timeouts and intervals must be above zero")
        if self.connections_max < 1:
            raise ValueError("connections_max must be at least 1")
