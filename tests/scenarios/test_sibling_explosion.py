"""Riak's sibling explosion: interleaved writers whose siblings bring each other back.

    A writes, B writes, A writes with the context of its own last put, B with its own ... for ever

With plain version vectors every such put keeps the other's whole past. Here a client's put replaces
exactly what it knows, so there is at most one sibling for each writer.
"""

from kernel_cluster import KernelCluster, done

from dynamo.siblings.codec import decode_record
from dynamo.siblings.record import siblings
from dynamo.testing.scenario import Scenario, Shape
from dynamo.testing.workload import Mix

KEY = b"cart of alice"
PUTS_ONLY = Mix(*(0.0 for _ in Mix._fields))._replace(put_newest=1.0)


def test_two_writers_that_alternate_with_contexts_of_their_own_puts() -> None:
    cluster = KernelCluster()
    contexts: dict[str, bytes | None] = {"alice": None, "bob": None}
    for number in range(40):
        for client in contexts:
            at = f"n{number % 3 + 1}"
            value = b"%s %d" % (client.encode(), number)
            contexts[client] = done(cluster.put(at, KEY, value, contexts[client]))
            assert len(cluster.values(at, KEY)) <= 2
    assert cluster.values("n1", KEY, r=3) == [b"alice 39", b"bob 39"]


def test_two_writers_that_alternate_with_contexts_one_round_old() -> None:
    """Each reads, the other writes in between, then it writes with what it had read."""
    cluster = KernelCluster()
    done(cluster.put("n1", KEY, b"start"))
    stale = {client: cluster.get("n1", KEY).context for client in ("alice", "bob")}
    for number in range(40):
        for client in stale:
            read = cluster.get(f"n{number % 3 + 1}", KEY).context
            done(cluster.put("n2", KEY, b"%s %d" % (client.encode(), number), stale[client]))
            stale[client] = read
            assert len(cluster.values("n3", KEY)) <= 4, "two writers, each with one value unseen"


def test_many_writers_under_faults_leave_one_sibling_each() -> None:
    """Ten clients that never read, on a cluster that crashes: besides one value for each, only
    writes whose fate their client never learned may stand."""
    shape = Shape(operations=600, clients=10, keys=4, mix=PUTS_ONLY)
    scenario = Scenario(7, shape)
    assert not scenario.run().violation
    for history in scenario.histories:
        unheard = sum(not write.heard for write in history.writes)
        for machine in scenario.cluster.machines.values():
            assert machine.process is not None
            data = machine.process.store.engine.get(scenario.item(history))
            shown = 0 if data is None else len(siblings(decode_record(data)))
            assert shown <= shape.clients + unheard
