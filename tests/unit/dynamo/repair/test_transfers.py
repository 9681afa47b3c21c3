"""A new owner copies from old ones that hold the joint epoch, and says why it waits."""

from itertools import count
from typing import Any

from dynamo.background import Durable
from dynamo.config import TableConfig
from dynamo.messages import REPLICA_PAGE, ReplicaPage, ReplicaScan, Send
from dynamo.ports import DISK_FULL
from dynamo.repair.rebuild import SCAN_TIMEOUT_MS, SCANS_MAX
from dynamo.repair.transfers import COPIED, Transfers, decode_copied
from dynamo.ring.ring import Member, Ring
from dynamo.storage.memory_engine import MemoryEngine
from dynamo.types import ItemKey, NodeId, PartitionId, TableId

NAMES = tuple(NodeId(f"n{number}") for number in range(1, 6))
OLD, NEW = NAMES[:3], NAMES[3]
P0 = PartitionId(0)
ONE = TableConfig("one", TableId(1), 3, 2, 2)
ALONE = TableConfig("alone", TableId(2), 1, 1, 1)


def ring(*owners: NodeId, partitions: int = 1) -> Ring:
    """Every partition lists these first, then the others."""
    listed = (*owners, *(name for name in NAMES if name not in owners))
    members = tuple(Member(name, name, "", 1.0) for name in NAMES)
    return Ring(2, partitions, members, (listed,) * partitions, 3)


class Notes(MemoryEngine):
    """A store of which only the notes matter; what is written waits to become durable."""

    full = False

    def refusal(self) -> str | None:
        return DISK_FULL if self.full else None

    def become_durable(self) -> None:
        while (group := self.take_group()) is not None:
            for token in self.synced(group):
                assert isinstance(token, Durable)
                token.then(0.0)


class Newcomer:
    """Transfers of a node that takes the place of n1."""

    def __init__(
        self,
        *tables: TableConfig,
        partitions: int = 1,
        copied: frozenset[PartitionId] = frozenset(),
    ) -> None:
        ids = count(4, 4)
        self.holding, self.up, self.store = set(OLD), set(OLD), Notes()
        self.transfers = Transfers(
            NEW,
            ring(*OLD, partitions=partitions),
            ring(NEW, *OLD[1:], partitions=partitions),
            tables or (ONE,),
            copied,
            self.holding.__contains__,
            lambda: next(ids),
            self.store,
        )
        self.now_ms = 0.0
        self.asked: list[tuple[NodeId, ReplicaScan]] = []

    def advance(self, ms: float = 0.0) -> None:
        self.now_ms += ms
        self._take(self.transfers.advance(self.up, self.now_ms))

    def page(self, node: NodeId, whole: bool = True) -> None:
        """The node answers its newest scan with a last page."""
        id = next(scan.id for to, scan in reversed(self.asked) if to == node)
        page = ReplicaPage(REPLICA_PAGE, id, ((ItemKey(b"k"), b"r"),), True, whole)
        self._take(self.transfers.page(node, page, self.now_ms))
        self.advance()

    def noted(self, epoch: int = 2) -> frozenset[PartitionId]:
        """What a restart in that epoch would find."""
        return decode_copied(self.store.get_meta(COPIED), epoch)

    def _take(self, effects: list[Any]) -> None:
        self.asked += [(made.to, made.message) for made in effects if isinstance(made, Send)]


def test_two_of_three_old_owners_are_copied() -> None:
    newcomer = Newcomer()
    newcomer.advance()
    newcomer.page(OLD[0])
    assert newcomer.noted() == frozenset()
    newcomer.page(OLD[1])
    newcomer.store.become_durable()
    assert newcomer.transfers.lacking() == {}
    assert newcomer.transfers.status(0.0) == {"transfers": {"copied": 1, "of": 1}}
    assert newcomer.transfers.deadline() is None


def test_what_is_copied_counts_when_it_is_durable_and_only_in_its_epoch() -> None:
    """Told before, a crash would leave an owner without its data after the final epoch."""
    newcomer = Newcomer()
    newcomer.advance()
    newcomer.page(OLD[0])
    newcomer.page(OLD[1])
    assert newcomer.transfers.lacking() == {P0: "is being made durable"}
    newcomer.store.become_durable()
    assert newcomer.transfers.lacking() == {}
    assert newcomer.noted(epoch=2) == {P0}
    assert newcomer.noted(epoch=3) == frozenset()


def test_an_old_owner_that_does_not_hold_the_epoch_is_no_source() -> None:
    newcomer = Newcomer()
    newcomer.holding.clear()
    newcomer.advance()
    assert newcomer.asked == []
    assert newcomer.transfers.lacking() == {
        P0: "0 of 2 sources copied; n1, n2, n3: not linked, or not yet in this epoch"
    }
    newcomer.holding.add(OLD[2])
    newcomer.advance()
    assert [node for node, _ in newcomer.asked] == [OLD[2]]
    newcomer.page(OLD[2])
    assert newcomer.transfers.lacking()[P0].startswith("1 of 2 sources copied; n1, n2: not linked")


def test_each_table_has_its_own_old_owners() -> None:
    """With N = 1 the only old owner is the one that all writes went to."""
    newcomer = Newcomer(ALONE, ONE)
    newcomer.up.remove(OLD[0])
    newcomer.advance()
    newcomer.page(OLD[1])
    newcomer.page(OLD[2])
    assert newcomer.transfers.lacking() == {
        P0: "0 of 1 sources copied; n1: not linked, or not yet in this epoch"
    }
    newcomer.up.add(OLD[0])
    newcomer.advance()
    newcomer.page(OLD[0])
    newcomer.store.become_durable()
    assert newcomer.transfers.lacking() == {}


def test_a_table_whose_owners_stay_needs_nothing() -> None:
    staying = Transfers(
        OLD[1],
        ring(*OLD),
        ring(NEW, *OLD[1:]),
        (ONE,),
        frozenset(),
        lambda _: True,
        lambda: 0,
        Notes(),
    )
    assert staying.total == 0
    assert staying.lacking() == {}


def test_only_so_many_scans_at_a_time_and_the_rest_say_so() -> None:
    newcomer = Newcomer(partitions=4)
    newcomer.advance()
    assert len(newcomer.asked) == SCANS_MAX
    reasons = list(newcomer.transfers.lacking().values())
    assert reasons == ["copies from n1"] * 2 + ["waits for its turn, 2 at a time"] * 2


def test_a_full_store_waits() -> None:
    newcomer = Newcomer()
    newcomer.store.full = True
    newcomer.advance()
    assert newcomer.asked == []
    assert newcomer.transfers.lacking() == {P0: "the store is full"}


def test_a_silent_source_is_asked_again() -> None:
    newcomer = Newcomer()
    newcomer.advance()
    newcomer.advance(SCAN_TIMEOUT_MS + 1)
    assert len(newcomer.asked) == 2


def test_what_was_copied_before_a_restart_is_not_copied_again() -> None:
    newcomer = Newcomer(partitions=3, copied=frozenset({P0, PartitionId(2)}))
    newcomer.advance()
    assert [scan.partition for _, scan in newcomer.asked] == [1]
    assert newcomer.transfers.total == 3


def test_a_rebuilding_source_does_not_count() -> None:
    newcomer = Newcomer()
    newcomer.advance()
    newcomer.page(OLD[0], whole=False)
    newcomer.page(OLD[1])
    assert P0 in newcomer.transfers.lacking()
