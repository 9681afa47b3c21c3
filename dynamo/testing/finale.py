"""The last questions, when all is healed: every unknown write settled, every owner alike.

what became of each unknown write? ─▶ every key read of all N owners ─▶ repairs ─▶
every key read by every node ─▶ owners' records compared, bounds checked
"""

from collections import deque
from collections.abc import Callable, Iterator

from dynamo.siblings.codec import decode_record, encode_context
from dynamo.siblings.record import NOTHING, Record, forgotten, seen_by_reader
from dynamo.testing.checkers import alike, check_final, check_record
from dynamo.testing.client import Client
from dynamo.testing.cluster import Cluster
from dynamo.testing.history import KeyHistory, Write
from dynamo.testing.store import Violation
from dynamo.types import ItemKey, NodeId

QUESTIONS_MAX = 3
"""How often an unknown write is asked about before it counts as unanswerable."""
READS_MAX = 3
"""How often a last read is tried: the client or a node may first find that a link had broken."""
RETRY_MS = 200.0
"""Between two tries of a read or a question: by then a broken link is dialed again, and a store
that was full has seen that it has room."""
CLIENTS_MAX = 3
"""So many ask at once: no node of any shape refuses as few as these."""
CONTEXT_BYTES_MAX = 2048
BEYOND_WINDOW = "back beyond the window"
"""Counted: replaced values of repeated writes, shown again once their operations were forgotten."""
REPAIR_MS = 100.0
"""What reads have begun to repair is durable so long after the delay of repairs."""

Next = Callable[[], None]
Step = Callable[[Client, Next], None]
"""Something that one client does."""


class Finale:
    """Asks one stage of questions after the other; `check` is for when all were answered."""

    def __init__(
        self, cluster: Cluster, clients: list[Client], histories: list[KeyHistory]
    ) -> None:
        self._cluster, self._histories = cluster, histories
        self._clients = clients[:CLIENTS_MAX]
        self._world = cluster.world
        self._unanswered: list[Write] = []
        self._stages = self._all_stages()
        self.done = False

    def begin(self) -> None:
        """Ask, one stage after the other."""
        for client in self._clients:
            client.learn_ring(newest=True)
        self._begin_stage()

    def _begin_stage(self) -> None:
        """All clients share the steps of a stage; the last to find none left begins the next."""
        stage = next(self._stages, None)
        if stage is None:
            self.done = True
            return
        left, working = deque(stage), len(self._clients)

        def go_on(client: Client) -> None:
            nonlocal working
            if left:
                left.popleft()(client, lambda: go_on(client))
                return
            working -= 1
            if not working:
                self._begin_stage()

        for client in self._clients:
            go_on(client)

    def check(self, item: Callable[[KeyHistory], ItemKey]) -> None:
        """All owners alike, the maximal set everywhere, records bounded. Raises Violation."""
        for history in self._histories:
            records = self._records(history, item(history))
            self._check_alike(history, records)
            for node, record in records.items():
                read = history.begin_read(self._world.now)
                found = check_record(history, read, record, f"{node} at the end")
                back = check_final(history, found, record)
                self._clients[0].counts[BEYOND_WINDOW] += back
                self._check_bounds(history, record)
            for write in self._unanswered:
                if write.key is history:
                    nothings = self._nothings(history, item(history))
                    self._check_forgotten(write, [*records.values(), *nothings])

    def _all_stages(self) -> Iterator[list[Step]]:
        for attempt in range(QUESTIONS_MAX):
            if attempt and self._unknown():
                yield [_wait(RETRY_MS)]
            yield [_question(write) for write in self._unknown()]
        self._unanswered = self._unknown()
        for _ in range(2):
            yield [
                self._reading(history, self._cluster.table(history.table).n, None)
                for history in self._histories
            ]
            yield [_wait(self._cluster.config.timing.repair_delay_ms + REPAIR_MS)]
        yield [
            self._reading(history, 0, node)
            for node in self._cluster.topology.members
            for history in self._histories
        ]

    def _unknown(self) -> list[Write]:
        return [w for h in self._histories for w in h.writes if w.status == "unknown"]

    def _reading(self, history: KeyHistory, r: int, node: NodeId | None) -> Step:
        def step(client: Client, then: Next) -> None:
            patience = READS_MAX

            def answered(context: object) -> None:
                nonlocal patience
                patience -= 1
                if context is not None:
                    then()
                elif patience:
                    self._world.at(RETRY_MS, client.read, history, answered, r, node)
                else:
                    raise Violation(f"a healed cluster does not answer a read of {history.name}")

            client.read(history, answered, r, node)

        return step

    def _records(self, history: KeyHistory, item: ItemKey) -> dict[NodeId, Record]:
        records = {}
        for node in self._clients[0].owners(history):
            process = self._cluster.machines[node].process
            assert process is not None, "every node is up"
            data = process.store.engine.get(item)
            records[node] = NOTHING if data is None else decode_record(data)
        return records

    def _check_alike(self, history: KeyHistory, records: dict[NodeId, Record]) -> None:
        (first, one), *others = records.items()
        for node, other in others:
            if not (alike(one, other) or _is_removed(one, other)):
                raise Violation(
                    f"{first} and {node} still differ on {history.name}: {one} and {other}"
                )

    def _check_bounds(self, history: KeyHistory, record: Record) -> None:
        token = encode_context(ItemKey(b""), seen_by_reader(record))
        if len(token) > CONTEXT_BYTES_MAX:
            raise Violation(f"the context of {history.name} has {len(token)} bytes")
        remembered = len(record.operations) - len(record.retried)
        if remembered > self._cluster.config.limits.operations_max:
            raise Violation(f"{history.name} remembers {remembered} operations")

    def _nothings(self, history: KeyHistory, item: ItemKey) -> Iterator[Record]:
        """What the owners would take the item for if they held nothing of it."""
        for node in self._clients[0].owners(history):
            process = self._cluster.machines[node].process
            assert process is not None, "every node is up"
            assert process.kernel is not None, "every node has started"
            yield process.kernel.nothing(item)

    def _check_forgotten(self, write: Write, records: list[Record]) -> None:
        """Only a write that the records may have forgotten stays without an answer."""
        if not any(forgotten(record, write.operation) for record in records):
            raise Violation(f"nobody tells what became of {write}")


def _question(write: Write) -> Step:
    return lambda client, then: client.ask_outcome(write, then)


def _wait(wait_ms: float) -> Step:
    return lambda client, then: client.world.at(wait_ms, then)


def _is_removed(one: Record, other: Record) -> bool:
    """Whether one holds nothing where the other still holds a tombstone."""
    values = (*one.values, *other.values)
    return NOTHING in (one, other) and all(value.payload is None for value in values)
