"""What `status` says of nodes that a client has only begun to reach, and of what they think."""

import pytest

from dynamo_client import connect, welcome
from dynamo_client.cli_actions import seen
from dynamo_node import LocalCluster


@pytest.mark.slow
async def test_a_node_that_is_being_dialed_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the first links come later than `connect` waits for them."""
    monkeypatch.setattr(welcome, "SETTLE_S", 0.0)
    async with LocalCluster(nodes=3) as cluster, connect(cluster.seeds.split(",")[0]) as db:
        nodes = (await db.status())["nodes"]
    assert {name: node["state"] for name, node in nodes.items()} == dict.fromkeys(
        ("n1", "n2", "n3"), "serving"
    )


def test_what_the_others_think_of_a_node_stands_beside_it_the_worst_first() -> None:
    def view(state: str, for_s: float, answers: bool = True) -> dict[str, object]:
        return {"state": state, "for_s": for_s, "answers": answers}

    nodes = {
        "n1": {"members": {"n3": view("suspect", 12.4, False), "n2": view("alive", 300)}},
        "n2": {"members": {"n3": view("alive", 70.0, False), "n1": view("alive", 300)}},
        "n3": {},
        "n4": {"members": {"n3": view("alive", 90), "n1": view("alive", 320.6)}},
        "n5": {"members": {"n3": view("suspect", 3)}},
    }
    assert seen("n3", nodes) == (
        "suspect to n1 for 12 s; unsteady to n5 for 3 s; silent to n2 for 70 s; "
        "alive to n4 for 90 s"
    )
    assert seen("n1", nodes) == "alive to n2, n4 for 321 s"
    assert seen("n4", nodes) == ""
