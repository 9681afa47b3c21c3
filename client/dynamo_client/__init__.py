"""The embeddable client of a dynamo-kv cluster, for asyncio; `dynamo_client.sync` without.

async with connect("127.0.0.1:7400") as db:
    cart = db.table("cart")
    item = await cart.get("alice")
    await cart.put("alice", [*(item.value if item.found else []), "apples"], item.context)
"""

from dynamo.errors import (
    CorruptData,
    DeadlineExceeded,
    DynamoError,
    IncompatiblePeer,
    InvalidContext,
    InvalidQuorum,
    InvalidRequest,
    KeyTooLarge,
    Overloaded,
    ProtocolViolation,
    QuorumNotReached,
    TooManySiblings,
    Unavailable,
    UnknownTable,
    ValueTooLarge,
    WrongCluster,
)
from dynamo_client.codecs import JSON, MSGPACK, RAW, Codec
from dynamo_client.database import Database, connect
from dynamo_client.errors import (
    CannotDecode,
    CannotEncode,
    Closed,
    NoNodeAnswered,
    NotFound,
    OutcomeUnknown,
    Siblings,
)
from dynamo_client.item import Item
from dynamo_client.session import Session
from dynamo_client.table import Table

__all__ = [
    "JSON",
    "MSGPACK",
    "RAW",
    "CannotDecode",
    "CannotEncode",
    "Closed",
    "Codec",
    "CorruptData",
    "Database",
    "DeadlineExceeded",
    "DynamoError",
    "IncompatiblePeer",
    "InvalidContext",
    "InvalidQuorum",
    "InvalidRequest",
    "Item",
    "KeyTooLarge",
    "NoNodeAnswered",
    "NotFound",
    "OutcomeUnknown",
    "Overloaded",
    "ProtocolViolation",
    "QuorumNotReached",
    "Session",
    "Siblings",
    "Table",
    "TooManySiblings",
    "Unavailable",
    "UnknownTable",
    "ValueTooLarge",
    "WrongCluster",
    "connect",
]
