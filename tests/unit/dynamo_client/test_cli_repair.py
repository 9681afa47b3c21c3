"""`dynamo repair`: asks all, waits until they agree, and says who does not."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dynamo_client import Database, connect
from dynamo_client.cli_output import DONE, NOT_APPLIED
from dynamo_client.cli_repair import repair
from dynamo_node import LocalCluster

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    async with LocalCluster(nodes=3) as cluster:
        yield cluster


@pytest_asyncio.fixture
async def db(cluster: LocalCluster) -> AsyncIterator[Database]:
    async with connect(cluster.seeds) as db:
        yield db


async def test_it_waits_until_every_pair_of_owners_agrees(db: Database) -> None:
    for number in range(50):
        await db.table("cart").put(f"k{number}", number)
    said: list[str] = []
    answer = await repair(db, 20_000, said.append)
    assert answer.status == DONE
    assert answer.json["in_sync"] is True
    assert answer.json["nodes"]["n1"]["in_sync"]["n3"] == {"trees": 256, "in_sync": 256}
    head, *rows = answer.lines
    assert head.split() == ["node", "state", "co-owner", "equal"]
    assert len(rows) == 6
    assert all(row.endswith("256 of 256") for row in rows)
    assert said
    assert all("1,536" in line for line in said)
    json.dumps(answer.json)


async def test_who_is_away_is_named_and_the_answer_is_no(
    cluster: LocalCluster, db: Database
) -> None:
    await cluster.stop("n2")
    answer = await repair(db, 1500, lambda _: None)
    assert answer.status == NOT_APPLIED
    assert answer.json["in_sync"] is False
    assert answer.json["nodes"]["n2"]["state"] == "unreachable"
    assert answer.notes == ("not all owners agree yet; they go on comparing",)
