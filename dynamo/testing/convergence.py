"""Do the owners of every item agree by themselves, with no read to bring them together (P3)?"""

from collections.abc import Iterable, Iterator

from dynamo.keys import partition_of_key, table_of_key
from dynamo.siblings.fingerprint import fingerprint
from dynamo.testing.cluster import Cluster
from dynamo.testing.store import Violation
from dynamo.types import ItemKey, NodeId


def agree(cluster: Cluster, items: Iterable[ItemKey]) -> bool:
    """Whether the owners of each item hold one record, whatever form of it."""
    return all(len(set(hashes)) == 1 for hashes in _hashes(cluster, items))


def damaged(cluster: Cluster) -> list[tuple[NodeId, ItemKey]]:
    """The values that were damaged on a disk and not written again since."""
    machines = cluster.machines.items()
    return [(name, key) for name, machine in machines for key in machine.disk.damaged]


def check_trees(cluster: Cluster) -> None:
    """Raise Violation unless every node's hash trees are those of its store."""
    for name, machine in cluster.machines.items():
        process = machine.process
        assert process is not None, "every node is up"
        assert process.kernel is not None, "every node has started"
        try:
            process.kernel.validate_store()
        except AssertionError as error:
            raise Violation(f"{name}: {error}") from error


def _hashes(cluster: Cluster, items: Iterable[ItemKey]) -> Iterator[list[int]]:
    for item in items:
        n = cluster.table(table_of_key(item)).n
        owners = cluster.topology.ring.preference_list(partition_of_key(item), n)
        processes = [cluster.machines[owner].process for owner in owners]
        yield [
            -1 if process is None else fingerprint(item, process.store.engine.get(item))
            for process in processes
        ]
