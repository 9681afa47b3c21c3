"""The registry of bounds is complete and true: every limit in the code is in it, every test that
it names exists, and docs/bounds.md says the same.

    python tests/style/test_bounds.py > docs/bounds.md
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest
from house_rules import Source, repository_sources

from dynamo.bounds import BOUNDS, OTHER_LIMITS, as_markdown

ROOT = Path(__file__).resolve().parents[2]
ALL = [bound for bounds in BOUNDS.values() for bound in bounds]
REGISTERED = {limit for bound in ALL for limit in bound.limits} | set(OTHER_LIMITS)
PACKAGES = ("dynamo", "dynamo_node", "dynamo_client", "dynamo_shop")
MIB, KIB = 1 << 20, 1 << 10


def limits_of(source: Source) -> Iterator[str]:
    """Names of constants and fields of the file that end in MAX or max."""
    if source.module.split(".")[0] not in PACKAGES or source.module.startswith("dynamo.testing"):
        return
    for name in _assigned(source.tree.body):
        yield f"{source.module}:{name}"
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef):
            for name in _assigned(node.body):
                yield f"{source.module}:{node.name}.{name}"


def _assigned(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                targets += target.elts if isinstance(target, ast.Tuple) else [target]
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            if isinstance(target, ast.Name) and re.search(r"(_max|_MAX)$", target.id):
                yield target.id


def is_delay(limit: str) -> bool:
    """Whether the name tells that it is a time."""
    return re.search(r"_m?s_max$", limit.lower()) is not None


def value_of(limit: str) -> int | float | None:
    """A limit's default."""
    module, _, path = limit.partition(":")
    found = import_module(module)
    for name in path.split("."):
        if isinstance(found, type) and is_dataclass(found):
            (default,) = [field.default for field in fields(found) if field.name == name]
            return None if default is MISSING else default
        defaults = getattr(found, "_field_defaults", {})
        if name in getattr(found, "_fields", ()):
            return defaults.get(name)  # type: ignore[no-any-return]
        found = getattr(found, name)
    return found  # type: ignore[return-value]


def told(limit: str) -> str:
    """The default for a reader."""
    value = value_of(limit)
    if value is None:
        return "(as configured)"
    words = limit.lower().replace(".", "_").split("_")
    unit = next((word for word in ("bytes", "ms") if word in words), "")
    if unit == "bytes" and isinstance(value, int):
        for size, name in ((MIB, "MiB"), (KIB, "KiB")):
            if value >= size and value % (size // 4) == 0:
                return f"{value / size:g} {name}"
    return f"{value:,g} {unit}".strip() if value >= 10_000 else f"{value:g} {unit}".strip()


def document() -> str:
    return as_markdown({limit: told(limit) for bound in ALL for limit in bound.limits})


@pytest.fixture(scope="module")
def in_code() -> set[str]:
    return {limit for source in repository_sources(ROOT) for limit in limits_of(source)}


def test_every_limit_in_the_code_is_registered(in_code: set[str]) -> None:
    assert len(in_code) > 50
    missing = sorted(name for name in in_code - REGISTERED if not is_delay(name))
    assert not missing, (
        "\nadd to dynamo/bounds.py what these bound and what happens there, or to OTHER_LIMITS "
        "why they bound nothing:\n" + "\n".join(missing)
    )


def test_every_registered_limit_is_in_the_code(in_code: set[str]) -> None:
    gone = [name for name in sorted(REGISTERED - in_code) if name.lower().endswith("max")]
    assert not gone, "\nnot in the code any more: " + ", ".join(gone)
    for name in REGISTERED:
        value_of(name)


@pytest.mark.parametrize(
    "code",
    [
        "QUEUE_MAX = 5",
        "class Limits:\n    queue_max: int = 5",
        "_QUEUE_MAX: Final = 5",
        "A_MAX, B_MIN = 5, 6",
    ],
)
def test_a_new_limit_is_seen(code: str) -> None:
    (found,) = limits_of(Source("dynamo/coordination/new.py", code))
    assert found not in REGISTERED
    assert not is_delay(found)


@pytest.mark.parametrize("bound", ALL, ids=lambda bound: bound.grows)
def test_the_test_and_the_metric_that_it_names_exist(bound: object) -> None:
    file, _, name = bound.shown_by.partition("::")  # type: ignore[attr-defined]
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{file} has no {name}"
    metric = bound.metric  # type: ignore[attr-defined]
    assert not metric or f"`{metric}`" in (ROOT / "docs" / "metrics.md").read_text()


def test_no_limit_is_registered_twice() -> None:
    named = [limit for bound in ALL for limit in bound.limits]
    assert len(named) == len(set(named))
    assert not set(named) & set(OTHER_LIMITS)


def test_the_document_is_this_table() -> None:
    written = (ROOT / "docs" / "bounds.md").read_text(encoding="utf-8")
    assert written == document(), "run: python tests/style/test_bounds.py > docs/bounds.md"


if __name__ == "__main__":
    print(document(), end="")
