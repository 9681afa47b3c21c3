"""P5 across ring changes: 3 members become 4, 5 and 6 and 3 again, under load, key by key."""

from random import Random

import pytest
from brain_cluster import BrainCluster, is_ring_error

from dynamo.membership.plan import Change, Join, Leave, plan_of
from dynamo.messages import GET_DONE, PUT_DONE
from dynamo.ring.ring import Member
from dynamo.types import NodeId

KEYS = 2000
PER_STEP = 25
STEP_MS = 10.0
TRIES_MAX = 20


class Life:
    """A cluster, what was acknowledged, and a client that asks again when the ring has changed."""

    def __init__(self) -> None:
        self.cluster = BrainCluster()
        self.random = Random(1)
        self.values: dict[bytes, bytes] = {}
        self.contexts: dict[bytes, bytes] = {}
        self.retried = 0
        for number in range(KEYS):
            self.put(b"key-%d" % number)

    def put(self, key: bytes) -> None:
        """A write that replaces the last one; byte for byte the same at every try."""
        cluster, value = self.cluster, b"%d" % self.random.getrandbits(60)
        put = cluster.put_message(key, value, self.contexts.get(key))
        for _ in range(TRIES_MAX):
            put = put._replace(id=cluster.next_id())
            answer = cluster.ask(self._member(), put)
            if answer is not None and answer.kind == PUT_DONE:
                self.values[key], self.contexts[key] = value, answer.context
                return
            assert is_ring_error(answer, True) or is_ring_error(answer, False), answer
            self.retried += 1
        raise AssertionError("a write never succeeded")

    def get(self, key: bytes) -> None:
        """A read that must show the last write, and nothing else."""
        answer = self.cluster.get(self._member(), key)
        assert answer is not None
        assert answer.kind == GET_DONE, answer
        assert answer.payloads == (self.values[key],)

    def work(self) -> None:
        """Some of both, while things move."""
        keys = sorted(self.values)
        for key in self.random.sample(keys, PER_STEP):
            self.put(key)
        for key in self.random.sample(keys, PER_STEP):
            self.get(key)

    def change(self, change: Change) -> None:
        """Carry a change out under load; exactly the planner's copies are moved."""
        cluster = self.cluster
        brain = cluster.brains[self._member()]
        before = brain.topology
        planned = plan_of(change, before.ring)
        if isinstance(change, Join):
            cluster.add(change.member.node)
            answer = cluster.join(brain.topology.members[0], change.member.node)
        else:
            assert isinstance(change, Leave)
            answer = cluster.order(brain.topology.members[0], "leave", change.node)
        assert answer is not None
        assert answer.verdict == "won"
        gained = [
            node.kernel.status().get("transfers", {"of": 0})["of"]
            for node in cluster.brains.values()
        ]
        assert sum(gained) == planned.copies
        while any(epoch < before.epoch + 2 for epoch in cluster.epochs().values()):
            self.work()
            cluster.pass_ms(STEP_MS, STEP_MS)
        self.work()
        if isinstance(change, Leave):
            cluster.stop(change.node)

    def _member(self) -> NodeId:
        members = self.cluster.brains[NodeId(self._anyone())].topology.members
        return self.random.choice([node for node in members if node in self.cluster.brains])

    def _anyone(self) -> str:
        return next(iter(self.cluster.brains))


@pytest.mark.slow
def test_three_members_become_six_and_three_again_under_load() -> None:
    life = Life()
    for number in (4, 5, 6):
        name = NodeId(f"n{number}")
        life.change(Join(Member(name, name, "", 1.0)))
    for name in ("n2", "n5", "n1"):
        life.change(Leave(NodeId(name)))
    assert life.cluster.brains[NodeId("n3")].topology.members == ("n3", "n4", "n6")
    for key in sorted(life.values):
        life.get(key)


def test_a_write_that_the_change_interrupts_is_asked_for_again_and_applied_once() -> None:
    cluster = BrainCluster()
    n1, n2, n3, n4 = (NodeId(f"n{number}") for number in range(1, 5))
    cluster.written(n1, b"key", b"old")
    cluster.add(n4)
    cluster.hold(n2)
    cluster.hold(n3)
    put = cluster.put_message(b"key", b"new")
    assert cluster.ask(n1, put) is None, "no replica has it yet"
    for name in (n2, n3):
        cluster.held[name].clear()  # lost on the way
        cluster.release(name)
    answer = cluster.join(n2, n4)
    assert answer is not None
    assert answer.verdict == "won"
    assert is_ring_error(cluster.answers[put.id], unknown=True)
    assert cluster.ask(n3, put._replace(id=cluster.next_id())).kind == PUT_DONE
    assert sorted(cluster.read(n1, b"key")) == [b"new", b"old"]
