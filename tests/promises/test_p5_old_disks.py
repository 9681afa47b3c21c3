"""P5: a disk that came back from the past is in no read, and issues no dot again.

Whether a disk is an old copy, only its peers know; who finds one out says no word but that. So a
node that has started again answers no read and makes no write until a peer has spoken to it.
"""

from typing import Any

import pytest
from kernel_world import KernelWorld, sent

from dynamo.errors import Code
from dynamo.messages import (
    REPLICA_GET,
    REPLICA_STORED,
    Failed,
    GetDone,
    PutDone,
    ReplicaGet,
    ReplicaPut,
    ReplicaRecord,
    ReplicaRefused,
    ReplicaStored,
)

CLIENT = 7
A_WORD = ReplicaStored(REPLICA_STORED, (), True)


def started_again(nodes: int = 3) -> tuple[KernelWorld, bytes]:
    world = KernelWorld(nodes, epoch=2)
    return world, next(iter(world.some_keys()))


def replica_get(world: KernelWorld, key: bytes) -> Any:
    ask = ReplicaGet(REPLICA_GET, 1, world.place(key)[1], None)
    (answer,) = world.hear(CLIENT, ask)
    return answer.message


def test_it_counts_in_no_read_before_a_peer_has_spoken() -> None:
    world, key = started_again()
    assert isinstance(replica_get(world, key), ReplicaRefused)
    world.link_all()
    assert isinstance(replica_get(world, key), ReplicaRefused)
    world.hear("n2", A_WORD)
    assert isinstance(replica_get(world, key), ReplicaRecord)


def test_it_makes_no_write_between_a_link_and_the_first_word_on_it() -> None:
    world, key = started_again()
    world.link_all()
    (refused,) = sent(world.hear(CLIENT, world.put(key)), Failed, CLIENT)
    assert (refused.code, refused.unknown) == (Code.NOT_SERVING, False)
    world.hear("n2", A_WORD)
    effects = world.hear(CLIENT, world.put(key))
    assert not sent(effects, Failed)
    assert sent(effects, ReplicaPut)


def test_a_read_that_it_coordinates_asks_the_others() -> None:
    world, key = started_again()
    world.link_all()
    effects = world.hear(CLIENT, world.get(key))
    assert {node for node in world.peers if sent(effects, ReplicaGet, node)} == {"n2", "n3"}


@pytest.mark.parametrize(("nodes", "epoch"), [(3, 1), (1, 2)])
def test_a_first_start_and_a_node_without_peers_wait_for_nobody(nodes: int, epoch: int) -> None:
    world = KernelWorld(nodes, epoch=epoch)
    key = next(iter(world.some_keys()))
    assert isinstance(replica_get(world, key), ReplicaRecord)
    if nodes == 1:
        world.hear(CLIENT, world.put(key))
        assert sent(world.persist(), PutDone)
        assert sent(world.hear(CLIENT, world.get(key)), GetDone)
