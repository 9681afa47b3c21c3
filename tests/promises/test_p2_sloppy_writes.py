"""P2: with a sloppy quorum (the default) a write succeeds while any W distinct nodes with room are
reachable; and what stand-ins keep for absent owners comes to them when they are back."""

from dataclasses import replace
from itertools import combinations

import pytest
from kernel_cluster import CART, SESSION, KernelCluster, done, gaps_in, small

from dynamo.coordination.peers import SILENT_AFTER_MS
from dynamo.coordination.puts import GAPS_MAX
from dynamo.errors import Code
from dynamo.history import NO_GAPS, History
from dynamo.messages import GET, HINT_PUT, Failed, Get, HintPut, PutDone
from dynamo.siblings.codec import encode_record
from dynamo.siblings.record import Record, Value
from dynamo.types import NodeId, Stamp

KEY = b"cart of alice"
OLD, NEW = b"old", b"new"


def five(*, hints_bytes_max: int = 1 << 20, sloppy: bool = True) -> KernelCluster:
    """Five nodes, N/R/W 3/2/2; the session table is strict."""
    config = small(5)
    nodes = tuple(
        replace(node, limits=replace(node.limits, hints_bytes_max=hints_bytes_max))
        for node in config.nodes
    )
    tables = tuple(replace(table, sloppy=sloppy and table.id != SESSION) for table in config.tables)
    return KernelCluster(5, replace(config, nodes=nodes, tables=tables))


def roles(cluster: KernelCluster, key: bytes = KEY) -> tuple[list[NodeId], list[NodeId]]:
    """(owners, fallbacks) of a key."""
    order = cluster.ring.owners[cluster.place(key)[0]]
    return list(order[:3]), list(order[3:])


def hints(cluster: KernelCluster) -> dict[str, dict[str, int]]:
    """Who keeps how many for whom."""
    kept = {
        name: machine.kernel.status()["hints"]
        for name, machine in cluster.machines.items()
        if machine.kernel is not None
    }
    return {name: of for name, of in kept.items() if of}


def heal(cluster: KernelCluster, *nodes: NodeId) -> None:
    """They are back, and handoff has had its time."""
    for node in nodes:
        cluster.start(node)
    cluster.pass_ms(3000)


def assert_alike(cluster: KernelCluster, key: bytes, *values: bytes) -> None:
    """Every owner holds exactly these values."""
    for owner in roles(cluster, key)[0]:
        held = [value.payload or b"" for value in cluster.record(owner, key).values]
        assert sorted(held) == sorted(values), owner


@pytest.mark.parametrize("lost", [(1,), (2,), (1, 2)])
def test_a_write_succeeds_with_any_owners_away_and_reaches_them_when_they_are_back(
    lost: tuple[int, ...],
) -> None:
    cluster = five()
    owners, fallbacks = roles(cluster)
    context = done(cluster.put(owners[0], KEY, OLD))
    away = [owners[i] for i in lost]
    for node in away:
        cluster.crash(node)
    done(cluster.put(owners[0], KEY, NEW, context))
    assert hints(cluster) == {
        fallback: {node: 1} for node, fallback in zip(away, fallbacks, strict=False)
    }
    heal(cluster, *away)
    assert hints(cluster) == {}
    assert_alike(cluster, KEY, NEW)


def test_any_two_of_five_may_be_away() -> None:
    for pair in combinations(range(5), 2):
        cluster = five()
        names = list(cluster.machines)
        for number in pair:
            cluster.crash(names[number])
        up = [name for name in names if cluster.machines[name].kernel is not None]
        for number in range(12):
            key = b"key %d" % number
            at = next(node for node in roles(cluster, key)[0] if node in up)
            done(cluster.put(at, key, b"%d" % number))
        heal(cluster, *(names[number] for number in pair))
        assert hints(cluster) == {}
        for number in range(12):
            assert_alike(cluster, b"key %d" % number, b"%d" % number)


def test_a_strict_table_uses_no_stand_ins() -> None:
    cluster = five()
    owners = list(cluster.ring.owners[cluster.place(KEY, SESSION)[0]][:3])
    cluster.crash(owners[1])
    cluster.crash(owners[2])
    refused = cluster.put(owners[0], KEY, NEW, table=SESSION)
    assert isinstance(refused, Failed)
    assert not refused.unknown
    assert cluster.sent["HintPut"] == 0


