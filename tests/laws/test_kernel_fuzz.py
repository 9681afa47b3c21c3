"""Whatever arrives, the kernel does not raise, and nobody answers another's request.

A frame's messages are any msgpack values; those that pass `parse` have the right types and the
wildest values: ids that others wait for, sound digests over nonsense, forged contexts, item keys of
unknown tables, counters at the edge of 64 bits.
"""

from itertools import islice
from typing import Any

import mmh3
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_world import CART, SESSION, WALL_MS, KernelWorld, sent

from dynamo.history import NO_GAPS, History
from dynamo.keys import item_key
from dynamo.messages import _KINDS, GetDone, Message, PutDone, Send
from dynamo.siblings.codec import CONTEXT_FORMAT, DIGEST_BYTES, encode_record
from dynamo.siblings.record import Record, Value, operation_id
from dynamo.types import Actor, NodeId, PartitionId, Stamp, TableId

pytestmark = pytest.mark.slow

CLIENT, STRANGER = 7, 9
WORLD = KernelWorld(5)
OWNED = list(islice(WORLD.some_keys(), 3))
FOREIGN = next(iter(WORLD.some_keys(owned=False)))
KEYS = [*OWNED, FOREIGN, b"\x00", b"\x00\x01\x00\xff", b"k" * 1024, b"k" * 1025, b""]
ITEM_KEYS = [
    *(WORLD.place(key)[1] for key in OWNED),
    *(WORLD.place(key, SESSION)[1] for key in OWNED),
    item_key(PartitionId(0), TableId(77), b"dropped table", b""),
    item_key(WORLD.place(OWNED[0])[0], TableId(77), b"dropped table", b""),
    *(b"", b"12345678", b"\xff" * 8, b"\x00" * 9, b"\xff\xff" + b"x" * 600),
]
OPERATIONS = [
    operation_id((WALL_MS + 1000) << 16, 1, 1),
    operation_id((1 << 48) - 1 << 16, 1, 2),
    *(bytes(20), b"\xff" * 20, b"", b"short", b"x" * 4096),
]


def digested(body: bytes) -> bytes:
    """A record whose digest is right, whatever its body."""
    return mmh3.mmh3_x64_128_digest(body)[:DIGEST_BYTES] + body


def checked(content: Any, table: TableId = CART) -> bytes:
    """A context whose checks are right, whatever its content."""
    item = WORLD.place(OWNED[0], table)[1]
    body: bytes = CONTEXT_FORMAT + mmh3.mmh3_32_digest(item) + msgpack.packb(content)
    return body + mmh3.mmh3_32_digest(body)


def context(vector: dict[str, int], table: TableId = CART, stamp: int = 0) -> bytes:
    return checked((vector, None, stamp, ()), table)


def record(actor: str, counter: int, payload: bytes | None = b"v") -> bytes:
    value = Value(Actor(actor), counter, Stamp(WALL_MS << 16), OPERATIONS[0], payload)
    return encode_record(Record(History({value.actor: counter}, NO_GAPS), 0, {}, (value,)))


FORGED = (1 << 32) + 50, (1 << 62) + 1, (1 << 64) - 2, (1 << 64) - 1
"""Counters that nobody has issued."""
RECORDS = [
    *(record("n2/a", 5), record("n2/a", 5, None), record("n1/a", 1 << 32), b"", b"\x00" * 8),
    *(record(actor, counter) for actor in ("n1/a", "n2/a") for counter in FORGED),
]
CONTEXTS = [
    *(context({"n2/a": 5}), context({"n2/a": 5}, SESSION), b"\x01", b"x" * 100_000),
    *(context({"n2/a": 5}, stamp=stamp) for stamp in (-1, (1 << 62) - 1, (1 << 64) - 1)),
    *(context({actor: counter}) for actor in ("n1/a", "n2/a", "n9/z") for counter in FORGED),
]

