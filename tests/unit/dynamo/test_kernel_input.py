"""What clients and peers may say wrongly, message by message, and the answer to each."""

import mmh3
import msgpack
import pytest
from kernel_world import CART, SESSION, WALL_MS, KernelWorld, sent

from dynamo.errors import Code, CorruptData
from dynamo.history import NO_GAPS, History
from dynamo.keys import item_key_bytes_max
from dynamo.messages import (
    ASK_OUTCOME,
    ASK_REPAIR,
    REPLICA_GET,
    REPLICA_PAGE,
    REPLICA_PUT,
    REPLICA_RECORD,
    REPLICA_SAME,
    REPLICA_SCAN,
    REPLICA_STORED,
    AskOutcome,
    AskRepair,
    Disconnect,
    Failed,
    GetDone,
    PeerUp,
    Put,
    PutDone,
    ReplicaGet,
    ReplicaPage,
    ReplicaPut,
    ReplicaRecord,
    ReplicaRefused,
    ReplicaSame,
    ReplicaScan,
    ReplicaStored,
)
from dynamo.siblings.codec import CONTEXT_FORMAT, DIGEST_BYTES, decode_record, encode_record
from dynamo.siblings.record import Record, operation_id
from dynamo.types import Actor, ItemKey, NodeId, PartitionId, TableId

CLIENT, OTHER = 7, 8
N2, N3 = NodeId("n2"), NodeId("n3")
STAMP = (WALL_MS + 1000) << 16


@pytest.fixture
def world() -> KernelWorld:
    made = KernelWorld()
    made.link_all()
    return made


def failure(world: KernelWorld, message: Put | object) -> Failed:
    (answer,) = sent(world.hear(CLIENT, message), Failed, CLIENT)
    assert not answer.unknown, "nothing was written"
    assert world.kernel.in_flight() == 0
    return answer


def context(vector: dict[str, int], table: TableId = CART) -> bytes:
    """A sound context for the item `key`, whatever it claims."""
    item = KernelWorld().place(b"key", table)[1]
    body = CONTEXT_FORMAT + mmh3.mmh3_32_digest(item) + msgpack.packb((vector, None, 0, ()))
    return body + mmh3.mmh3_32_digest(body)


def finish(world: KernelWorld, message: Put) -> PutDone:
    """The put, durable here and acknowledged by n2."""
    effects = world.hear(CLIENT, message)
    (shipped,) = sent(effects, ReplicaPut, N2)
    done = sent(world.persist(), PutDone, CLIENT)
    stored = ReplicaStored(REPLICA_STORED, (shipped.id,), True)
    done += sent(world.hear(N2, stored), PutDone, CLIENT)
    (answer,) = done
    return answer


# what a caller may get wrong


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (Code.KEY_TOO_LARGE, {"key": b""}),
        (Code.KEY_TOO_LARGE, {"key": b"k" * 1025}),
        (Code.KEY_TOO_LARGE, {"sort_key": b"k" * 1025}),
        (Code.VALUE_TOO_LARGE, {"payload": bytes((1 << 20) + 1)}),
        (Code.UNKNOWN_TABLE, {"table": 99}),
        (Code.UNKNOWN_TABLE, {"table": -1}),
        (Code.INVALID_QUORUM, {"w": 4}),
        (Code.INVALID_QUORUM, {"w": -1}),
        (Code.INVALID_REQUEST, {"operation": b"short"}),
        (Code.INVALID_REQUEST, {"operation": operation_id(STAMP + (60_000 << 16), 1, 1)}),
        (Code.INVALID_CONTEXT, {"context": b"\x01garbage"}),
        (Code.INVALID_CONTEXT, {"context": bytes(100_000)}),
        (Code.INVALID_CONTEXT, {"context": context({"n2/a": 5}, SESSION)}),
        (Code.INVALID_CONTEXT, {"context": context({"n1/a": 1 << 40})}),
        (Code.INVALID_CONTEXT, {"context": context({"n2/a": 1 << 63})}),
        (Code.INVALID_CONTEXT, {"context": context({"n2/a": 0})}),
        (Code.DEADLINE_EXCEEDED, {"deadline_ms": -1}),
        (Code.WRONG_RING, {"epoch": 99}),
    ],
    ids=lambda each: each.name if isinstance(each, Code) else next(iter(each)),
)
def test_a_wrong_put_changes_nothing_and_says_why(
    world: KernelWorld, code: Code, changes: dict[str, object]
) -> None:
    answer = failure(world, world.put(b"key")._replace(**changes))
    assert Code(answer.code) is code
    assert answer.message or code is Code.DEADLINE_EXCEEDED
    assert world.store.scan(ItemKey(b""), ItemKey(b"\xff" * 9), 10) == []


def test_the_contexts_above_are_wrong_in_what_they_claim_only(world: KernelWorld) -> None:
    assert sent(world.hear(CLIENT, world.put(b"key", context=context({"n2/a": 5}))), ReplicaPut)


