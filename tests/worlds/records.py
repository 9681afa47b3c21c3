"""Records made by hand, for tests that care only which of two is the newer."""

from dynamo.history import History
from dynamo.keys import item_key
from dynamo.ring.hashing import partition_of, token_of
from dynamo.siblings.codec import encode_record
from dynamo.siblings.record import OVERWRITTEN, Record, Value, operation_id
from dynamo.types import Actor, ItemKey, OperationId, Stamp, TableId


def record(counter: int, payload: bytes = b"value", actor: str = "n1/a") -> bytes:
    """The record after an actor's write that replaced all of its earlier ones."""
    writer = Actor(actor)

    def operation(number: int) -> OperationId:
        return operation_id(number << 16, sum(actor.encode()), number)

    gone = {operation(number): OVERWRITTEN for number in range(max(1, counter - 7), counter)}
    value = Value(writer, counter, Stamp(counter << 16), operation(counter), payload)
    floor = max(0, counter - 8) << 16
    return encode_record(Record(History({writer: counter}, {}), floor, gone, (value,)))


def item(partitions: int, key: bytes, table: int = 1) -> ItemKey:
    """Under which key nodes hold an item."""
    partition = partition_of(token_of(TableId(table), key), partitions)
    return item_key(partition, TableId(table), key, b"")
