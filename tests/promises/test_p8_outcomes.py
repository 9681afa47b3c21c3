"""P8 with real processes: what became of an unknown write is answered once the nodes are back.

And the answer is true: `applied` is readable or was superseded, `not applied` is never read again.
Each write has a key of its own, so that what is read there is what became of it.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import pytest
from cluster_process import ClusterProcess, pause, until
from remembering import serves_all
from scraping import until_metrics

from dynamo_client import Database, OutcomeUnknown, Unavailable, connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WRITES = 40
PATIENT_MS = 20_000
"""Nodes that stand still are not taken for dead while a test looks."""
BUSY_S = 1.0
"""Ages are reckoned from the quickest frame of a connection: on a busy machine it was not quick."""


@dataclass
class Fates:
    """What the writers were told, by key; every value is its key."""

    applied: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    """Key to operation id."""
    outcomes: set[str] = field(default_factory=set)
    """What the refusals say of themselves."""

    async def write(self, db: Database, key: str, timeout_ms: float) -> None:
        """One blind put, and what was said about it."""
        try:
            await db.table("cart").put(key, key, timeout_ms=timeout_ms)
        except OutcomeUnknown as error:
            self.unknown[key] = error.operation_id
        except Unavailable as error:
            self.refused.append(key)
            self.outcomes.add(error.outcome)
        else:
            self.applied.append(key)

    async def write_all(self, db: Database, prefix: str, timeout_ms: float) -> None:
        """WRITES of them at once."""
        async with asyncio.TaskGroup() as group:
            for number in range(WRITES):
                group.create_task(self.write(db, f"{prefix}-{number}", timeout_ms))

    async def settle(self, db: Database) -> Counter[str]:
        """Ask for every unknown one until it is known, then read: it must be as was said."""
        told = Counter[str]()
        for key, operation_id in self.unknown.items():
            answer = await _settled(db, operation_id)
            await _require(db, key, answer)
            told[answer] += 1
        for key in self.applied:
            await _require(db, key, "applied")
        assert self.outcomes <= {"not applied"}
        for key in self.refused:
            await _require(db, key, "not applied")
        return told

    async def stays(self, db: Database) -> None:
        """Asked again much later, nothing has changed."""
        for key, operation_id in self.unknown.items():
            await _require(db, key, await _settled(db, operation_id))


async def _settled(db: Database, operation_id: str) -> str:
    answers = ["unknown"]

    async def ask() -> None:
        while answers[-1] == "unknown":
            try:
                answers.append(await db.outcome(operation_id, timeout_ms=2000))
            except Unavailable:
                await pause()

    async with asyncio.timeout(20):
        await ask()
    return answers[-1]


async def _require(db: Database, key: str, answer: str) -> None:
    """With R = N, so that no replica is overlooked."""
    item = await db.table("cart").get(key, r=3, timeout_ms=10_000)
    assert item.values == ([key] if answer == "applied" else []), f"{key}: said to be {answer}"


async def _linked(db: Database, nodes: int) -> None:
    assert db._router is not None, "open"
    peers = db._router.links.peers
    await until(
        lambda: sum(peer.link is not None for peer in peers.values()) == nodes, "client is linked"
    )


async def test_nodes_killed_while_writes_are_in_flight(tmp_path: Path) -> None:
    """All three, in mid-flight, several times: some writes became durable somewhere, some not."""
    async with (
        ClusterProcess(tmp_path / "data", 3, "--no-restart") as cluster,
        connect(cluster.seeds) as db,
    ):
        fates = Fates()
        for turn, victims in enumerate((("n2", "n3"), ("n1", "n2", "n3"))):
            await _linked(db, 3)
            unknown = len(fates.unknown)
            load = asyncio.create_task(_write_until_failing(fates, db, f"turn{turn}"))
            wanted = len(fates.applied) + 2 * WRITES
            await until(lambda w=wanted: len(fates.applied) >= w, "writes are under way")
            cluster.kill(*victims)
            await load
            assert len(fates.unknown) > unknown, "what was in flight is unknown"
            await cluster.run_by_hand(*victims)
            await serves_all(cluster.seeds, 3)
        told = await fates.settle(db)
        await fates.stays(db)
        print(f"killed in flight: {len(fates.unknown)} unknown, then {dict(told)}")


async def _write_until_failing(fates: Fates, db: Database, prefix: str) -> None:
    """WRITES writers without pause, each until its first write that is not acknowledged."""

    async def write(writer: int) -> None:
        number = 0
        failed = len(fates.unknown) + len(fates.refused)
        while len(fates.unknown) + len(fates.refused) == failed:
            number += 1
            await fates.write(db, f"{prefix}-{writer}-{number}", 600)

    async with asyncio.TaskGroup() as group:
        for writer in range(WRITES):
            group.create_task(write(writer))


async def test_two_nodes_stand_still(tmp_path: Path) -> None:
    """The third holds each write durably and cannot tell: unknown, and later applied."""
    async with (
        ClusterProcess(tmp_path / "data", idle_timeout_ms=PATIENT_MS) as cluster,
        connect(cluster.seeds) as db,
    ):
        fates = Fates()
        await cluster.freeze("n2", "n3")
        await fates.write_all(db, "still", 600)
        assert len(fates.unknown) == WRITES
        some = next(iter(fates.unknown.values()))
        assert await db.outcome(some, timeout_ms=500) == "unknown"
        cluster.thaw("n2", "n3")
        told = await fates.settle(db)
        await fates.stays(db)
        assert told == {"applied": WRITES}
        print(f"two stood still: {len(fates.unknown)} unknown, then {dict(told)}")


async def test_a_write_that_never_was_is_fenced(tmp_path: Path) -> None:
    """All stand still while the writes arrive, then are killed: nobody ever read them."""
    async with (
        ClusterProcess(tmp_path / "data", idle_timeout_ms=PATIENT_MS) as cluster,
        connect(cluster.seeds) as db,
    ):
        fates = Fates()
        await cluster.freeze("n1", "n2", "n3")
        await fates.write_all(db, "never", 600)
        assert len(fates.unknown) == WRITES
        killed = cluster.kill("n1", "n2", "n3")
        await cluster.until_serving(not_by=killed)
        await serves_all(cluster.seeds, 3)
        told = await fates.settle(db)
        await fates.stays(db)
        assert told == {"not applied": WRITES}


async def test_a_coordinator_that_stood_still_begins_nothing_that_nobody_waits_for(
    tmp_path: Path,
) -> None:
    """What waited in its socket beyond its deadline is refused; others ask what became of it."""
    async with (
        ClusterProcess(tmp_path / "data", idle_timeout_ms=PATIENT_MS) as cluster,
        connect(cluster.seeds) as db,
    ):
        fates = Fates()
        await _linked(db, 3)
        await fates.write_all(db, "before", 10_000)  # n1 learns how long frames are on their way
        assert not fates.unknown
        await cluster.freeze("n1")
        await fates.write_all(db, "race", 200)  # n1 would have ordered a third of them
        assert fates.unknown
        late = monotonic() + BUSY_S
        await until(lambda: monotonic() > late, "they are late for a busy machine too")
        cluster.thaw("n1")
        told = await fates.settle(db)
        await fates.stays(db)
        assert told == {"not applied": len(fates.unknown)}
        found = await until_metrics(
            cluster.port, lambda found: found["dynamo_too_late_total"] > 0, "n1 refuses them"
        )
        print(f"{len(fates.unknown)} unknown, {found['dynamo_too_late_total']:.0f} came too late")