def test_a_strict_call_uses_no_stand_ins_of_a_sloppy_table() -> None:
    cluster = five()
    owners, _ = roles(cluster)
    context = done(cluster.put(owners[0], KEY, OLD))
    cluster.crash(owners[1])
    cluster.crash(owners[2])
    refused = cluster.put(owners[0], KEY, NEW, context, strict=True)
    assert isinstance(refused, Failed)
    assert (refused.unknown, refused.needed, refused.got) == (False, 2, 0)
    assert cluster.sent["HintPut"] == 0
    done(cluster.put(owners[0], KEY, NEW, context))
    assert cluster.values(owners[0], KEY) == [NEW], "a fallback's hint counts"
    cluster.hear(owners[0], Get(GET, 900, 0, 0, CART, KEY, b"", 2, True))
    cluster.pass_ms(2000)
    read = cluster.answers[900]
    assert isinstance(read, Failed)
    assert Code(read.code) is Code.QUORUM_NOT_REACHED
    heal(cluster, *owners[1:])
    assert_alike(cluster, KEY, NEW)


def test_a_strict_write_that_loses_an_owner_on_its_way_asks_nobody_else() -> None:
    cluster = five()
    owners, _ = roles(cluster)
    id = cluster.begin_put(owners[0], KEY, NEW, strict=True)
    cluster.crash(owners[1])
    cluster.crash(owners[2])
    cluster.pass_ms(2000)
    failed = cluster.answers[id]
    assert isinstance(failed, Failed)
    assert failed.unknown, "this node has it"
    assert cluster.sent["HintPut"] == 0


def test_nothing_is_asked_of_fallbacks_while_all_owners_are_well() -> None:
    cluster = five()
    for number in range(20):
        key = b"%d" % number
        done(cluster.put(roles(cluster, key)[0][0], key, OLD))
    cluster.pass_ms(2000)
    assert cluster.sent["HintPut"] == 0


def test_a_stand_in_is_asked_when_the_link_to_an_owner_is_lost_on_the_way() -> None:
    cluster = five()
    owners, fallbacks = roles(cluster)
    cluster.hold(owners[0], owners[1])
    cluster.hold(owners[0], owners[2])
    put = cluster.begin_put(owners[0], KEY, NEW, settle=True)
    assert put not in cluster.answers
    cluster.crash(owners[1])
    cluster.settle()
    assert isinstance(cluster.answers[put], PutDone), "the first fallback made it two"
    assert hints(cluster) == {fallbacks[0]: {owners[1]: 1}}


def test_a_silent_owner_is_stood_in_for() -> None:
    """It is stopped: the link stands, nothing comes back. Later writes do not wait at all."""
    cluster = five()
    owners, _ = roles(cluster)
    for owner in owners[1:]:
        cluster.hold(owners[0], owner)
        cluster.hold(owner, owners[0])
    put = cluster.begin_put(owners[0], KEY, NEW, settle=True)
    cluster.pass_ms(SILENT_AFTER_MS + 250)
    assert isinstance(cluster.answers[put], PutDone)
    assert cluster.sent["HintPut"] == 2
    cluster.pass_ms(500)
    second = cluster.begin_put(owners[0], KEY, OLD, settle=True)
    assert isinstance(cluster.answers[second], PutDone), "silence is known by now"
    cluster.release()
    cluster.pass_ms(6000)
    assert hints(cluster) == {}
    assert_alike(cluster, KEY, NEW, OLD)


def test_a_silent_stand_in_is_stood_in_for_as_well() -> None:
    """Any two of five take the write, also if all others are stopped and no link has broken."""
    cluster = five()
    owners, fallbacks = roles(cluster)
    stopped = (*owners[1:], fallbacks[0])
    for node in stopped:
        cluster.hold(owners[0], node)
    put = cluster.begin_put(owners[0], KEY, NEW, settle=True)
    cluster.pass_ms(3 * SILENT_AFTER_MS)
    assert isinstance(cluster.answers[put], PutDone)
    cluster.release()
    cluster.pass_ms(6000)
    assert hints(cluster) == {}
    assert_alike(cluster, KEY, NEW)


