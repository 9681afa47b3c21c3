"""The wire: frames, the handshake, links. Bytes and sockets, no rules of the store."""

from dynamo.wire.endpoints import LinkSet
from dynamo.wire.frames import (
    KIND_APPLICATION_MIN,
    FrameDecoder,
    FrameEncoder,
    Message,
    pack_message,
)
from dynamo.wire.handshake import Hello, HelloDecoder, Refusal, agree, encode_hello
from dynamo.wire.limits import LinkLimits
from dynamo.wire.link import Callbacks, Link

__all__ = [
    "KIND_APPLICATION_MIN",
    "Callbacks",
    "FrameDecoder",
    "FrameEncoder",
    "Hello",
    "HelloDecoder",
    "Link",
    "LinkLimits",
    "LinkSet",
    "Message",
    "Refusal",
    "agree",
    "encode_hello",
    "pack_message",
]
