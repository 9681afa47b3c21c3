"""From a client's write and the coordinator's record to what is shipped, or a refusal."""

from dataclasses import replace

import pytest
from kernel_cluster import BIRTH_MS, CART, CATALOG, KernelCluster, done

from dynamo.config import PRESETS, builtin
from dynamo.errors import Code, Failure
from dynamo.messages import PUT, Failed, Put, PutDone, failure_of
from dynamo.siblings.codec import encode_context, opened_context
from dynamo.siblings.record import operation_id
from dynamo.types import OperationId, TableId

KEY = b"alice"


def refused(answer: object) -> Failure:
    assert isinstance(answer, Failed), answer
    return failure_of(answer)


def small() -> KernelCluster:
    """A cluster of tight limits: 100 bytes of value, 3 siblings."""
    config = replace(builtin(3), partitions=16, timing=PRESETS["test"])
    cart = replace(config.tables[0], value_bytes_max=100, siblings_max=3)
    return KernelCluster(3, replace(config, tables=(cart, *config.tables[1:])))


def sent(cluster: KernelCluster, **changes: object) -> Failure:
    fields: dict[str, object] = {
        "kind": PUT,
        "id": 999,
        "deadline_ms": 0,
        "epoch": 0,
        "table": CART,
        "key": KEY,
        "sort_key": b"",
        "context": None,
        "payload": b"v",
        "operation": cluster.operation(),
        "w": 0,
    }
    cluster.hear("n1", Put(**{**fields, **changes}))  # type: ignore[arg-type]
    cluster.settle()
    return refused(cluster.answers[999])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"table": TableId(9)}, Code.UNKNOWN_TABLE),
        ({"key": b""}, Code.KEY_TOO_LARGE),
        ({"key": b"k" * 1025}, Code.KEY_TOO_LARGE),
        ({"sort_key": b"k" * 1025}, Code.KEY_TOO_LARGE),
        ({"payload": b"v" * 101}, Code.VALUE_TOO_LARGE),
        ({"w": 4}, Code.INVALID_QUORUM),
        ({"w": -1}, Code.INVALID_QUORUM),
        ({"operation": OperationId(b"short")}, Code.INVALID_REQUEST),
        ({"operation": operation_id(BIRTH_MS + 60_000 << 16, 1, 1)}, Code.INVALID_REQUEST),
        ({"context": b"garbage"}, Code.INVALID_CONTEXT),
        ({"epoch": 2}, Code.WRONG_RING),
    ],
    ids=lambda value: value.name if isinstance(value, Code) else "-".join(value),
)
def test_a_wrong_request_changes_nothing(changes: dict[str, object], code: Code) -> None:
    cluster = small()
    failure = sent(cluster, **changes)
    assert failure.code == code
    assert not failure.unknown
    assert failure.sentence()
    assert all(not cluster.record(name, KEY).history.vector for name in ("n1", "n2", "n3"))


def test_one_sibling_too_many_is_refused_but_a_merge_and_a_delete_are_not() -> None:
    cluster = small()
    contexts = [done(cluster.put("n1", KEY, b"%d" % number)) for number in range(3)]
    assert refused(cluster.put("n1", KEY, b"3")).code == Code.TOO_MANY_SIBLINGS
    done(cluster.put("n1", KEY, b"0 again", contexts[0]))
    done(cluster.put("n1", KEY, None, contexts[1]))
    assert cluster.values("n1", KEY) == [b"0 again", b"2"]
    done(cluster.put("n1", KEY, b"3"))


def test_a_record_over_its_limit_takes_deletes_only() -> None:
    config = replace(builtin(3), partitions=16, timing=PRESETS["test"])
    limits = replace(config.limits, value_bytes_max=1 << 10, record_bytes_max=66 << 10)
    cluster = KernelCluster(3, replace(config, limits=limits))
    contexts = []
    while isinstance(answer := cluster.put("n1", KEY, b"v" * 1000), PutDone):
        contexts.append(answer.context)
        assert len(contexts) < 66, "66 KiB cannot hold more"
    assert refused(answer).code == Code.VALUE_TOO_LARGE
    done(cluster.put("n1", KEY, None, contexts[0]))


def test_a_context_of_another_table_is_refused() -> None:
    cluster = KernelCluster()
    context = done(cluster.put("n1", KEY, b"v", table=CATALOG))
    assert refused(cluster.put("n1", KEY, b"v", context)).code == Code.INVALID_CONTEXT


def test_a_context_of_another_key_is_refused() -> None:
    """It would overwrite there what its holder never saw."""
    cluster = KernelCluster()
    context = done(cluster.put("n1", KEY, b"v"))
    done(cluster.put("n1", b"bob", b"unseen"))
    assert refused(cluster.put("n1", b"bob", b"w", context)).code == Code.INVALID_CONTEXT


def test_a_context_that_covers_what_this_node_never_issued_is_refused() -> None:
    cluster = KernelCluster()
    seen = opened_context(done(cluster.put("n1", KEY, b"v")))
    (actor, counter), *_ = seen.history.vector.items()
    forged = seen.history._replace(vector={actor: counter + 5})
    context = encode_context(cluster.place(KEY)[1], seen._replace(history=forged))
    assert refused(cluster.put("n1", KEY, b"v", context)).code == Code.INVALID_CONTEXT


def test_a_retry_at_its_coordinator_ships_the_record_as_it_is() -> None:
    cluster = KernelCluster()
    operation = cluster.operation()
    done(cluster.put("n1", KEY, b"once", None, operation))
    before = cluster.record("n2", KEY)
    done(cluster.put("n1", KEY, b"once", None, operation))
    assert cluster.record("n2", KEY) == before


def test_a_retry_too_old_to_be_told_from_a_new_write_is_not_applied() -> None:
    cluster = KernelCluster()
    ancient = cluster.operation()
    context = None
    for number in range(100):
        context = done(cluster.put("n1", KEY, b"%d" % number, context))
    failure = refused(cluster.put("n1", KEY, b"ancient", None, ancient))
    assert failure.code == Code.WRITE_TOO_OLD
    assert not failure.unknown
    assert cluster.values("n1", KEY, r=3) == [b"99"]


def test_too_few_owners_in_reach_is_said_before_anything_is_written() -> None:
    cluster = KernelCluster()
    cluster.crash("n2")
    cluster.crash("n3")
    failure = refused(cluster.put("n1", KEY, b"v"))
    assert failure.code == Code.QUORUM_NOT_REACHED
    assert (failure.needed, failure.got, failure.asked, failure.unknown) == (2, 0, 1, False)
    assert {node for node, _ in failure.causes} == {"n2", "n3"}
    assert not cluster.record("n1", KEY).values
    done(cluster.put("n1", KEY, b"v", w=1))


def test_the_stamp_is_above_all_that_the_write_replaces() -> None:
    cluster = KernelCluster()
    first = cluster.put("n1", KEY, b"ahead", None, cluster.operation(ahead_ms=400))
    second = cluster.put("n2", KEY, b"behind", done(first))
    assert second.stamp > first.stamp