def test_a_full_owner_is_stood_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = five()
    owners, fallbacks = roles(cluster)
    engine = cluster.machines[owners[1]].engine
    monkeypatch.setattr(engine._log, "disk_full", True)
    done(cluster.put(owners[0], KEY, NEW, w=3))
    assert hints(cluster) == {fallbacks[0]: {owners[1]: 1}}
    monkeypatch.undo()
    cluster.pass_ms(2000)
    assert_alike(cluster, KEY, NEW)


def test_a_full_fallback_passes_to_the_next() -> None:
    cluster = five(hints_bytes_max=10)
    owners, fallbacks = roles(cluster)
    cluster.machines[fallbacks[1]].kernel.hints._bytes_max = 1 << 20  # type: ignore[union-attr]
    cluster.crash(owners[2])
    done(cluster.put(owners[0], KEY, NEW, w=3))
    assert hints(cluster) == {fallbacks[1]: {owners[2]: 1}}
    assert cluster.machines[fallbacks[0]].meters.hints_refused == 1


def test_a_write_that_w_nodes_took_is_never_refused_for_hints() -> None:
    cluster = five(hints_bytes_max=10)
    owners, _ = roles(cluster)
    cluster.crash(owners[2])
    done(cluster.put(owners[0], KEY, NEW))
    assert hints(cluster) == {}
    failed = cluster.put(owners[0], KEY, OLD, w=3)
    assert isinstance(failed, Failed)
    assert failed.unknown, "two hold it"
    assert "hints full" in {cause for _, cause in failed.causes}


def test_an_owner_and_its_stand_in_are_one_copy() -> None:
    """Else an acknowledged write would be on fewer than W disks once the hint is delivered."""
    cluster = five()
    owners, fallbacks = roles(cluster)
    slow = cluster.machines[owners[1]]
    slow.disk_stopped = True
    cluster.hold(owners[0], owners[2])
    for fallback in fallbacks:
        cluster.machines[fallback].disk_stopped = True
    put = cluster.begin_put(owners[0], KEY, NEW, w=3, settle=True)
    cluster.pass_ms(SILENT_AFTER_MS + 250)
    for name in (owners[1], fallbacks[0]):
        cluster.machines[name].disk_stopped = False
    cluster.settle()
    assert put not in cluster.answers, "two slots of three"
    cluster.machines[fallbacks[1]].disk_stopped = False
    cluster.settle()
    assert isinstance(cluster.answers[put], PutDone)


def test_no_hint_leaves_before_the_coordinators_own_copy_is_durable() -> None:
    cluster = five()
    owners, _ = roles(cluster)
    cluster.crash(owners[2])
    cluster.machines[owners[0]].disk_stopped = True
    cluster.begin_put(owners[0], KEY, NEW, settle=True)
    assert cluster.sent["HintPut"] == 0
    cluster.machines[owners[0]].disk_stopped = False
    cluster.settle()
    assert cluster.sent["HintPut"] == 1


def test_the_last_stand_in_is_lost_before_it_was_asked() -> None:
    """Found by the simulator (seed 1): W had become impossible, and the write waited on."""
    cluster = five()
    owners, fallbacks = roles(cluster)
    for node in (*owners[1:], fallbacks[0]):
        cluster.crash(node)
    cluster.machines[owners[0]].disk_stopped = True
    put = cluster.begin_put(owners[0], KEY, NEW, settle=True)
    assert put not in cluster.answers
    cluster.crash(fallbacks[1])
    cluster.settle()
    failed = cluster.answers[put]
    assert isinstance(failed, Failed)
    assert failed.unknown


def test_a_read_finds_what_stand_ins_keep() -> None:
    cluster = five()
    owners, _ = roles(cluster)
    for node in owners[1:]:
        cluster.crash(node)
    done(cluster.put(owners[0], KEY, NEW))
    assert cluster.values(owners[0], KEY) == [NEW]
    assert cluster.values(owners[0], KEY, r=3) == [NEW]


def test_a_stand_in_that_keeps_nothing_does_not_count() -> None:
    cluster = five()
    owners, _ = roles(cluster)
    done(cluster.put(owners[0], KEY, OLD))
    for node in owners[1:]:
        cluster.crash(node)
    with pytest.raises(AssertionError, match="not an owner, and no hint"):
        cluster.get(owners[0], KEY)


@pytest.fixture
def unheard() -> tuple[KernelCluster, list[NodeId], list[NodeId]]:
    """A cluster of whose owners all but the coordinator are away."""
    cluster = five()
    owners, fallbacks = roles(cluster)
    for node in owners[1:]:
        cluster.crash(node)
    return cluster, owners, fallbacks


