"""The hints of one node by themselves: a store in memory, records made by hand."""

from collections.abc import Hashable

from dynamo.config import TableConfig
from dynamo.errors import CorruptData
from dynamo.history import NO_GAPS, History
from dynamo.keys import item_key
from dynamo.messages import HINT_PUT, REPLICA_GET, HintPut, ReplicaGet, Send
from dynamo.meters import Meters
from dynamo.repair.hints import Hints
from dynamo.ring.joint import Rings
from dynamo.ring.ring import Member, Ring
from dynamo.siblings.codec import encode_record
from dynamo.siblings.record import Record, Value, Window, operation_id
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import Actor, Instant, ItemKey, NodeId, PartitionId, Stamp, TableId

N1, N2, N3, N10 = (NodeId(name) for name in ("n1", "n2", "n3", "n10"))
TABLE = TableId(1)
ORDER = (N1, N2, N10, N3)
RING = Ring(1, 1 << 16, tuple(Member(n, n, "", 1.0) for n in ORDER), (ORDER,) * (1 << 16), 2)
"""Every partition is n1's and n2's; n3 keeps the hints."""
NOW = Instant(1000.0, 1_700_000_000_000)


def key_of(name: bytes, partition: int = 3) -> ItemKey:
    return item_key(PartitionId(partition), TABLE, name, b"")


def record_of(actor: str, counter: int, payload: bytes | None = b"v") -> bytes:
    """A record with one value of that actor."""
    stamp = Stamp(1000 + counter << 16)
    operation = operation_id(stamp, ord(actor[0]), counter)
    value = Value(Actor(actor), counter, stamp, operation, payload)
    values = (value,) if payload is not None else ()
    return encode_record(Record(History({value.actor: counter}, NO_GAPS), 0, {}, values))


class HintsWorld:
    """The hints of one node, its store in memory."""

    def __init__(self, bytes_max: int = 1 << 20) -> None:
        self.store = MemoryEngine()
        self.meters = Meters()
        self.bytes_max = bytes_max
        self.refusal: str | None = None
        self.rings = Rings(RING)
        self.tables = {TABLE: TableConfig("cart", TABLE, 2, 1, 2)}
        self._looks = 0
        self.dropped: list[PartitionId] = []
        """Whose hints went, one after the other."""
        self.store.refusal = lambda: self.refusal  # type: ignore[method-assign]
        self.hints = self.opened()

    def opened(self) -> Hints:
        """As after a start."""
        window = Window(64, 10_000)
        return Hints(
            *(N3, self.rings, self.store, self.tables, window),
            *(self.bytes_max, self.meters, self.dropped.append),
        )

    def keep(
        self, owner: NodeId, key: ItemKey, record: bytes, base: bytes = b"", id: int = 4
    ) -> object:
        """The refusal or the end of the link, if any; None when it is kept."""
        effects = self.hints.keep(N3, HintPut(HINT_PUT, id, key, record, base, owner), 1000.0)
        self.validate()
        if not effects:
            return None
        (effect,) = effects
        return effect.message if isinstance(effect, Send) else effect

    def validate(self) -> None:
        """Compare the counts with the store; of many hints not each time, for it reads them all."""
        self._looks += 1
        if sum(kept.hints for kept in self.hints.kept().values()) < 200 or self._looks % 100 == 0:
            self.hints.validate()

    def damage(self, place: bytes) -> None:
        """The record there cannot be read any more, until another takes its place."""
        damage(self.store, place)

    def tokens(self) -> list[object]:
        """What becomes durable now."""
        group = self.store.take_group()
        return [] if group is None else [*self.store.synced(group)]

    def ask(self, key: ItemKey, known: bytes | None = None) -> object:
        answer = self.hints.get(N10, ReplicaGet(REPLICA_GET, 7, key, known))
        assert answer is not None, "this node is no owner"
        return answer.message


def damage(store: MemoryEngine, place: bytes) -> None:
    """What a store in memory does about a record that cannot be read any more: as the durable one,
    which leaves it out of scans and notes it."""
    whole_get, whole_scan, whole_put = store.get, store.scan, store.put
    whole_delete, damaged = store.delete, store.damaged_keys
    damaged[place] = None

    def get(key: ItemKey) -> bytes | None:
        if key in damaged:
            raise CorruptData("damaged")
        return whole_get(key)

    def scan(after: ItemKey, until: ItemKey, limit: int) -> list[tuple[ItemKey, bytes]]:
        found = whole_scan(after, until, limit + len(damaged))
        return [(key, record) for key, record in found if key not in damaged][:limit]

    def put(key: ItemKey, record: bytes, token: Hashable) -> None:
        damaged.pop(key, None)
        whole_put(key, record, token)

    def delete(key: ItemKey, token: Hashable) -> None:
        damaged.pop(key, None)
        whole_delete(key, token)

    vars(store).update(get=get, scan=scan, put=put, delete=delete)
