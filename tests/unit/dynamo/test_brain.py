"""Ring changes end to end in the core: joins, leaves, barriers, restarts, cancelled and forced."""

import pytest
from brain_cluster import (
    CLIENT,
    KEYS,
    N1,
    N2,
    N3,
    N4,
    N5,
    BrainCluster,
    is_ring_error,
    joining_cluster,
    place_of,
    written_cluster,
)

from dynamo.membership.paxos import Decided, Voter
from dynamo.membership.topology import FORCED_STEP, founding, sworn_in
from dynamo.membership.words import as_fields
from dynamo.messages import (
    FAILED,
    REPLICA_PUT,
    Received,
    ReplicaPut,
)
from dynamo.messages_members import EPOCH_WORD, ClientEpoch, EpochWord
from dynamo.ring.placement import plan
from dynamo.ring.ring import Member
from dynamo.types import Actor, ItemKey

FOURTH = Member(N4, "n4", "", 1.0)


def moving_key(cluster: BrainCluster) -> bytes:
    """A key whose partition n4 gains."""
    rings = cluster.brains[N1].kernel.scope.rings
    return next(key for key in KEYS if rings.extra(cluster.key_of(key)[0], 3))


def test_a_node_joins_and_everything_is_readable_through_it() -> None:
    cluster = joining_cluster()
    assert set(cluster.epochs().values()) == {2}
    cluster.pass_ms(2000)
    assert set(cluster.epochs().values()) == {3}
    ring = cluster.brains[N4].topology.ring
    assert [member.node for member in ring.members] == [N1, N2, N3, N4]
    assert len(ring.primaries_of(N4, 3)) == 12
    for key in KEYS:
        assert cluster.read(N4, key) == (b"old",)
        partition, item = cluster.key_of(key)
        if N4 in ring.preference_list(partition, 3):
            assert cluster.stores[N4].get(item) is not None


def test_writes_and_reads_go_on_while_the_data_moves() -> None:
    cluster = joining_cluster()
    for number, key in enumerate(KEYS):
        node = (N1, N2, N3, N4)[number % 4]
        cluster.written(node, key, b"new")
    for key in KEYS:
        assert b"new" in cluster.read(N3, key)
    cluster.pass_ms(2000)
    for key in KEYS:
        assert b"new" in cluster.read(N4, key)


def test_a_member_leaves_and_is_a_stranger_then() -> None:
    cluster = joining_cluster()
    cluster.pass_ms(2000)
    answer = cluster.order(N1, "leave", N2)
    assert answer is not None
    assert answer.verdict == "won"
    cluster.pass_ms(2000)
    assert set(cluster.epochs().values()) == {5}
    assert cluster.brains[N1].topology.members == (N1, N3, N4)
    for key in KEYS:
        assert cluster.read(N1, key) == (b"old",)
    # Who has left holds no partition; what it is asked it passes on to an owner.
    assert cluster.read(N2, KEYS[0]) == (b"old",)


def test_who_was_held_suspect_and_has_left_is_held_no_more() -> None:
    """Found by seed 9 of a swarm of joins and leaves: the detector of the new ring met a stranger
    among those that the old one held."""
    cluster = joining_cluster()
    cluster.pass_ms(2000)
    cluster.order(N1, "leave", N2)
    for name in (N1, N3, N4):
        kernel = cluster.brains[name].kernel
        kernel.scope.peers.held.add(N2)
        kernel.lookout._detector._watches[N2].held_until_ms = float("inf")
    cluster.pass_ms(2000)
    assert set(cluster.epochs().values()) == {5}
    for name in (N1, N3, N4):
        assert not cluster.brains[name].kernel.scope.peers.held