@pytest.mark.parametrize("r", [-1, 4])
def test_a_read_quorum_outside_1_to_n_is_refused(world: KernelWorld, r: int) -> None:
    assert failure(world, world.get(b"key", r=r)).code == Code.INVALID_QUORUM


@pytest.mark.parametrize("operation", [b"", b"x" * 4096, operation_id((1 << 63) - 1, 1, 1)])
def test_no_outcome_of_what_is_no_operation(world: KernelWorld, operation: bytes) -> None:
    """Records remember ids: a long one, or one from the future, would stay in them for ever."""
    ask = AskOutcome(ASK_OUTCOME, 1, 0, 0, CART, b"key", b"", operation)  # type: ignore[arg-type]
    assert failure(world, ask).code == Code.INVALID_REQUEST


def test_an_endless_deadline_has_an_end(world: KernelWorld) -> None:
    world.hear(CLIENT, world.get(b"key", deadline_ms=1 << 62))
    assert sent(world.pass_ms(60_100), Failed, CLIENT)
    world.pass_ms(1000)
    assert world.kernel._gets.deadline() is None, "and no timer is left"


def test_an_unknown_table_is_told_by_a_rebuilding_node_too() -> None:
    world = KernelWorld(rebuilding=True)
    world.link_all()
    assert failure(world, world.get(b"key", table=TableId(-1))).code == Code.UNKNOWN_TABLE


# what only members may say