plain = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(max_size=5), st.binary(max_size=12)
)
integers = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 20, -1, -4]),
    st.integers(-(1 << 63), (1 << 64) - 1),
)
values = st.recursive(
    st.one_of(plain, integers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), integers), inner, max_size=3),
    ),
    max_leaves=8,
)
bodies = st.tuples(st.just(1), values, values, values, values, values) | st.tuples(
    st.just(1),
    st.dictionaries(st.sampled_from(["n1/a", "n2/a"]), values, max_size=2),
    st.none() | st.dictionaries(st.sampled_from(["n1/a", "n2/a"]), values, max_size=2),
    values,
    st.dictionaries(st.sampled_from(OPERATIONS), values, max_size=2),
    st.lists(st.tuples(st.just("n2/a"), integers, values, values, values), max_size=2).map(tuple),
)
records = st.one_of(
    st.sampled_from(RECORDS), bodies.map(lambda body: digested(msgpack.packb(body)))
)
contents = st.tuples(values, values, integers, values | st.just(()))
contexts = st.sampled_from(CONTEXTS) | contents.map(checked)
strings = st.one_of(
    st.sampled_from([*KEYS, *ITEM_KEYS, *OPERATIONS]), records, contexts, st.binary(max_size=30)
)
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "table": st.sampled_from([1, 2, 3]) | integers,
    "epoch": st.sampled_from([0, 1]) | integers,
    "sort_key": st.sampled_from([b"", b"s", b"s" * 1025]),
    "operation": st.sampled_from(OPERATIONS),
    "context": contexts | st.none(),
    "record": records | st.none(),
    "items": st.lists(st.tuples(st.sampled_from(ITEM_KEYS), records), max_size=3).map(tuple)
    | values,
}
BY_TYPE: dict[type, st.SearchStrategy[Any]] = {
    int: integers,
    bytes: strings,
    str: st.text(max_size=5),
    bool: st.booleans(),
    tuple: st.lists(integers | values, max_size=4).map(tuple),
    dict: st.dictionaries(st.text(max_size=3), values, max_size=2),
    type(None): st.none(),
}


def well_typed(kind: int) -> st.SearchStrategy[tuple[Any, ...]]:
    """Messages of one kind that `parse` lets through, or nearly."""
    make, shapes, _ = _KINDS[kind]
    types = [set(each) for each in zip(*shapes, strict=True)]
    fields: list[st.SearchStrategy[Any]] = [st.just(kind)]
    for name, allowed in list(zip(make._fields, types, strict=True))[1:]:
        if name in ("key", "after"):
            inside = make.__name__.startswith(("Replica", "AskRepair"))
            fields.append(st.sampled_from(ITEM_KEYS if inside else KEYS))
        elif name in BY_NAME:
            fields.append(BY_NAME[name])
        else:
            fields.append(st.one_of([BY_TYPE[each] for each in sorted(allowed, key=str)]))
    return st.tuples(*fields)


messages = st.one_of(
    st.lists(values, max_size=4).map(tuple),
    st.tuples(st.sampled_from(sorted(_KINDS)), values, values),
    *(well_typed(kind) for kind in sorted(_KINDS)),
)
frames = st.lists(messages, min_size=1, max_size=4)


def busy_world(rebuilding: bool) -> tuple[KernelWorld, list[Message]]:
    """n1 with a put, a get and a forward of client 7 in flight."""
    world = KernelWorld(5, rebuilding=rebuilding)
    world.link_all()
    begun: list[Message] = [world.put(OWNED[0]), world.get(OWNED[1]), world.get(FOREIGN)]
    world.hear(CLIENT, *begun)
    return world, begun


def answers_to(effects: list[Any], source: int) -> list[Any]:
    return [e for e in effects if isinstance(e, Send) and e.to == source]


def ended(world: KernelWorld) -> None:
    """Everything in flight comes to its end, and the gate knows."""
    for _ in range(3):
        world.persist()
        world.pass_ms(60_001)
    assert world.kernel.in_flight() == 0


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(frames, min_size=1, max_size=3))
def test_no_client_brings_the_kernel_down_or_answers_for_others(
    rebuilding: bool, sends: list[list[tuple[Any, ...]]]
) -> None:
    world, _ = busy_world(rebuilding)
    for frame in sends:
        effects = world.hear(STRANGER, *frame)
        assert not answers_to(effects, CLIENT)
        world.persist()
    ended(world)


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(frames, min_size=1, max_size=3))
def test_no_peer_brings_the_kernel_down_or_answers_what_it_was_not_asked(
    rebuilding: bool, sends: list[list[tuple[Any, ...]]]
) -> None:
    world, _ = busy_world(rebuilding)
    unasked = next(
        node
        for node in world.peers
        if all(
            node not in world.ring.preference_list(world.place(key)[0], 3)
            for key in (OWNED[0], OWNED[1])
        )
    )
    for frame in sends:
        effects = world.hear(unasked, *frame)
        assert not sent(answers_to(effects, CLIENT), PutDone)
        world.persist()
    ended(world)


@settings(max_examples=150, deadline=None)
@given(st.lists(frames, min_size=1, max_size=3))
def test_after_anything_from_peers_and_clients_honest_clients_are_served(
    sends: list[list[tuple[Any, ...]]],
) -> None:
    world, _ = busy_world(rebuilding=False)
    for number, frame in enumerate(sends):
        world.hear(STRANGER if number % 2 else NodeId("n2"), *frame)
        world.persist()
    ended(world)
    fresh = b"a key that nobody has touched"
    assert sent(world.hear(CLIENT, world.get(next(_untouched(world)), r=1)), GetDone, CLIENT)
    world.hear(CLIENT, world.put(next(_untouched(world)), fresh, w=1))
    assert sent(world.persist(), PutDone, CLIENT)


def _untouched(world: KernelWorld) -> Any:
    return (key for key in world.some_keys() if key not in KEYS)