def test_what_a_node_thinks_of_the_others_outlives_a_change() -> None:
    cluster = written_cluster()
    cluster.pass_ms(1000)
    cluster.stop(N3)
    cluster.pass_ms(8000)
    before = cluster.brains[N1].kernel.status()["members"]
    assert before[N3]["state"] == "dead"
    answer = cluster.join(N2, N4)
    assert answer is not None
    assert answer.verdict == "won"
    after = cluster.brains[N1].kernel.status()["members"]
    assert after[N3] == before[N3]
    cluster.pass_ms(100)
    after = cluster.brains[N1].kernel.status()["members"]
    assert after[N4]["state"] == "alive", "and a newcomer is watched from now on"


def test_during_a_change_a_write_needs_both_sides() -> None:
    """With n4 and one more away, three of the four owners cannot be had."""
    cluster = joining_cluster()
    key = moving_key(cluster)
    cluster.stop(N4)
    cluster.written(N1, key, b"three old owners are two of either side")
    cluster.stop(N3)
    answer = cluster.put(N1, key, b"x")
    assert answer.kind == FAILED
    assert answer.needed == 3


def test_what_is_under_way_when_a_ring_comes_is_to_be_asked_again() -> None:
    cluster = written_cluster()
    cluster.hold(N2)
    cluster.hold(N3)
    put = cluster.put(N1, KEYS[0], b"waits for an acknowledgement")
    assert put is None
    topology_before = cluster.brains[N1].topology
    # The others decide without n1 having heard of it; then it hears of the epoch.
    waiting = {name: cluster.held.pop(name) for name in (N2, N3)}
    answer = cluster.join(N2, N4)
    assert answer is not None
    assert answer.verdict == "won"
    assert cluster.brains[N1].topology.epoch == topology_before.epoch + 1
    (told,) = [word for word in cluster.answers.values() if is_ring_error(word, unknown=True)]
    assert told.id == max(id for id in cluster.answers if id < answer.id)
    assert waiting


def test_who_has_not_heard_of_the_change_gets_no_quorum_and_hears_of_it() -> None:
    cluster = written_cluster()
    cluster.hold(N3)
    answer = cluster.join(N1, N4)
    assert answer is not None
    assert answer.verdict == "won"
    assert cluster.epochs() == {N1: 2, N2: 2, N3: 1, N4: 2}
    # n3 still coordinates by the old ring: its replicas refuse, and tell it.
    cluster.put(N3, moving_key(cluster), b"by the old ring")
    assert cluster.epochs()[N3] == 1
    cluster.release(N3)
    assert cluster.epochs()[N3] == 2
    assert [word for word in cluster.answers.values() if is_ring_error(word, unknown=True)]


def test_of_two_joins_ordered_at_once_one_wins_and_the_other_is_told() -> None:
    cluster = written_cluster()
    cluster.add(N5)
    fields = {node: (node, "", "", 1.0, *place_of(node)) for node in (N4, N5)}
    for node in (N1, N2, N3):
        cluster.hold(node)
    assert cluster.order(N1, "join", *fields[N4]) is None
    assert cluster.order(N2, "join", *fields[N5]) is None
    for node in (N1, N2, N3):
        cluster.release(node)
    cluster.pass_ms(3000)
    told = [word for word in cluster.answers.values() if hasattr(word, "verdict")]
    assert sorted(word.verdict for word in told) == ["lost", "won"]
    assert len({word.text.partition(": ")[2] for word in told}) == 1
    assert len(cluster.brains[N1].topology.members) == 4


def test_a_newcomer_that_starts_again_goes_on_where_it_was() -> None:
    cluster = joining_cluster()
    transfers = cluster.brains[N4].kernel.status()["transfers"]
    cluster.pass_ms(1)
    cluster.stop(N4)
    cluster.start(N4, cluster.first)
    again = cluster.brains[N4].kernel.status()["transfers"]
    assert again["copied"] >= transfers["copied"]
    assert again["of"] == 12
    cluster.settle()
    cluster.pass_ms(2000)
    assert set(cluster.epochs().values()) == {3}
    for key in KEYS:
        assert cluster.read(N4, key) == (b"old",)


