"""What `dynamo-shop` answers to right and wrong usage, and what it wants of a cluster."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from dynamo_client import UnknownTable
from dynamo_shop.cli import main
from dynamo_shop.errors import CannotServe
from dynamo_shop.tables import RULES, open_tables

Answer = tuple[int, str, str]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Answer]]:
    """Run `dynamo-shop`; (status, stdout, stderr)."""

    def run(*arguments: str) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err  # type: ignore[return-value]

    yield run
    structlog.reset_defaults()


def test_help_everywhere(command: Callable[..., Answer]) -> None:
    for arguments in (["--help"], ["serve", "--help"]):
        status, out, _ = command(*arguments)
        assert status == 0
        assert "--help" in out
    assert "7900" in out


@pytest.mark.parametrize(
    "arguments", [[], ["sell"], ["serve", "--port", "http"], ["serve", "--seeds", "nowhere:http"]]
)
def test_wrong_usage_is_told(command: Callable[..., Answer], arguments: list[str]) -> None:
    status, _, err = command(*arguments)
    assert status == 2
    assert "Traceback" not in err


def test_a_cluster_that_does_not_answer_is_told(command: Callable[..., Answer]) -> None:
    status, _, err = command("serve", "--seeds", "127.0.0.1:1", "--port", "0")
    assert status == 1
    assert err.startswith("dynamo-shop: no node answered at 127.0.0.1:1")


class Database:
    """A cluster with some tables."""

    def __init__(self, **rules: str) -> None:
        self._rules = rules

    def table(self, name: str) -> Any:
        if name not in self._rules:
            raise UnknownTable(f"no table is called {name!r}")
        return SimpleNamespace(name=name)

    async def status(self) -> dict[str, Any]:
        numbers = {"n": 3, "w": 2}
        rules = self._rules.items()
        return {"tables": {name: {"conflict_rule": rule, **numbers} for name, rule in rules}}


async def test_the_tables_are_opened_in_order() -> None:
    tables = await open_tables(Database(**RULES))  # type: ignore[arg-type]
    names = [table.name for table in (tables.cart, tables.session, tables.product)]
    assert names == ["shop_cart", "shop_session", "shop_product"]
    assert tables.product_r == 2


async def test_a_missing_table_or_another_rule_is_told() -> None:
    with pytest.raises(CannotServe, match=r"'shop_cart'; the cluster.yml must have the tables"):
        await open_tables(Database(cart="siblings"))  # type: ignore[arg-type]
    wrong = {**RULES, "shop_session": "lww"}
    with pytest.raises(CannotServe, match="shop_session must have conflict_rule: siblings"):
        await open_tables(Database(**wrong))  # type: ignore[arg-type]