def test_the_outcome_of_a_write_counts_hints(
    unheard: tuple[KernelCluster, list[NodeId], list[NodeId]],
) -> None:
    cluster, owners, _ = unheard
    operation = cluster.operation()
    done(cluster.put(owners[0], KEY, NEW, operation=operation))
    cluster.lose_disk(owners[0])
    cluster.start(owners[1])
    cluster.crash(owners[1])
    heal(cluster, *owners)
    assert cluster.outcome(owners[1], KEY, operation) == "applied"
    assert_alike(cluster, KEY, NEW)


def test_not_applied_needs_word_from_all_who_may_keep_a_hint() -> None:
    cluster = five()
    owners, fallbacks = roles(cluster)
    cluster.crash(fallbacks[1])
    never = cluster.operation()
    assert cluster.outcome(owners[0], KEY, never) == "unknown"
    cluster.start(fallbacks[1])
    assert cluster.outcome(owners[0], KEY, never) == "not applied"


def test_hints_survive_crashes_and_power_loss_of_those_who_keep_them() -> None:
    cluster = five()
    owners, fallbacks = roles(cluster)
    cluster.crash(owners[2])
    done(cluster.put(owners[0], KEY, NEW))
    cluster.crash(fallbacks[0])
    cluster.start(fallbacks[0])
    assert hints(cluster) == {fallbacks[0]: {owners[2]: 1}}
    heal(cluster, owners[2])
    assert_alike(cluster, KEY, NEW)


def test_a_hint_is_kept_until_its_owner_has_it_durably() -> None:
    cluster = five()
    owners, fallbacks = roles(cluster)
    cluster.crash(owners[2])
    done(cluster.put(owners[0], KEY, NEW))
    cluster.machines[owners[2]].disk_stopped = True
    cluster.start(owners[2])
    cluster.machines[owners[2]].disk_stopped = True
    cluster.pass_ms(1000)
    assert hints(cluster) == {fallbacks[0]: {owners[2]: 1}}
    cluster.crash(owners[2])
    heal(cluster, owners[2])
    assert hints(cluster) == {}
    assert_alike(cluster, KEY, NEW)


def test_only_members_hand_hints() -> None:
    cluster = five()
    owners, fallbacks = roles(cluster)
    cluster.crash(owners[2])
    cluster.hold(owners[0], fallbacks[0])
    cluster.begin_put(owners[0], KEY, NEW, settle=True)
    (hint,) = [message for _, _, message in cluster.wires if isinstance(message, HintPut)]
    with pytest.raises(AssertionError, match="not for you to send here"):
        cluster.hear(fallbacks[1], hint)
    assert cluster.place(KEY, CART)[1] == hint.key


def test_a_gap_stays_open_while_a_fallback_keeps_what_lies_in_it() -> None:
    """A coordinator shipped a write, forgot it in a crash, and only a hint has it (seed 25)."""
    cluster = five()
    (first, second, third), (fallback, _) = roles(cluster)
    cluster.stop(third)
    for number in range(4):
        context = done(cluster.put(first, KEY, b"%d" % number, cluster.get(second, KEY).context))
        cluster.crash(first)
        cluster.start(first)
    cluster.start(third)
    cluster.pass_ms(3000)
    record = cluster.record(first, KEY)
    ((actor, gaps),) = record.history.gaps.items()
    lost = Value(actor, gaps[-1][0], Stamp(1), cluster.operation(), b"acknowledged")
    hinted = encode_record(Record(History({actor: lost.counter}, NO_GAPS), 0, {}, (lost,)))
    hint = HintPut(HINT_PUT, 8, cluster.place(KEY)[1], hinted, b"", second)
    cluster.hear(fallback, hint, first)
    context = done(cluster.put(first, KEY, b"new", context))
    assert gaps_in(context) >= GAPS_MAX
    assert cluster.record(first, KEY).history.gaps, "somebody keeps what lies in one"
    cluster.pass_ms(3000)
    assert cluster.values(third, KEY, r=3) == [b"acknowledged", b"new"]
    context = done(cluster.put(first, KEY, b"merged", cluster.get(first, KEY).context))
    assert not cluster.record(first, KEY).history.gaps, "all agree, and nobody keeps a hint"