def strays(cluster: BrainCluster) -> int:
    """Records that nodes hold of items that they do not own."""
    ring = cluster.brains[N1].topology.ring
    return sum(
        cluster.stores[name].get(item) is not None
        for key in KEYS
        for partition, item in (cluster.key_of(key),)
        for name in cluster.brains
        if name not in ring.preference_list(partition, 3)
    )


def test_former_owners_drop_what_they_own_no_more() -> None:
    cluster = joining_cluster()
    cluster.pass_ms(5000)
    assert set(cluster.epochs().values()) == {3}
    assert strays(cluster) == 0
    meters = [cluster.brains[name].kernel.scope.meters for name in (N1, N2, N3)]
    assert sum(each.strays_dropped for each in meters) > 20
    for key in KEYS:
        assert cluster.read(N1, key) == (b"old",)


def test_what_only_a_former_owner_holds_comes_to_the_present_owners() -> None:
    """The last copy of a sloppy write whose hint was on a disk that is lost (P1)."""
    cluster = joining_cluster()
    cluster.pass_ms(1000)
    assert set(cluster.epochs().values()) == {3}
    ring = cluster.brains[N1].topology.ring
    orphan, item = next(
        (key, cluster.key_of(key)[1])
        for key in (b"orphan-%d" % number for number in range(100))
        if N1 not in ring.preference_list(cluster.key_of(key)[0], 3)
    )
    record = cluster.stores[N1].get(cluster.key_of(KEYS[0])[1])
    assert record is not None
    put = ReplicaPut(REPLICA_PUT, 8, item, record, b"")
    cluster.feed(N1, Received(N2, (tuple(put),)))
    cluster.settle()
    assert cluster.read(N4, orphan) == (), "no owner knows it"
    cluster.pass_ms(cluster.config.timing.exchange_interval_ms + 5000, 1000)
    assert cluster.read(N4, orphan) == (b"old",)
    assert cluster.stores[N1].get(item) is None


def test_a_change_waits_for_a_newcomer_that_is_away_says_so_and_can_be_cancelled() -> None:
    cluster = written_cluster()
    del cluster.brains[N4]
    assert cluster.join(N1, N4) is not None
    cluster.pass_ms(2000)
    change = cluster.brains[N1].kernel.status()["change"]
    assert change["partitions"] == 12
    assert change["ready"] == 0
    assert [*change["waiting"]] == ["n4 has not reported that it holds epoch 2"]
    answer = cluster.order(N3, "cancel")
    assert answer is not None
    assert answer.verdict == "won"
    assert cluster.epochs() == {N1: 3, N2: 3, N3: 3}
    assert cluster.brains[N1].topology.members == (N1, N2, N3)
    cluster.written(N1, KEYS[0], b"goes on")


def test_a_forced_end_is_a_ring_without_proof_and_what_was_not_copied_is_rebuilt() -> None:
    cluster = joining_cluster()
    cluster.stop(N3)
    cluster.stop(N2)
    answer = cluster.order(N1, "force", N2, N3)
    assert answer is not None
    assert answer.epoch == 3 + FORCED_STEP
    cluster.pass_ms(100)
    # Nothing was heard of n4 before the end was forced; now it has asked for its vote.
    assert cluster.epochs() == {N1: 4 + FORCED_STEP, N4: 4 + FORCED_STEP}
    assert [voter.node for voter in cluster.brains[N1].topology.voters] == [N1, N4]


@pytest.mark.parametrize(
    "key", [b"\x00\x01\x55\x00\x00\x01k\x00\x01", b"\xff\x01\x00\x00\x00\x01k\x00\x01"]
)
def test_a_key_that_is_damaged_itself_is_repaired_by_nobody_and_stops_nothing(key: bytes) -> None:
    """Of no table, or of no partition: a flipped byte in a key of LMDB."""
    cluster = written_cluster()
    repairs = cluster.brains[N1].kernel._repairs
    repairs.request(ItemKey(key), cluster.now_ms)
    cluster.pass_ms(1000)
    assert repairs.queued() == 0
    cluster.written(N1, KEYS[0], b"goes on")


