"""Who may ask by which ring: links and clients that have not spoken for the newest joint epoch."""

import pytest
from brain_cluster import CLIENT, KEYS, N1, N2, N3, N4, joining_cluster

from dynamo.errors import Code
from dynamo.messages import (
    FAILED,
    REPLICA_GET,
    REPLICA_PUT,
    REPLICA_REFUSED,
    PeerDown,
    PeerUp,
    Received,
    ReplicaGet,
    ReplicaPut,
    Send,
)
from dynamo.messages_members import CLIENT_EPOCH, ClientEpoch, EpochWord
from dynamo.ports import BEHIND
from dynamo.repair.hints import Hint
from dynamo.types import Instant


@pytest.mark.parametrize("kind", [REPLICA_GET, REPLICA_PUT])
def test_a_link_that_has_not_spoken_for_the_joint_epoch_is_refused(kind: int) -> None:
    cluster = joining_cluster()
    _, item = cluster.key_of(KEYS[0])
    record = cluster.stores[N1].get(item)
    assert record is not None
    stranger = {
        REPLICA_GET: ReplicaGet(REPLICA_GET, 99, item, None),
        REPLICA_PUT: ReplicaPut(REPLICA_PUT, 99, item, record, b""),
    }[kind]
    answer = cluster.ask(N1, stranger)
    assert (answer.kind, answer.cause) == (REPLICA_REFUSED, BEHIND)


def test_the_first_word_on_a_link_is_by_which_epoch_a_node_asks() -> None:
    """What came before it was refused as asked by an older ring: a hint waited five seconds."""
    cluster = joining_cluster()
    _, item = cluster.key_of(KEYS[0])
    record = cluster.stores[N1].get(item)
    assert record is not None
    cluster.brains[N1].kernel.hints.take(Hint(N2, item, record), b"", None)
    cluster.feed(N1, PeerDown(N2, "cut"))
    now = Instant(cluster.now_ms, 0)
    effects = cluster.brains[N1].handle(PeerUp(N2), now)
    said = [effect.message for effect in effects if isinstance(effect, Send) and effect.to == N2]
    assert isinstance(said[0], EpochWord)
    assert any(isinstance(message, ReplicaPut) for message in said)


def test_who_is_refused_as_behind_and_learns_of_no_newer_ring_counts_it() -> None:
    """The newer ring has not come here yet; whoever wrote asks again until it has."""
    cluster = joining_cluster()
    for name in (N2, N3, N4):
        cluster.hold(name)
    put = cluster.put_message(KEYS[0], b"new")
    cluster.ask(N1, put)
    asked = {to: message[1] for to in (N2, N3, N4) for _, _, message in cluster.held[to]}
    for name, id in asked.items():
        cluster.feed(N1, Received(name, ((REPLICA_REFUSED, id, BEHIND),)))
    failed = cluster.answers[put.id]
    assert (failed.kind, failed.code, failed.unknown) == (FAILED, Code.WRONG_RING, True)
    assert {(N2, BEHIND), (N3, BEHIND)} <= {*failed.causes}


def test_a_client_that_says_its_epoch_reads_replicas_itself() -> None:
    cluster = joining_cluster()
    _, item = cluster.key_of(KEYS[0])
    cluster.feed(N1, Received(CLIENT, (tuple(ClientEpoch(CLIENT_EPOCH, 1)),)))
    assert cluster.ask(N1, ReplicaGet(REPLICA_GET, 98, item, None)).kind == REPLICA_REFUSED
    cluster.feed(N1, Received(CLIENT, (tuple(ClientEpoch(CLIENT_EPOCH, 2)),)))
    assert cluster.ask(N1, ReplicaGet(REPLICA_GET, 99, item, None)).record is not None


def test_the_end_of_a_change_bars_nobody_who_knew_its_beginning() -> None:
    cluster = joining_cluster()
    _, item = cluster.key_of(KEYS[0])
    cluster.feed(N1, Received(CLIENT, (tuple(ClientEpoch(CLIENT_EPOCH, 2)),)))
    cluster.pass_ms(2000)
    assert cluster.epochs()[N1] == 3
    assert cluster.ask(N1, ReplicaGet(REPLICA_GET, 99, item, None)).kind != REPLICA_REFUSED