@pytest.mark.parametrize(
    "message",
    [
        ReplicaPut(REPLICA_PUT, 1, ItemKey(b"12345678"), b"record", b""),
        ReplicaScan(REPLICA_SCAN, 1, PartitionId(0), ItemKey(b"")),
        ReplicaRecord(REPLICA_RECORD, 1, None),
        ReplicaSame(REPLICA_SAME, 1),
        ReplicaStored(REPLICA_STORED, (4, 5), True),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_client_that_plays_a_member_is_cut_off(world: KernelWorld, message: object) -> None:
    world.hear(CLIENT, world.put(b"key"), world.get(b"key"))
    (effect,) = world.hear(OTHER, message)
    assert isinstance(effect, Disconnect)
    assert effect.to == OTHER
    assert world.kernel.in_flight() == 2, "nobody was answered by a stranger"


def test_a_repair_is_not_asked_for_keys_that_cannot_be(world: KernelWorld) -> None:
    most = item_key_bytes_max(world.config.limits)
    key = world.place(b"key")[1]
    for size, cut_off in ((most, False), (most + 1, True)):
        long = ItemKey(key.ljust(size, b"x"))
        effects = world.hear(CLIENT, AskRepair(ASK_REPAIR, long))
        assert bool(effects) is cut_off


def test_same_as_nothing_is_no_answer(world: KernelWorld) -> None:
    (asked,) = sent(world.hear(CLIENT, world.get(b"key")), ReplicaGet)
    for node in (N2, N3):
        effects = world.hear(node, ReplicaSame(REPLICA_SAME, asked.id))
        assert not sent(effects, GetDone)


# forged contexts and damaged records


def test_a_forged_dot_of_another_node_breaks_nothing_there(world: KernelWorld) -> None:
    """n2 took a context that claims a dot of n1 from the far future; n1 still writes the item."""
    actor, forged = Actor("n1/a"), (1 << 32) + 500
    key = world.place(b"key")[1]
    record = encode_record(Record(History({actor: forged, "n2/a": 9}, NO_GAPS), 0, {}, ()))
    world.hear(N2, ReplicaPut(REPLICA_PUT, 1, key, record, b""))
    world.persist()
    first = finish(world, world.put(b"key", b"one"))
    finish(world, world.put(b"key", b"two", context=first.context))
    finish(world, world.put(b"elsewhere"))
    assert world.identity.issued(world.place(b"elsewhere")[0]) < forged, "only this item suffers"
    get = sent(world.hear(CLIENT, world.get(b"key", r=1)), GetDone, CLIENT)
    assert [done.payloads for done in get] == [(b"two",)]


def test_a_record_whose_digest_is_wrong_ends_the_link(world: KernelWorld) -> None:
    key = world.place(b"key")[1]
    (effect,) = world.hear(N2, ReplicaPut(REPLICA_PUT, 1, key, b"\x00" * 40, b""))
    assert isinstance(effect, Disconnect)


def test_a_page_with_a_record_that_is_none_ends_the_link_and_counts_for_nothing() -> None:
    world = KernelWorld(rebuilding=True)
    peer, scan = _scans_of(world, world.peers[0])[0]
    missing = world.kernel.missing_partitions()
    bad = b"digest__" + b"body"
    key = ItemKey(scan.partition.to_bytes(2, "big") + bytes(8))
    page = ReplicaPage(REPLICA_PAGE, scan.id, ((key, bad),), True, True)
    effects = world.hear(peer, page)
    assert [effect for effect in effects if isinstance(effect, Disconnect)]
    assert world.kernel.missing_partitions() == missing
    assert world.store.get(key) is None


def test_records_of_a_dropped_table_are_carried_along_by_a_rebuild() -> None:
    """Two co-owners send a record of a table that is not in this node's configuration."""
    world = KernelWorld(rebuilding=True)
    pages = 0
    for _ in range(2):
        for peer in world.peers:
            for node, scan in _scans_of(world, peer):
                actor = Actor(f"{node}/a")
                one = Record(History({actor: 5}, NO_GAPS), 0, {}, ())
                key = ItemKey(scan.partition.to_bytes(2, "big") + (77).to_bytes(4, "big") + b"old")
                item = (key, encode_record(one))
                page = ReplicaPage(REPLICA_PAGE, scan.id, (item,), True, True)
                effects = world.hear(node, page)
                assert not [e for e in effects if isinstance(e, Disconnect)]
                pages += 1
    assert pages
    assert world.meters.rebuilt_records


def _scans_of(world: KernelWorld, peer: NodeId) -> list[tuple[NodeId, ReplicaScan]]:
    world.now_ms += 6000
    return [(peer, scan) for scan in sent(world.feed(PeerUp(peer)), ReplicaScan, peer)]


class DamagedStore:
    """Damages what a world's store holds under some keys."""

    def __init__(self, world: KernelWorld) -> None:
        self.world, self.keys = world, set[bytes]()
        self._get = world.store.get
        world.store.get = self.get  # type: ignore[method-assign]
        put = world.store.put

        def heal(key: ItemKey, record: bytes, token: object) -> None:
            self.keys.discard(key)
            put(key, record, token)

        world.store.put = heal  # type: ignore[method-assign]

    def get(self, key: ItemKey) -> bytes | None:
        if key in self.keys:
            raise CorruptData("a byte has flipped")
        return self._get(key)


@pytest.mark.parametrize("asked_by", ["a client through here", "a replica read", "a put"])
def test_a_damaged_record_is_repaired_by_whatever_meets_it(
    world: KernelWorld, asked_by: str
) -> None:
    finish(world, world.put(b"key", b"value"))
    key = world.place(b"key")[1]
    sound = world.store.get(key)
    assert sound is not None
    damage = DamagedStore(world)
    damage.keys.add(key)
    if asked_by == "a put":
        assert failure(world, world.put(b"key", b"new")).code == Code.CORRUPT_DATA
    elif asked_by == "a replica read":
        effects = world.hear(CLIENT, ReplicaGet(REPLICA_GET, 1, key, None))
        (refused,) = sent(effects, ReplicaRefused, CLIENT)
        assert refused.cause == "corrupt data"
    else:
        asked = sent(world.hear(CLIENT, world.get(b"key")), ReplicaGet)
        for node in (N2, N3):
            answer = ReplicaRecord(REPLICA_RECORD, asked[0].id, sound)
            done = sent(world.hear(node, answer), GetDone, CLIENT)
        assert done[0].payloads == (b"value",)
    repair = sent(world.pass_ms(500), ReplicaGet)
    for node in (N2, N3):
        world.hear(node, ReplicaRecord(REPLICA_RECORD, repair[0].id, sound))
    assert not damage.keys, "the record was written anew"
    assert world.meters.corrupt_records + world.meters.read_repairs >= 1
    got = sent(world.hear(CLIENT, world.get(b"key", r=1)), GetDone, CLIENT)
    assert got[0].payloads == (b"value",)


def test_records_are_told_apart_from_bytes_that_only_look_like_one() -> None:
    mark = bytes(8)
    parts = [
        (2, mark, {"n1/a": -1}, None, 0, {}, ()),
        (2, mark, {1: 1}, None, 0, {}, ()),
        (2, mark, {"n1/a": 5}, {"n1/a": ((4, 9),)}, 0, {}, ()),
        (2, mark, {"n1/a": 5}, {"n1/a": None}, 0, {}, ()),
        (2, mark, {"n1/a": 5}, None, "floor", {}, ()),
        (2, mark, {"n1/a": 5}, None, 0, {b"short": 1}, ()),
        (2, mark, {"n1/a": 5}, None, 0, {bytes(20): 3}, ()),
        (2, mark, {"n1/a": 5}, None, 0, {}, (("n1/a", 6, 1, bytes(20), b"v"),)),
        (2, mark, {"n1/a": 5}, None, 0, {}, (("n1/a", 5, None, bytes(20), b"v"),)),
        (2, mark, None, None, None, None, None),
        (1, mark, {"n1/a": 5}, None, 0, {}, ()),
        (2, b"short", {"n1/a": 5}, None, 0, {}, ()),
        (2, 12345678, {"n1/a": 5}, None, 0, {}, ()),
        (2, {"n1/a": 5}, None, 0, {}, ()),
    ]
    for body in map(msgpack.packb, parts):
        with pytest.raises(CorruptData):
            decode_record(mmh3.mmh3_x64_128_digest(body)[:DIGEST_BYTES] + body)