def test_a_lost_disk_takes_no_vote_along() -> None:
    cluster = written_cluster()
    for name in (N1, N2, N3):
        cluster.lose_disk(name)
        cluster.pass_ms(3000)
        cluster.settle()
        assert cluster.brains[name].kernel.missing_partitions() == 0
    topologies = {cluster.brains[name].topology for name in (N1, N2, N3)}
    (topology,) = topologies
    assert topology.epoch == 4
    assert [voter.incarnation for voter in topology.voters] == ["b", "b", "b"]
    rings = cluster.brains[N1].kernel.scope.rings
    assert rings.never_changed, "tombstones still go, for nobody else ever held anything"
    answer = cluster.join(N1, N4)
    assert answer is not None
    assert answer.verdict == "won"
    for key in KEYS:
        assert cluster.read(N1, key) == (b"old",)


def test_a_new_life_with_another_cluster_yml_takes_over_the_ring_that_is_in_force() -> None:
    cluster = written_cluster()
    ring = cluster.brains[N1].topology.ring
    members = [m._replace(weight=3.0 if m.node == N2 else 1.0) for m in (*ring.members, FOURTH)]
    edited = founding(plan(members, ring.partitions, 3).ring)
    assert edited.ring.owners != ring.owners
    cluster.lose_disk(N2, edited)
    cluster.pass_ms(6000)
    topology = cluster.brains[N2].topology
    assert topology == cluster.brains[N1].topology
    assert topology.ring == ring.at(topology.epoch)
    assert topology.voters[1] == ("n2", "b")
    for key in KEYS:
        assert cluster.read(N2, key) == (b"old",)


def test_no_reader_is_refused_for_lost_disks_alone() -> None:
    cluster = written_cluster()
    for name in (N1, N2):
        cluster.lose_disk(name)
        cluster.pass_ms(3000)
    assert cluster.brains[N3].topology.epoch == 3
    assert not any(cluster.brains[name].council.is_barred(CLIENT) for name in (N1, N2, N3))


def test_what_is_vouched_for_is_durable_in_the_next_ring_too() -> None:
    """A settled vector that no sync has reached yet when an epoch is adopted (P6)."""
    cluster = written_cluster()
    kernel = cluster.brains[N1].kernel
    name = next(iter(kernel._known.trees.names()))
    kernel._known.settled.take(name, {Actor("n9/a"): 7})
    topology = sworn_in(kernel._tenure.council.topology, Voter(N2, "b"))  # type: ignore[union-attr]
    word = EpochWord(EPOCH_WORD, *as_fields(Decided(topology.epoch, topology.encoded())))
    cluster.feed(N1, Received(N2, (tuple(word),)))
    settled = cluster.brains[N1].kernel._known.settled
    assert cluster.brains[N1].kernel is not kernel
    assert settled.taken(name) == {"n9/a": 7}
    assert settled.durable(name) == {}
    cluster.settle()
    assert settled.durable(name) == {"n9/a": 7}


def test_a_disk_lost_while_a_newcomer_is_waited_for_takes_no_vote_along_either() -> None:
    cluster = written_cluster()
    del cluster.brains[N4]
    assert cluster.join(N1, N4) is not None
    for name in (N2, N3):
        cluster.lose_disk(name)
        cluster.pass_ms(3000)
        cluster.settle()
    assert cluster.epochs() == {N1: 4, N2: 4, N3: 4}
    assert cluster.brains[N1].topology.change.startswith("join n4")
    answer = cluster.order(N3, "cancel")
    assert answer is not None
    assert answer.verdict == "won"


def test_where_most_voters_lost_their_disks_at_once_an_operator_takes_their_votes() -> None:
    cluster = written_cluster()
    cluster.stop(N3)
    cluster.lose_disk(N2)
    cluster.pass_ms(9000)
    assert cluster.epochs() == {N1: 1, N2: 1, N4: 1}
    answer = cluster.order(N1, "force", N2, N3)
    assert answer is not None
    assert answer.text == "epoch 1001 is decided: forced: founded"
    cluster.pass_ms(3000)
    assert cluster.brains[N1].topology.epoch == 1002
    assert [voter.node for voter in cluster.brains[N1].topology.voters] == [N1, N2]


