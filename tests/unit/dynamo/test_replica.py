"""A replica merges, never overwrites, acknowledges when durable, and says if it knew more."""

import pytest
from kernel_cluster import CART, KernelCluster, done

from dynamo.messages import (
    REPLICA_GET,
    REPLICA_PUT,
    REPLICA_SCAN,
    REPLICA_STORED,
    ReplicaGet,
    ReplicaMerged,
    ReplicaPage,
    ReplicaPut,
    ReplicaRecord,
    ReplicaRefused,
    ReplicaSame,
    ReplicaScan,
    ReplicaStored,
)
from dynamo.replica.replica import PAGE_BYTES_MAX, PAGE_ITEMS_MAX
from dynamo.siblings.codec import DIGEST_BYTES, decode_record, encode_record
from dynamo.siblings.record import (
    NOTHING,
    UNSEEN,
    Record,
    Value,
    Window,
    operation_id,
    seen_by_reader,
    written,
)
from dynamo.types import Actor, ItemKey, NodeId, PartitionId, Stamp, TableId

KEY = b"alice"
WINDOW = Window(64, 10_000)
N2 = NodeId("n2")


class World:
    """Replica n1; n2 is played by the test."""

    def __init__(self) -> None:
        self.cluster = KernelCluster()
        self.key = self.cluster.place(KEY)[1]

    def ask(self, message: object) -> object:
        """The one answer that n1 sends to n2 once everything is durable."""
        (answer,) = self.answers(message)
        return answer

    def answers(self, *messages: object) -> list[object]:
        self.cluster.wires.clear()
        for message in messages:
            self.cluster.hear("n1", message, N2)  # type: ignore[arg-type]
        self.cluster._persist()
        return [message for _, to, message in self.cluster.wires if to == N2]

    def put(self, record: Record, base: bytes = b"", id: int = 4) -> object:
        return self.ask(ReplicaPut(REPLICA_PUT, id, self.key, encode_record(record), base))

    @property
    def held(self) -> Record:
        return self.cluster.record("n1", KEY)


def wrote(record: Record, name: str, counter: int, *, blind: bool = False) -> Record:
    stamp = Stamp(1000 + counter << 16)
    value = Value(
        Actor(name), counter, stamp, operation_id(stamp, ord(name), counter), name.encode()
    )
    seen = UNSEEN if blind else seen_by_reader(record)
    return written(record, seen, value, "siblings", WINDOW)


OLD = wrote(NOTHING, "a", 1)
NEW = wrote(OLD, "a", 2)
BESIDE = wrote(OLD, "b", 1)


def test_a_newer_record_is_stored_byte_for_byte() -> None:
    world = World()
    for record in (OLD, NEW):
        assert world.put(record) == ReplicaStored(REPLICA_STORED, (4,), True)
        assert world.held == record


def test_an_older_record_changes_nothing_and_the_sender_is_told_the_newer() -> None:
    world = World()
    world.put(NEW)
    answer = world.put(OLD)
    assert isinstance(answer, ReplicaMerged)
    assert decode_record(answer.record) == NEW == world.held


def test_a_concurrent_record_is_joined_and_the_sender_is_told_the_join() -> None:
    world = World()
    world.put(NEW)
    answer = world.put(BESIDE)
    assert isinstance(answer, ReplicaMerged)
    assert {value.payload for value in world.held.values} == {b"a", b"b"}
    assert decode_record(answer.record) == world.held


def test_a_record_built_on_what_is_held_is_taken_unread() -> None:
    world = World()
    world.put(OLD)
    base = encode_record(OLD)[:DIGEST_BYTES]
    assert isinstance(world.put(NEW, base), ReplicaStored)
    assert world.held == NEW


def test_another_base_is_no_reason_to_overwrite() -> None:
    world = World()
    world.put(NEW)
    base = encode_record(OLD)[:DIGEST_BYTES]
    assert isinstance(world.put(BESIDE, base), ReplicaMerged)
    assert {value.payload for value in world.held.values} == {b"a", b"b"}


def test_an_acknowledgement_waits_for_the_disk_and_a_group_is_one_message() -> None:
    world = World()
    machine = world.cluster.machines[NodeId("n1")]
    machine.disk_stopped = True
    records = [
        ReplicaPut(REPLICA_PUT, id, world.cluster.place(b"%d" % id)[1], encode_record(OLD), b"")
        for id in (4, 8, 12)
    ]
    assert world.answers(*records) == []
    machine.disk_stopped = False
    assert [answer.ids for answer in world.answers() if isinstance(answer, ReplicaStored)] == [
        (4, 8, 12)
    ]


