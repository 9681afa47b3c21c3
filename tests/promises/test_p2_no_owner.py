"""P2 when no owner of an item is reachable: writes go on while any W nodes with room are.

n1 … n5 with N/R/W 3/2/2; the three owners of an item are down, and the other two coordinate.
"""

from dataclasses import replace

import pytest
from kernel_cluster import CART, SESSION, KernelCluster, done, gaps_in, small

from dynamo.coordination.outcomes import APPLIED, NOT_APPLIED
from dynamo.errors import Code
from dynamo.messages import GET, PUT, Failed, Get, GetDone, Put
from dynamo.repair.hints import hint_key
from dynamo.siblings.codec import decode_record, encode_record
from dynamo.siblings.record import NOTHING
from dynamo.types import NodeId

KEY = b"cart of alice"
LATER_MS = 1500
"""More than twice what clocks differ."""


class Away:
    """Five nodes, and an item whose owners are all down."""

    def __init__(self, *, hints_bytes_max: int = 1 << 20, tombstone_age_ms: int = 86_400_000):
        config = small(5)
        nodes = tuple(
            replace(node, limits=replace(node.limits, hints_bytes_max=hints_bytes_max))
            for node in config.nodes
        )
        tables = tuple(replace(table, sloppy=table.id != SESSION) for table in config.tables)
        timing = replace(config.timing, tombstone_age_ms=tombstone_age_ms)
        self.cluster = KernelCluster(5, replace(config, nodes=nodes, tables=tables, timing=timing))
        order = self.cluster.ring.owners[self.cluster.place(KEY)[0]]
        self.owners, (self.one, self.other) = list(order[:3]), order[3:]
        self.cluster.pass_ms(LATER_MS)

    def down(self) -> "Away":
        """All owners."""
        for owner in self.owners:
            self.cluster.crash(owner)
        return self

    def heal(self) -> None:
        """All are back, and handoff has had its time."""
        for owner in self.owners:
            self.cluster.start(owner)
        self.cluster.pass_ms(3000)
        assert not any(self.kept(node) for node in self.cluster.machines)

    def kept(self, node: NodeId) -> int:
        """How many hints."""
        return self.cluster.kernel(node).hints.count()

    def held(self) -> list[list[bytes]]:
        """The values at each owner."""
        records = [self.cluster.record(owner, KEY) for owner in self.owners]
        return [sorted(value.payload or b"" for value in record.values) for record in records]


def test_a_write_goes_on_and_reaches_all_owners_when_they_are_back() -> None:
    world = Away().down()
    cluster = world.cluster
    done(cluster.put(world.one, KEY, b"apples"))
    assert (world.kept(world.one), world.kept(world.other)) == (1, 1)
    assert cluster.machines[world.one].meters.coordinated_away == 1
    world.heal()
    assert world.held() == [[b"apples"]] * 3


def test_it_is_read_where_it_was_written() -> None:
    world = Away().down()
    cluster = world.cluster
    context = done(cluster.put(world.one, KEY, b"apples"))
    assert cluster.values(world.one, KEY) == [b"apples"]
    assert cluster.values(world.other, KEY) == [b"apples"]
    done(cluster.put(world.other, KEY, b"pears", context))
    assert cluster.values(world.one, KEY) == [b"pears"]
    world.heal()
    assert world.held() == [[b"pears"]] * 3


def test_what_nobody_keeps_is_not_denied() -> None:
    world = Away().down()
    world.cluster.hear(world.one, Get(GET, 900, 0, 0, CART, KEY, b"", 2))
    world.cluster.settle()
    answer = world.cluster.answers[900]
    assert isinstance(answer, Failed)
    assert Code(answer.code) is Code.QUORUM_NOT_REACHED


def test_what_owners_hold_stays_beside_it() -> None:
    world = Away()
    done(world.cluster.put(world.owners[0], KEY, b"before"))
    world.down()
    done(world.cluster.put(world.one, KEY, b"meanwhile"))
    world.heal()
    assert world.held() == [[b"before", b"meanwhile"]] * 3


def test_a_context_of_before_is_honoured() -> None:
    world = Away()
    context = done(world.cluster.put(world.owners[0], KEY, b"before"))
    world.down()
    done(world.cluster.put(world.one, KEY, b"after", context))
    world.heal()
    assert world.held() == [[b"after"]] * 3


def test_w_nodes_are_needed_all_the_same() -> None:
    world = Away().down()
    world.cluster.crash(world.other)
    refused = world.cluster.put(world.one, KEY, b"apples")
    assert isinstance(refused, Failed)
    assert (Code(refused.code), refused.unknown) == (Code.QUORUM_NOT_REACHED, False)
    assert (refused.needed, refused.got, len(refused.causes)) == (2, 0, 3)
    assert world.kept(world.one) == 0


