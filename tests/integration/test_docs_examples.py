"""The Python examples of README.md and of everything in docs run as they stand.

A block that imports something is a program and is run against a cluster (its seed takes the place
of 127.0.0.1:7400) or against the shop (127.0.0.1:7900); any other is a fragment, which must at
least be Python.
"""

import ast
import asyncio
import json
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cluster_process import Program, until

from dynamo_node import LocalCluster

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"^(?P<indent> *)```python\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
SEED, SHOP = "127.0.0.1:7400", "127.0.0.1:7900"


class Example(NamedTuple):
    """One block, and where it stands."""

    path: str
    line: int
    text: str

    @property
    def is_program(self) -> bool:
        """Whether it brings all that it needs."""
        return any(isinstance(node, ast.Import | ast.ImportFrom) for node in self.tree().body)

    def tree(self) -> ast.Module:
        """The block as Python; `await` may stand outside a function in a fragment."""
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(self.text, self.path, "exec", flags, dont_inherit=True)
        assert isinstance(tree, ast.Module)
        return ast.increment_lineno(tree, self.line - 1)


def examples(path: str, text: str) -> list[Example]:
    """All Python blocks of a document, without their common indent."""
    return [
        Example(
            path,
            text[: match.start("body")].count("\n") + 1,
            re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE),
        )
        for match in BLOCK.finditer(text)
    ]


DOCUMENTS = [
    path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if path.exists()
]
EXAMPLES = [
    example
    for path in DOCUMENTS
    for example in examples(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def seed() -> Iterator[str]:
    """A cluster in a thread of its own, so that an example may run a loop in this one."""
    seeds: list[str] = []
    started, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with LocalCluster() as cluster:
            seeds.append(cluster.seeds.split(",")[0])
            started.set()
            await asyncio.get_running_loop().run_in_executor(None, ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(30), "the cluster did not start"
        yield seeds[0]
    finally:
        ended.set()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def shop(seed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The services of `dynamo-shop serve` on that cluster."""
    file = tmp_path_factory.mktemp("shop") / "ready"
    program = Program(
        *(sys.executable, "-P", "-m", "dynamo_shop", "serve", "--seeds", seed),
        *("--port", "0", "--ready-file", str(file)),
    )
    try:
        asyncio.run(until(lambda: file.exists() or program.status is not None, "the shop serves"))
        assert program.status is None, program.told()
        yield f"127.0.0.1:{json.loads(file.read_text())['port']}"
    finally:
        program.signal(signal.SIGTERM)
        asyncio.run(program.ended())


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{each.path}:{each.line}")
def test_an_example_runs(
    example: Example, seed: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    if not example.is_program:
        return
    places = {SEED: seed}
    if SHOP in example.text:
        places[SHOP] = request.getfixturevalue("shop")
    tree = ast.fix_missing_locations(_At(places).visit(example.tree()))
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(tree, example.path, "exec"), space)
    assert "Traceback" not in capsys.readouterr().err


def test_the_documents_have_examples() -> None:
    programs = [example.path for example in EXAMPLES if example.is_program]
    assert "README.md" in programs
    assert programs.count("docs/client.md") >= 3
    assert "docs/shop.md" in programs


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```python\nx = 1\n```\n", ["x = 1\n"]),
        ("```sh\nmake\n```\n```python\ny\n```", ["y\n"]),
        ("- item\n\n  ```python\n  if x:\n      y\n  ```\n", ["if x:\n    y\n"]),
        ("```python\na\n```\ntext\n```python\nb\n```", ["a\n", "b\n"]),
        ("nothing here ```python", []),
    ],
)
def test_blocks_are_found_wherever_they_stand(text: str, found: list[str]) -> None:
    assert [example.text for example in examples("some.md", text)] == found


class _At(ast.NodeTransformer):
    """The example with the test's addresses in place of the usual ones."""

    def __init__(self, places: dict[str, str]) -> None:
        self._places = places

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if not isinstance(node.value, str):
            return node
        text = node.value
        for usual, place in self._places.items():
            text = text.replace(usual, place)
        return ast.copy_location(ast.Constant(text), node)