def test_where_more_disks_were_lost_than_w_allows_what_is_left_counts_once_they_are_given_up() -> (
    None
):
    cluster = written_cluster()
    del cluster.brains[N4]
    for name in (N2, N3):
        cluster.lose_disk(name)
    cluster.pass_ms(9000)
    assert all(cluster.brains[name].kernel.missing_partitions() for name in (N2, N3))
    assert cluster.order(N1, "force", N2, N3) is not None
    cluster.pass_ms(9000)
    cluster.settle()
    assert [voter.node for voter in cluster.brains[N3].topology.voters] == [N1, N2, N3]
    for name in (N2, N3):
        assert not cluster.brains[name].kernel.missing_partitions()
        assert [cluster.read(name, key) for key in KEYS] == [(b"old",)] * len(KEYS)
    cluster.lose_disk(N2)
    cluster.stop(N3)
    cluster.pass_ms(9000)
    assert cluster.brains[N2].kernel.missing_partitions(), "another loss has not been given up"


def test_who_was_called_lost_and_is_not_gets_its_vote_again() -> None:
    cluster = written_cluster()
    assert cluster.order(N2, "force", N1, N2, N3) is not None
    cluster.pass_ms(3000)
    topology = cluster.brains[N2].topology
    assert topology.epoch == 1 + FORCED_STEP + 2, "n1 and n3, one after the other"
    assert [voter.node for voter in topology.voters] == [N1, N2, N3]


def test_what_cannot_be_is_refused_with_a_sentence() -> None:
    cluster = joining_cluster()
    for fields, reason in (
        (("join", N5, "", "", 1.0, *place_of(N5)), "a change is under way (join n4"),
        (("cancel",), "it was planned on epoch 1, but 2 is in force"),
    ):
        answer = cluster.order(N1, *fields, epoch=1 if fields == ("cancel",) else 0)
        assert answer is not None
        assert answer.verdict == "refused"
        assert answer.text.startswith(reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (("cancel",), "no change is under way"),
        (("force",), "no change is under way"),
        (("force", "n22"), "no member is called n22; votes have n1, n2, n3"),
        (("leave", N4), "no member is called n4"),
        (("leave", N1), "leave n1 leaves 2 members that hold data"),
        (("leave",), "no change is called 'leave' with 0 fields"),
        (("dance", N1), "no change is called 'dance'"),
        (("join", N4, "", "", 1.0, "", 0), "a newcomer needs an address and a port"),
        (("join", N4, "", "", "heavy", "h", 1), "a newcomer is a name, a host, a zone"),
        (("join", "", "", "", 1.0, "h", 1), "the newcomer"),
        (("join", N1, "", "", 1.0, "h", 1), "n1 is a member already"),
        (("join", N4, "", "", 1.0, "127.0.0.1", 7401), "127.0.0.1:7401 is where n2 is reached"),
        (("replace", N3, N4, "", "", 1.0, "127.0.0.1", 7401), "127.0.0.1:7401 is where n2 is"),
        (("weight", N1, 1.0), "n1 has the weight 1 already"),
    ],
    ids=str,
)
def test_an_order_that_anybody_may_have_sent_is_checked(
    fields: tuple[object, ...], reason: str
) -> None:
    answer = BrainCluster().order(N1, *fields)  # type: ignore[arg-type]
    assert answer is not None
    assert answer.verdict == "refused"
    assert answer.text.startswith(reason)


def test_a_newcomer_may_listen_where_the_dead_one_did() -> None:
    cluster = written_cluster()
    cluster.stop(N3)
    answer = cluster.order(N1, "replace", N3, N4, "", "", 1.0, "127.0.0.1", 7402)
    assert answer is None or answer.verdict == "won"


def received(message: ClientEpoch) -> Received:
    return Received(CLIENT, (tuple(message),))