def test_an_owner_that_can_be_reached_coordinates() -> None:
    world = Away().down()
    cluster = world.cluster
    cluster.start(world.owners[2])
    done(cluster.put(world.one, KEY, b"apples"))
    assert cluster.machines[world.one].meters.coordinated_away == 0
    assert cluster.record(world.owners[2], KEY).values


@pytest.mark.parametrize("table", [CART, SESSION])
def test_a_strict_write_wants_owners(table: int) -> None:
    world = Away()
    cluster = world.cluster
    owners = cluster.ring.owners[cluster.place(KEY, SESSION)[0]][:3]
    for node in owners if table == SESSION else world.owners:
        cluster.crash(node)
    at = next(node for node, machine in cluster.machines.items() if machine.kernel is not None)
    refused = cluster.put(at, KEY, b"apples", table=table, strict=table == CART)
    assert isinstance(refused, Failed)
    assert (Code(refused.code), refused.unknown) == (Code.NOT_SERVING, False)


def test_a_stand_in_takes_nothing_that_it_forgot_for_seen() -> None:
    """Its first hint is handed over to one owner only, and dropped; then it writes once more."""
    world = Away().down()
    cluster = world.cluster
    done(cluster.put(world.one, KEY, b"first"))
    cluster.start(world.owners[0])
    cluster.pass_ms(3000)
    record = cluster.record(world.owners[0], KEY)
    assert [value.payload for value in record.values] == [b"first"]
    assert world.kept(world.one) == 0
    cluster.crash(world.owners[0])
    done(cluster.put(world.one, KEY, b"second"))
    world.heal()
    assert world.held() == [[b"first", b"second"]] * 3


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_neither_does_a_later_start_of_it(how: str) -> None:
    world = Away().down()
    cluster = world.cluster
    done(cluster.put(world.one, KEY, b"first"))
    getattr(cluster, how)(world.one)
    cluster.start(world.one)
    boot = cluster.machines[world.one].boot
    assert boot is not None
    assert boot.unclean_epoch == boot.epoch == 2, "what it issued before may be unknown to it"
    cluster.pass_ms(LATER_MS)
    done(cluster.put(world.one, KEY, b"second"))
    world.heal()
    assert world.held() == [[b"first", b"second"]] * 3


def test_a_hint_that_is_on_its_disk_counts_after_a_crash() -> None:
    world = Away().down()
    done(world.cluster.put(world.one, KEY, b"apples"))
    for node in (world.one, world.other):
        world.cluster.crash(node)
        world.cluster.start(node)
    assert world.cluster.values(world.one, KEY) == [b"apples"]


def test_no_hint_leaves_before_it_is_durable_here() -> None:
    world = Away().down()
    cluster = world.cluster
    cluster.machines[world.one].disk_stopped = True
    id = cluster.begin_put(world.one, KEY, b"apples", settle=True)
    assert id not in cluster.answers
    assert cluster.sent["HintPut"] == 0
    cluster.machines[world.one].disk_stopped = False
    cluster.settle()
    done(cluster.answers[id])
    assert cluster.sent["HintPut"] == 1


def test_a_retry_is_one_write() -> None:
    world = Away()
    cluster = world.cluster
    operation = cluster.operation()
    done(cluster.put(world.owners[0], KEY, b"apples", operation=operation))
    world.down()
    cluster.hear(
        world.one, Put(PUT, 901, 0, 0, CART, KEY, b"", None, b"apples", operation, 0, False, True)
    )
    cluster.settle()
    done(cluster.answers[901])
    world.heal()
    assert cluster.values(world.owners[1], KEY) == [b"apples"]


def test_what_was_denied_on_its_word_is_not_begun() -> None:
    """Before the owners went down somebody had asked what became of the operation."""
    world = Away()
    cluster, operation = world.cluster, world.cluster.operation()
    assert cluster.outcome(world.owners[0], KEY, operation) == NOT_APPLIED
    world.down()
    refused = cluster.put(world.one, KEY, b"late", operation=operation)
    assert isinstance(refused, Failed)
    assert (Code(refused.code), refused.unknown) == (Code.NOT_SERVING, False)
    cluster.pass_ms(LATER_MS)
    done(cluster.put(world.one, KEY, b"new"))
    world.heal()
    assert world.held() == [[b"new"]] * 3


def test_nor_is_what_an_earlier_start_may_have_denied() -> None:
    world = Away()
    cluster, operation = world.cluster, world.cluster.operation()
    assert cluster.outcome(world.owners[0], KEY, operation) == NOT_APPLIED
    cluster.crash(world.one)
    cluster.start(world.one)
    world.down()
    refused = cluster.put(world.one, KEY, b"late", operation=operation)
    assert isinstance(refused, Failed)
    assert Code(refused.code) is Code.NOT_SERVING


