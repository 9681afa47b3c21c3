"""Each queue of the core filled to its bound: what is promised there happens, and nothing grows.

The registry is dynamo/bounds.py.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from kernel_world import WALL_MS, KernelWorld, sent, with_limits

from dynamo.config import builtin
from dynamo.coordination import puts, repairs
from dynamo.errors import Code
from dynamo.history import NO_GAPS, History
from dynamo.keys import partition_bounds
from dynamo.messages import (
    ASK_REPAIR,
    REPLICA_GET,
    REPLICA_PAGE,
    REPLICA_PUT,
    REPLICA_RECORD,
    REPLICA_SCAN,
    REPLICA_STORED,
    AskRepair,
    Failed,
    Get,
    GetDone,
    PeerUp,
    PutDone,
    ReplicaGet,
    ReplicaPage,
    ReplicaPut,
    ReplicaRecord,
    ReplicaRefused,
    ReplicaScan,
    ReplicaStored,
)
from dynamo.repair.rebuild import RETRY_MS, SCANS_MAX
from dynamo.replica.replica import PAGE_BYTES_MAX, PAGE_ITEMS_MAX
from dynamo.siblings.codec import decode_record, encode_record
from dynamo.siblings.record import Record, Value, operation_id
from dynamo.types import Actor, ItemKey, NodeId, Stamp

CLIENT, OTHER = 7, 8
N2, N3 = NodeId("n2"), NodeId("n3")


def linked(world: KernelWorld) -> KernelWorld:
    world.link_all()
    return world


def codes(effects: list[object], to: int = CLIENT) -> list[Code]:
    return [Code(answer.code) for answer in sent(effects, Failed, to)]  # type: ignore[arg-type]


def stored(key: bytes = b"v", stamp: int = WALL_MS << 16, number: int = 1) -> bytes:
    """A record of n2."""
    dot = Actor("n2/a"), number
    value = Value(*dot, Stamp(stamp), operation_id(stamp, 2, number), key)
    return encode_record(Record(History({dot[0]: number}, NO_GAPS), 0, {}, (value,)))


# operations


def test_operations_of_all_clients() -> None:
    limits = {"operations_in_flight_max": 5, "operations_per_client_max": 5}
    world = linked(KernelWorld(config=with_limits(builtin(), **limits)))
    reads: list[Get] = [world.get(b"key") for _ in range(5)]
    assert codes(world.hear(CLIENT, *reads)) == []
    for message in (world.get(b"key"), world.put(b"key")):
        (refused,) = sent(world.hear(OTHER, message), Failed, OTHER)
        assert Code(refused.code) is Code.OVERLOADED
        assert (refused.unknown, refused.retry_after_ms > 0) == (False, True)
    assert world.kernel.in_flight() == 5
    assert world.meters.overloaded == 2
    world.pass_ms(2000)
    assert codes(world.hear(OTHER, world.get(b"key")), OTHER) == [], "there is room again"


def test_operations_of_one_client() -> None:
    world = linked(KernelWorld(config=with_limits(builtin(), operations_per_client_max=3)))
    reads = [world.get(b"key") for _ in range(5)]
    assert codes(world.hear(CLIENT, *reads)) == [Code.OVERLOADED] * 2
    assert codes(world.hear(OTHER, world.get(b"key")), OTHER) == []


def test_forwards() -> None:
    world = linked(KernelWorld(config=with_limits(builtin(5), forwards_max=4)))
    foreign = next(iter(world.some_keys(owned=False)))
    assert codes(world.hear(CLIENT, *(world.get(foreign) for _ in range(6)))) == [
        Code.OVERLOADED,
        Code.OVERLOADED,
    ]
    assert (world.kernel.in_flight(), world.meters.overloaded) == (4, 2)
    assert codes(world.pass_ms(2000)) == [Code.DEADLINE_EXCEEDED] * 4
    assert world.kernel.in_flight() == 0


def test_a_put_that_comes_twice_is_not_refused_the_second_time() -> None:
    """The refusal would be taken for the answer to the first, which may well be applied: seeds 90,
    118, 119 and 122 read writes that had been told not to be."""
    world = linked(KernelWorld(config=with_limits(builtin(), operations_per_client_max=1)))
    put = world.put(b"key")
    assert sent(world.hear(CLIENT, put), ReplicaPut, N2)
    assert not world.hear(CLIENT, put)


def test_a_put_that_comes_twice_is_passed_on_once() -> None:
    world = linked(KernelWorld(config=with_limits(builtin(5), forwards_max=1)))
    put = world.put(next(iter(world.some_keys(owned=False))))
    assert world.hear(CLIENT, put)
    assert not world.hear(CLIENT, put)


def test_puts_that_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(puts, "SETTLING_MAX", 10)
    world = linked(KernelWorld())
    for number in range(30):
        shipped = sent(world.hear(CLIENT, world.put(b"%d" % number)), ReplicaPut, N2)
        world.persist()
        (put,) = shipped
        assert sent(world.hear(N2, ReplicaStored(REPLICA_STORED, (put.id,), True)), PutDone)
        world.kernel.validate()
    assert world.kernel.in_flight() == 0
    world.hear(N3, ReplicaStored(REPLICA_STORED, tuple(range(200)), True))


def test_repairs_that_wait() -> None:
    world = linked(KernelWorld(config=with_limits(builtin(), repairs_queued_max=5)))
    keys = [world.place(b"%d" % number)[1] for number in range(20)]
    for key in (*keys, *keys[:5]):
        world.hear(CLIENT, AskRepair(ASK_REPAIR, key))
    assert world.kernel.status()["repairs_queued"] == 5
    assert world.meters.repairs_dropped == 15, "those that wait already are no more"


def test_repairs_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "RUNNING_MAX", 3)
    world = linked(KernelWorld())
    keys = [world.place(b"%d" % number)[1] for number in range(10)]
    for key in keys:
        world.hear(CLIENT, AskRepair(ASK_REPAIR, key))
    asked = {get.id for get in sent(world.pass_ms(500), ReplicaGet)}
    assert (len(asked), world.kernel.status()["repairs_queued"]) == (3, 7)
    for id in asked:
        for node in (N2, N3):
            world.hear(node, ReplicaRecord(REPLICA_RECORD, id, None))
    again = {get.id for get in sent(world.pass_ms(100), ReplicaGet)}
    assert (len(again), world.kernel.status()["repairs_queued"]) == (3, 4)


def test_scans_of_a_rebuild() -> None:
    world = KernelWorld(rebuilding=True, memory_bytes_max=100_000)
    scans = [scan for peer in world.peers for scan in sent(world.feed(PeerUp(peer)), ReplicaScan)]
    assert len(scans) == SCANS_MAX
    world.store.put(ItemKey(b"12345678"), bytes(100_000), None)
    page = ReplicaPage(REPLICA_PAGE, scans[0].id, (), True, True)
    assert not sent(world.hear(N2, page), ReplicaScan), "a full store copies nothing"
    world.store.delete(ItemKey(b"12345678"), None)
    assert sent(world.pass_ms(RETRY_MS), ReplicaScan), "it goes on when there is room"


@pytest.mark.parametrize(("count", "size"), [(PAGE_ITEMS_MAX + 50, 10), (60, 100_000)])
def test_a_page(count: int, size: int) -> None:
    world = linked(KernelWorld())
    partition, _ = world.place(b"x")
    first, _ = partition_bounds(partition)
    for number in range(count):
        world.store.put(ItemKey(first + b"%08d" % number), bytes(size), None)
    after, pages, found = ItemKey(b""), 0, 0
    while True:
        scan = ReplicaScan(REPLICA_SCAN, 1, partition, after)
        (page,) = sent(world.hear(N2, scan), ReplicaPage, N2)
        pages, found = pages + 1, found + len(page.items)
        assert len(page.items) <= PAGE_ITEMS_MAX
        assert sum(len(record) for _, record in page.items[:-1]) <= PAGE_BYTES_MAX
        if page.last:
            break
        after = page.items[-1][0]
    assert (pages > 1, found) == (True, count)


# items


@pytest.fixture
def few_siblings() -> KernelWorld:
    config = builtin()
    limits = replace(config.limits, siblings_max=4, operations_max=10)
    return linked(KernelWorld(config=replace(config, limits=limits)))


def blind_puts(world: KernelWorld, count: int) -> Iterator[list[object]]:
    """One after the other at this node alone."""
    for number in range(count):
        world.now_ms += 1000
        effects = world.hear(CLIENT, world.put(b"key", b"%d" % number, w=1))
        yield [*effects, *world.persist()]


def test_siblings(few_siblings: KernelWorld) -> None:
    world = few_siblings
    for effects in blind_puts(world, 4):
        assert codes(effects) == []
    for effects in blind_puts(world, 3):
        assert codes(effects) == [Code.TOO_MANY_SIBLINGS]
    assert world.meters.too_many_siblings == 3
    key = world.place(b"key")[1]
    world.hear(N2, ReplicaPut(REPLICA_PUT, 1, key, stored(b"another"), b""))
    world.persist()
    (read,) = sent(world.hear(CLIENT, world.get(b"key", r=1)), GetDone)
    assert len(read.payloads) == 5, "a merge is never refused"
    delete = world.put(b"key", None, context=read.context, w=1)
    world.hear(CLIENT, delete)
    assert sent(world.persist(), PutDone), "nor is a delete"


def test_operations_of_a_record(few_siblings: KernelWorld) -> None:
    world, context = few_siblings, None
    first = world.put(b"key", b"first", w=1)
    for number in range(40):
        world.now_ms += 1000
        put = world.put(b"key", b"%d" % number, context=context, w=1) if number else first
        world.hear(CLIENT, put)
        (done,) = sent(world.persist(), PutDone)
        context = done.context
    held = world.store.get(world.place(b"key")[1])
    assert held is not None
    assert len(decode_record(held).operations) <= 10
    (late,) = sent(world.hear(CLIENT, first), Failed)
    assert Code(late.code) is Code.WRITE_TOO_OLD, "it is not applied a second time"


# the store


def test_a_full_store() -> None:
    """At the bound a node takes nothing more, as coordinator or as replica; reads go on."""
    world = linked(KernelWorld(memory_bytes_max=50_000))
    key = world.place(b"other")[1]
    sizes = []
    for number in range(40):
        world.hear(CLIENT, world.put(b"%d" % number, bytes(5000), w=1))
        world.hear(N2, ReplicaPut(REPLICA_PUT, number, key, stored(bytes(5000)), b""))
        world.persist()
        sizes.append(world.store.figures().memory_bytes)
    assert max(sizes) < 50_000 + 2 * 6000
    assert codes(world.hear(CLIENT, world.put(b"new", b"v"))) == [Code.OVERLOADED]
    assert codes(world.hear(CLIENT, world.put(b"0", None))) == [Code.OVERLOADED]
    (refused,) = sent(
        world.hear(N2, ReplicaPut(REPLICA_PUT, 1, key, stored(bytes(9000), number=2), b"")),
        ReplicaRefused,
        N2,
    )
    assert refused.cause == "memory full"
    assert sent(world.hear(CLIENT, world.get(b"0", r=1)), GetDone)
    assert sent(world.hear(N2, ReplicaGet(REPLICA_GET, 1, key, None)), ReplicaRecord)


def test_a_full_disk_takes_deletes_from_coordinators(monkeypatch: pytest.MonkeyPatch) -> None:
    world = linked(KernelWorld())
    monkeypatch.setattr(world.store, "refusal", lambda: "disk full")
    key = world.place(b"key")[1]
    put = ReplicaPut(REPLICA_PUT, 1, key, stored(), b"")
    (refused,) = sent(world.hear(N2, put), ReplicaRefused, N2)
    assert refused.cause == "disk full"
    gone = encode_record(Record(History({Actor("n2/a"): 2}, NO_GAPS), 0, {}, ()))
    world.hear(N2, ReplicaPut(REPLICA_PUT, 2, key, gone, b""))
    assert sent(world.persist(), ReplicaStored, N2)
    assert world.meters.replica_put_failed.count == 1
    assert codes(world.hear(CLIENT, world.put(b"key"))) == [Code.OVERLOADED]
    world.hear(CLIENT, world.put(b"key", None, w=1))
    assert sent(world.persist(), PutDone)


def test_every_operation_is_counted_in_its_meter() -> None:
    world = linked(KernelWorld())
    meters = world.meters
    key = world.place(b"key")[1]
    world.hear(N2, ReplicaPut(REPLICA_PUT, 1, key, stored(), b""))
    world.now_ms += 7
    world.persist()
    world.hear(N2, ReplicaGet(REPLICA_GET, 1, key, None))
    assert (meters.replica_put_ok.count, meters.replica_put_ok.sum) == (1, 7.0)
    assert meters.replica_get_ok.count == 1
    rebuilding = linked(KernelWorld(rebuilding=True))
    rebuilding.hear(N2, ReplicaGet(REPLICA_GET, 1, key, None))
    assert rebuilding.meters.replica_get_failed.count == 1
