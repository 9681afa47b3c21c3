"""`parse` takes every message that a type can express and refuses every other shape."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo import messages as m
from dynamo import messages_detection as d
from dynamo import messages_exchange as x
from dynamo import messages_members as c
from dynamo.errors import ProtocolViolation

KEY = b"\x00\x01\x00\x00\x00\x01k\x00\x01"
SAMPLES: list[Any] = [
    m.Put(m.PUT, 1, 1000, 1, 1, b"k", b"", None, b"v", b"o" * 20, 0),  # type: ignore[arg-type]
    m.Put(m.PUT, 1, 1000, 1, 1, b"k", b"", b"c", None, b"o" * 20, 2),  # type: ignore[arg-type]
    m.Get(m.GET, 2, 0, 0, 1, b"k", b"s", 3),  # type: ignore[arg-type]
    m.AskOutcome(m.ASK_OUTCOME, 3, 0, 0, 1, b"k", b"", b"o" * 20),  # type: ignore[arg-type]
    m.AskRepair(m.ASK_REPAIR, KEY),  # type: ignore[arg-type]
    m.AskCluster(m.ASK_CLUSTER, 4),
    m.AskStatus(m.ASK_STATUS, 5),
    m.ReplicaPut(m.REPLICA_PUT, 6, KEY, b"record", b""),  # type: ignore[arg-type]
    m.ReplicaGet(m.REPLICA_GET, 7, KEY, None),  # type: ignore[arg-type]
    m.ReplicaGet(m.REPLICA_GET, 7, KEY, b"digest"),  # type: ignore[arg-type]
    m.ReplicaScan(m.REPLICA_SCAN, 8, 65535, b""),  # type: ignore[arg-type]
    m.HintPut(m.HINT_PUT, 8, KEY, b"record", b"", "n2"),  # type: ignore[arg-type]
    m.PutDone(m.PUT_DONE, 9, b"c", 5),  # type: ignore[arg-type]
    m.GetDone(m.GET_DONE, 10, (b"a", b"b"), b"c", 5),  # type: ignore[arg-type]
    m.Failed(m.FAILED, 11, 1, "why", 2, 1, 3, (("n1", "gone"),), True, 0),
    m.OutcomeDone(m.OUTCOME_DONE, 12, "applied"),
    m.ClusterIs(m.CLUSTER_IS, 13, (1,), (), (), {"n1": ("h", 1)}, 5, ()),
    m.StatusIs(m.STATUS_IS, 14, {}),
    m.ReplicaStored(m.REPLICA_STORED, (1, 2), True),
    m.ReplicaMerged(m.REPLICA_MERGED, 15, b"record"),
    m.ReplicaSame(m.REPLICA_SAME, 16),
    m.ReplicaRecord(m.REPLICA_RECORD, 17, None),
    m.ReplicaRecord(m.REPLICA_RECORD, 17, b"record"),
    m.ReplicaDigest(m.REPLICA_DIGEST, 17, b"digest"),
    m.ReplicaRefused(m.REPLICA_REFUSED, 18, "rebuilding"),
    m.ReplicaPage(m.REPLICA_PAGE, 19, ((KEY, b"record"),), True, False),  # type: ignore[arg-type]
    x.CompareNodes(x.COMPARE_NODES, 20, ((65535, 3, 1056, (1 << 64) - 1),)),  # type: ignore[arg-type]
    x.NodesDiffer(x.NODES_DIFFER, 20, False, ((1, 3, 0, bytes(256)), (1, 3, 40, b""))),  # type: ignore[arg-type]
    x.ListItems(x.LIST_ITEMS, 21, 7, 3, b"\x00\x01", b"", b"\x00\x08"),  # type: ignore[arg-type]
    x.ItemsAre(x.ITEMS_ARE, 21, ((KEY, 5),), KEY, {"n1/a": 5}),  # type: ignore[arg-type]
    x.ReadItems(x.READ_ITEMS, 22, (KEY, KEY)),  # type: ignore[arg-type]
    x.AskExchange(x.ASK_EXCHANGE, 23),
    d.Probe(d.PROBE, 20, 3, 1),
    d.ProbeFor(d.PROBE_FOR, 21, "n3"),  # type: ignore[arg-type]
    d.GossipPush(d.GOSSIP_PUSH, 1, 1 << 63, (("n3", 3, 1),)),  # type: ignore[arg-type]
    d.ProbeDone(d.PROBE_DONE, 22, 3),
    d.ProbedFor(d.PROBED_FOR, 23, "n3", 3),  # type: ignore[arg-type]
    d.GossipPull(d.GOSSIP_PULL, 1, 0, ()),
    c.EpochWord(c.EPOCH_WORD, 0, (1, (1, "n1", "a"))),
    c.EpochReport(c.EPOCH_REPORT, 2, "a", (("copies from n1", b"\x00\x07\x00\x08"),), 3),
    c.ClientEpoch(c.CLIENT_EPOCH, 2),
    c.AskChange(c.ASK_CHANGE, 24, "leave", 1, ("n1",)),
    c.ChangeIs(c.CHANGE_IS, 24, "won", 2, "epoch 2 is decided: leave n1"),
    c.AskTopology(c.ASK_TOPOLOGY, 25),
    c.TopologyIs(c.TOPOLOGY_IS, 25, b"topology"),
    x.AskTaken(x.ASK_TAKEN, 24, ((1, 3, 5, {"n1/a": 9}, {}, 0),)),  # type: ignore[arg-type]
    x.TakenIs(x.TAKEN_IS, 24, ((1, 3, 0, {"n1/a": 9}, {"n1/a": 7}, 1 << 63),)),  # type: ignore[arg-type]
    x.AskLeft(x.ASK_LEFT, 25, 3, ((1, 3, ("n1/a",)),)),  # type: ignore[arg-type]
    x.LeftIs(x.LEFT_IS, 25, ((1, 3, {"n1/a": 9}),)),  # type: ignore[arg-type]
]
IDS = [f"{type(sample).__name__}-{number}" for number, sample in enumerate(SAMPLES)]
WRONG: list[Any] = [None, 1, -1, 1.5, True, "text", b"bytes", (), (1,), ("x",), {}, {"a": 1}]


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_a_message_is_parsed_as_itself(sample: Any) -> None:
    assert m.parse(tuple(sample)) == sample
    assert type(m.parse(tuple(sample))) is type(sample)


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_a_field_more_or_less_is_refused(sample: Any) -> None:
    raw = tuple(sample)
    for wrong in (raw[:-1], (*raw, 0), raw[:1], (*raw, None)):
        refuses(wrong)


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_a_field_of_another_type_is_refused(sample: Any) -> None:
    raw = tuple(sample)
    allowed = {
        tuple(map(type, other)) for other in SAMPLES if type(other) is type(sample)
    } | optional_shapes(raw)
    for place in range(1, len(raw)):
        for value in WRONG:
            changed = (*raw[:place], value, *raw[place + 1 :])
            if tuple(map(type, changed)) not in allowed:
                refuses(changed)


def optional_shapes(raw: tuple[Any, ...]) -> set[tuple[type, ...]]:
    """What fields that may be absent allow beside the samples."""
    optional = {m.PUT: (7, 8), m.REPLICA_GET: (3,), m.REPLICA_RECORD: (2,), m.REPLICA_DIGEST: (2,)}
    shapes = {tuple(map(type, raw))}
    for place in optional.get(raw[0], ()):
        for kind in (bytes, type(None)):
            shapes |= {(*shape[:place], kind, *shape[place + 1 :]) for shape in set(shapes)}
    return shapes


def test_every_kind_has_a_sample_and_a_parser() -> None:
    assert {sample[0] for sample in SAMPLES} == set(m._KINDS)


@pytest.mark.parametrize(
    "raw",
    [
        (),
        (0,),
        (9, 1),
        (999, 1),
        ("put", 1),
        (None,),
        ({}, 1),
        ((), 1),
        (m.ASK_REPAIR, b"short"),
        (m.REPLICA_PUT, 1, b"short", b"record", b""),
        (m.REPLICA_GET, 1, b"", None),
        (m.REPLICA_SCAN, 1, -1, b""),
        (m.REPLICA_SCAN, 1, 1 << 16, b""),
        (m.HINT_PUT, 1, b"short", b"record", b"", "n2"),
        (m.HINT_PUT, 1, KEY, b"record", b"", ""),
        (m.HINT_PUT, 1, KEY, b"record", b"", "n" * 64),
        (m.REPLICA_STORED, (1, "2"), True),
        (m.REPLICA_STORED, (1, True), True),
        (m.REPLICA_PAGE, 1, ((KEY,),), True, True),
        (m.REPLICA_PAGE, 1, ((KEY, b"r", b"x"),), True, True),
        (m.REPLICA_PAGE, 1, ((b"short", b"r"),), True, True),
        (m.REPLICA_PAGE, 1, ((KEY, None),), True, True),
        (m.REPLICA_PAGE, 1, (KEY,), True, True),
        (x.COMPARE_NODES, 1, ((1, 3, 0),)),
        (x.COMPARE_NODES, 1, ((1, 3, 1057, 5),)),
        (x.COMPARE_NODES, 1, ((1 << 16, 3, 0, 5),)),
        (x.COMPARE_NODES, 1, ((1, 3, 0, 1 << 64),)),
        (x.COMPARE_NODES, 1, ((1, 3, 0, b""),)),
        (x.COMPARE_NODES, 1, ((1, 3, -1, 5),)),
        (x.COMPARE_NODES, 1, (5,)),
        (x.COMPARE_NODES, 1, ((1, 3, 0, 5),) * (x.NODES_AT_ONCE_MAX + 1)),
        (x.NODES_DIFFER, 1, False, ((1, 3, 0, bytes(255)),)),
        (x.NODES_DIFFER, 1, False, ((1, 3, 0, 5),)),
        (x.NODES_DIFFER, 1, False, ((1, "3", 0, b""),)),
        (x.NODES_DIFFER, 1, False, ((1, 3, 40, b""),) * (x.NODES_AT_ONCE_MAX + 1)),
        (x.LIST_ITEMS, 1, -1, 3, b"", b"", b""),
        (x.LIST_ITEMS, 1, 1, 3, b"\x00", b"", b""),
        (x.LIST_ITEMS, 1, 1, 3, bytes(2050), b"", b""),
        (x.ITEMS_ARE, 1, ((KEY, b"hash"),), b"", {}),
        (x.ITEMS_ARE, 1, ((b"short", 5),), b"", {}),
        (x.ITEMS_ARE, 1, (KEY,), b"", {}),
        (x.ITEMS_ARE, 1, (), b"", {"n1/a": -1}),
        (x.ITEMS_ARE, 1, (), b"", {b"n1/a": 1}),
        (x.ASK_TAKEN, 1, ((1, 3, 5, {}, {}),)),
        (x.ASK_TAKEN, 1, ((1, 3, 1 << 64, {}, {}, 0),)),
        (x.ASK_TAKEN, 1, ((1 << 16, 3, 5, {}, {}, 0),)),
        (x.ASK_TAKEN, 1, ((1, 3, 5, {"n1/a": "9"}, {}, 0),)),
        (x.ASK_TAKEN, 1, ((1, 3, 5, {}, {5: 9}, 0),)),
        (x.ASK_TAKEN, 1, ((1, 3, 5, {}, {}, 0),) * (x.CLAIMS_AT_ONCE_MAX + 1)),
        (x.ASK_LEFT, 1, 3, ((1, 3, ()),) * (x.PLACES_AT_ONCE_MAX + 1)),
        (x.ASK_LEFT, 1, 3, ((1, 3, (4,)),)),
        (x.ASK_LEFT, 1, 3, ((1 << 16, 3, ()),)),
        (x.LEFT_IS, 1, ((1, 3, {}),) * (x.PLACES_AT_ONCE_MAX + 1)),
        (x.LEFT_IS, 1, ((1, 3, {"a": -1}),)),
        (x.LEFT_IS, 1, ((1, 3),)),
        (x.TAKEN_IS, 1, (5,)),
        (x.READ_ITEMS, 1, (b"short",)),
        (x.READ_ITEMS, 1, (5,)),
        (x.READ_ITEMS, 1, (KEY,) * (x.KEYS_AT_ONCE_MAX + 1)),
        (c.EPOCH_REPORT, -1, "a", ()),
        (c.EPOCH_REPORT, 2, "a", (("why",),)),
        (c.EPOCH_REPORT, 2, "a", (("why", b"odd"),)),
        (c.EPOCH_REPORT, 2, "a", ("why",)),
        (c.CLIENT_EPOCH, -1),
        (c.CLIENT_EPOCH, 1 << 62),
        (m.GET_DONE, 1, (b"a", None), b"c", 5),
        (m.GET_DONE, 1, ("a",), b"c", 5),
        (d.PROBE, 1, -1, 0),
        (d.PROBE, 1, 1 << 62, 0),
        (d.PROBE, 1, 0, 4),
        (d.PROBE_DONE, 1, -1),
        (d.PROBED_FOR, 1, "n3", 1 << 62),
        (d.GOSSIP_PUSH, 1, 0, ("n3",)),
        (d.GOSSIP_PUSH, 1, 0, (("n3", 1),)),
        (d.GOSSIP_PULL, 1, 0, (("n3", 1, 4),)),
        (d.GOSSIP_PULL, 1, 0, (("n3", -1, 0),)),
        (d.GOSSIP_PULL, 1, 0, ((b"n3", 1, 0),)),
        (m.FAILED, 1, 1, "why", 2, 1, 3, ("n1",), True, 0),
        (m.FAILED, 1, 1, "why", 2, 1, 3, (("n1",),), True, 0),
        (m.FAILED, 1, 1, "why", 2, 1, 3, (("n1", 5),), True, 0),
    ],
    ids=repr,
)
def test_what_types_alone_do_not_say_is_checked_too(raw: tuple[Any, ...]) -> None:
    refuses(raw)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.sampled_from(sorted(m._KINDS)), st.lists(anything, max_size=12))
def test_whatever_follows_a_kind_is_parsed_or_refused(kind: int, fields: list[Any]) -> None:
    raw = (kind, *fields)
    with suppress(ProtocolViolation):
        assert tuple(m.parse(raw)) == raw


def refuses(raw: tuple[Any, ...]) -> None:
    with pytest.raises(ProtocolViolation):
        m.parse(raw)