def test_an_operation_that_owners_may_have_forgotten_is_not_begun() -> None:
    world = Away(tombstone_age_ms=2000)
    operation = world.cluster.operation()
    world.down().cluster.pass_ms(2001)
    refused = world.cluster.put(world.one, KEY, b"old", operation=operation)
    assert isinstance(refused, Failed)
    assert (Code(refused.code), refused.unknown) == (Code.WRITE_TOO_OLD, False)


def test_its_bound_on_hints_holds_for_its_own_too() -> None:
    world = Away(hints_bytes_max=100).down()
    refused = world.cluster.put(world.one, KEY, b"apples")
    assert isinstance(refused, Failed)
    assert (Code(refused.code), refused.unknown) == (Code.NOT_SERVING, False)
    assert "hints full" in refused.message


def test_what_became_of_it_is_known_while_it_is_handed_over() -> None:
    world = Away().down()
    cluster, operation = world.cluster, world.cluster.operation()
    done(cluster.put(world.one, KEY, b"apples", operation=operation))
    for owner in world.owners:
        cluster.start(owner)
    assert cluster.outcome(world.owners[0], KEY, operation) == APPLIED
    cluster.pass_ms(3000)
    assert world.held() == [[b"apples"]] * 3


def test_concurrent_writes_at_both_become_siblings() -> None:
    world = Away().down()
    cluster = world.cluster
    done(cluster.put(world.one, KEY, b"one"))
    done(cluster.put(world.other, KEY, b"other"))
    done(cluster.put(world.one, KEY, b"third"))
    cluster.hear(world.one, Get(GET, 902, 0, 0, CART, KEY, b"", 2))
    cluster.settle()
    read = cluster.answers[902]
    assert isinstance(read, GetDone)
    assert sorted(read.payloads) == [b"one", b"other", b"third"]
    world.heal()
    assert world.held() == [[b"one", b"other", b"third"]] * 3


def test_hints_are_all_that_it_leaves_behind() -> None:
    world = Away().down()
    cluster = world.cluster
    done(cluster.put(world.one, KEY, b"apples"))
    assert not cluster.record(world.one, KEY).values
    hints = cluster.kernel(world.one).hints.page(world.owners[0], cluster.place(b"")[1][:0])
    assert [decode_record(hint.record).values[0].payload for hint in hints] == [b"apples"]


def test_it_repairs_nothing_of_what_it_does_not_own() -> None:
    """Neither after a write that failed nor after a read that found two answers."""
    world = Away().down()
    cluster = world.cluster
    done(cluster.put(world.one, KEY, b"one"))
    cluster.machines[world.other].disk_stopped = True
    id = cluster.begin_put(world.one, KEY, b"partial", settle=True)
    while id not in cluster.answers:
        cluster.pass_ms(1)
    assert cluster.kernel(world.one).status()["repairs_queued"] == 0
    failed = cluster.answers[id]
    assert isinstance(failed, Failed)
    assert failed.unknown
    cluster.crash(world.other)
    cluster.start(world.other)
    assert cluster.values(world.one, KEY) == [b"one", b"partial"]
    for node in (world.one, world.other):
        assert cluster.kernel(node).status()["repairs_queued"] == 0
        assert not cluster.record(node, KEY).values
    world.heal()
    assert world.held() == [[b"one", b"partial"]] * 3


def test_a_damaged_hint_is_no_ground_to_write_on() -> None:
    world = Away().down()
    cluster = world.cluster
    done(cluster.put(world.one, KEY, b"apples"))
    engine = cluster.machines[world.one].engine
    assert engine is not None
    place = hint_key(world.owners[0], cluster.place(KEY)[1])
    engine.put(place, encode_record(NOTHING)[:-1] + b"\xff", None)
    cluster.settle()
    refused = cluster.put(world.one, KEY, b"pears")
    assert isinstance(refused, Failed)
    assert (Code(refused.code), refused.unknown) == (Code.NOT_SERVING, False)
    assert cluster.kernel(world.one).status()["repairs_queued"] == 0


def test_items_of_one_partition_leave_no_gap_in_each_other() -> None:
    """Their dots are of one sequence, and hints of both are kept."""
    world = Away().down()
    cluster = world.cluster
    partition = cluster.place(KEY)[0]
    other = next(key for n in range(10_000) if cluster.place(key := b"%d" % n)[0] == partition)
    contexts = {KEY: b"", other: b""}
    for number in range(20):
        for key in (KEY, other):
            contexts[key] = done(cluster.put(world.one, key, b"%d" % number, contexts[key]))
    assert [gaps_in(context) for context in contexts.values()] == [0, 0]


def test_who_was_asked_itself_remembers_its_word_too() -> None:
    world = Away()
    cluster, operation = world.cluster, world.cluster.operation()
    assert cluster.outcome(world.owners[0], KEY, operation) == NOT_APPLIED
    denied = cluster.kernel(world.owners[0]).scope.denied
    assert denied.may_cover(cluster.place(KEY)[1], operation, 0)