def test_an_unknown_table_is_refused() -> None:
    world = World()
    key = ItemKey(world.key[:2] + TableId(99).to_bytes(4, "big") + world.key[6:])
    answer = world.ask(ReplicaPut(REPLICA_PUT, 4, key, encode_record(OLD), b""))
    assert isinstance(answer, ReplicaRefused)
    assert answer.cause == "unknown table"


def test_a_get_says_same_only_of_the_very_record() -> None:
    world = World()
    world.put(NEW)
    data = encode_record(NEW)
    known, other = data[:DIGEST_BYTES], encode_record(OLD)[:DIGEST_BYTES]
    assert isinstance(world.ask(get(world, known)), ReplicaSame)
    for question in (get(world, other), get(world, None)):
        answer = world.ask(question)
        assert isinstance(answer, ReplicaRecord)
        assert answer.record == data


def test_a_get_of_nothing_is_an_answer_that_counts() -> None:
    world = World()
    for known in (None, b"12345678"):
        answer = world.ask(get(world, known))
        assert isinstance(answer, ReplicaRecord)
        assert answer.record is None


def get(world: World, known: bytes | None) -> ReplicaGet:
    return ReplicaGet(REPLICA_GET, 5, world.key, known)


def test_a_rebuilding_replica_takes_writes_and_answers_no_read() -> None:
    world = World()
    cluster = world.cluster
    for name in ("n2", "n3"):
        cluster.hold(name, "n1")
    cluster.lose_disk("n1")
    cluster.start("n1")
    assert isinstance(world.ask(get(world, None)), ReplicaRefused)
    answer = world.put(OLD)
    assert isinstance(answer, ReplicaStored)
    assert answer.whole is False
    page = world.ask(ReplicaScan(REPLICA_SCAN, 6, PartitionId(0), ItemKey(b"")))
    assert isinstance(page, ReplicaPage)
    assert page.whole is False


def test_a_partition_is_read_page_by_page_each_item_once() -> None:
    world = World()
    cluster = world.cluster
    engine = cluster.machines[NodeId("n1")].engine
    assert engine is not None
    partition = cluster.place(KEY)[0]
    keys = [
        ItemKey(world.key[:2] + CART.to_bytes(4, "big") + b"%05d\x00\x01" % number)
        for number in range(2 * PAGE_ITEMS_MAX + 10)
    ]
    for key in keys:
        engine.put(key, encode_record(OLD), None)
    found, pages = pages_of(world, partition)
    assert found == keys
    assert pages == 3


def test_a_page_is_bounded_in_bytes_but_holds_one_item_at_least() -> None:
    world = World()
    engine = world.cluster.machines[NodeId("n1")].engine
    assert engine is not None
    partition = world.cluster.place(KEY)[0]
    keys = [ItemKey(world.key[:6] + b"%d\x00\x01" % number) for number in range(3)]
    for key in keys:
        engine.put(key, b"r" * (PAGE_BYTES_MAX + 1), None)
    found, pages = pages_of(world, partition)
    assert found == keys
    assert pages >= 3


def pages_of(world: World, partition: PartitionId) -> tuple[list[ItemKey], int]:
    """(keys, pages) as a rebuilding node reads them."""
    found: list[ItemKey] = []
    after, pages = ItemKey(b""), 0
    while True:
        page = world.ask(ReplicaScan(REPLICA_SCAN, 6, partition, after))
        assert isinstance(page, ReplicaPage)
        pages += 1
        found += [key for key, _ in page.items]
        if page.last or not page.items:
            return found, pages
        after = found[-1]


def test_a_client_cannot_write_a_record_or_scan() -> None:
    world = World()
    done(world.cluster.put("n1", KEY, b"v"))
    before = world.held
    for message in (
        ReplicaPut(REPLICA_PUT, 4, world.key, encode_record(OLD), b""),
        ReplicaScan(REPLICA_SCAN, 4, PartitionId(0), ItemKey(b"")),
    ):
        with pytest.raises(AssertionError, match="Disconnect"):
            world.cluster.hear("n1", message)
    assert world.held == before
