"""The rules of the house as functions: a source file in, complaints out.

Floors (a floor imports only lower ones; packages of one floor that do not see each other say so):

    F0 values · F1 ring siblings merkle crdt · F2 messages · F3 coordination membership repair
    replica paxos · F4 kernel · F5 wire storage · F6 testing · shells · outer
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOTS = (".", "node", "client", "bench", "services", "protos")
PACKAGES = (
    "dynamo",
    "dynamo_node",
    "dynamo_client",
    "dynamo_bench",
    "dynamo_shop",
    "dynamo_protos",
)

FLOORS: dict[int, tuple[str, ...]] = {
    0: (
        *("types", "ports", "background", "machine", "errors", "config", "limits"),
        *(
            "keys",
            "history",
            "hlc",
            "timers",
            "meters",
            "bound",
            "bounds",
            "bounds_edges",
            "bounds_shop",
        ),
    ),
    1: ("ring", "siblings", "merkle", "crdt"),
    2: ("messages",),
    3: ("coordination", "membership", "repair", "replica", "paxos"),
    4: ("kernel", "answers", "brain", "parts"),
    5: ("wire", "storage"),
    6: ("testing",),
}
SEPARATE_FLOORS = (1, 3)
CORE_FLOORS = range(5)

CORE_LIBRARY = (
    *("__future__", "abc", "array", "binascii", "bisect", "collections", "contextlib", "copy"),
    *("dataclasses", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "math"),
    *("operator", "re", "statistics", "string", "struct", "types", "typing", "zlib"),
    *("base64", "json", "mmh3", "msgpack"),
)
"""What decides without clock, chance, files, network or threads; all else is for the shells."""

CORE_CALLS = ("open", "print", "input", "exec", "eval", "breakpoint", "__import__")

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 50
COLUMNS_MAX = 100
PRAGMA = re.compile(r"\s*# (type: ignore|noqa)\S*$")
"""A remark to a tool at a line's end cannot be broken off; ruff does not count it either."""


@dataclass(frozen=True)
class Source:
    """One Python file by its path in the repository."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    @property
    def is_test(self) -> bool:
        """Whether the file is below `tests`."""
        return self.path.startswith("tests/")

    @property
    def module(self) -> str:
        """The dotted name under which the file is imported."""
        parts = list(Path(self.path).with_suffix("").parts)
        if parts[0] in ROOTS:
            del parts[0]
        if parts[-1] == "__init__":
            del parts[-1]
        return ".".join(parts)

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, module) for each import; a name imported from a package counts as its module."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    yield node.lineno, f"{base}.{alias.name}" if base == "dynamo" else base

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module.split(".")
        if not self.path.endswith("__init__.py"):
            package = package[:-1]
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, node.module] if node.module else package)


Rule = Callable[[Source], Iterator[str]]


def place(module: str) -> tuple[int | None, str]:
    """(floor, package) of a module of ours; the floor is None if it has none."""
    top, _, rest = module.partition(".")
    if top == "dynamo_protos" or module == "dynamo":
        return 0, top
    if top != "dynamo":
        return 7 if top in ("dynamo_node", "dynamo_client") else 8, top
    name = rest.partition(".")[0]
    for floor, packages in FLOORS.items():
        for package in packages:
            if name == package or (floor in (2, 4) and name.startswith(f"{package}_")):
                return floor, package
    return None, name


def floors(source: Source) -> Iterator[str]:
    """A floor imports only lower floors; F1 and F3 packages, and the shells, never each other."""
    if source.is_test:
        return
    if place(source.module)[0] is None:
        yield f"{source.path}:1: {source.module} stands on no floor; add it to the table"
        return
    for line, imported in source.imports():
        if imported.partition(".")[0] in PACKAGES and not may_import(source.module, imported):
            yield f"{source.path}:{line}: {source.module} must not import {imported}"


def may_import(importer: str, imported: str) -> bool:
    """Whether DESIGN section 3 lets `importer` see `imported`."""
    floor, package = place(importer)
    other, other_package = place(imported)
    if floor is None or other is None:
        return False
    if package == other_package and floor == other:
        return True
    if floor == 8:
        return _outer_may_import(package, imported)
    if floor == 7:
        return other < 6
    if floor == 5:
        return other in (0, 1, 2, 5)
    return other < floor or (floor == other and floor not in SEPARATE_FLOORS)


def _outer_may_import(package: str, imported: str) -> bool:
    if imported in ("dynamo_client", "dynamo_client.sync"):
        return True
    top = imported.partition(".")[0]
    return top == "dynamo_protos" or (package == "dynamo_bench" and top == "dynamo")


def pure_core(source: Source) -> Iterator[str]:
    """F0 to F4 know no clock, chance, file, network, thread or log."""
    if not _is_core(source):
        return
    for line, imported in source.imports():
        top = imported.partition(".")[0]
        if top not in CORE_LIBRARY and top not in PACKAGES:
            yield f"{source.path}:{line}: the core must not import {imported}; shells do that"
    for name, call in _calls(source):
        if name in CORE_CALLS:
            yield f"{source.path}:{call.lineno}: the core must not call {name}()"


def _is_core(source: Source) -> bool:
    top = source.module.partition(".")[0]
    return not source.is_test and top == "dynamo" and place(source.module)[0] in CORE_FLOORS


def sizes(source: Source) -> Iterator[str]:
    """One idea, one file; a function fits a screen."""
    lines = source.text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield f"{source.path}:1: {len(lines)} lines are more than {FILE_LINES_MAX}"
    for number, text in enumerate(lines, 1):
        columns = len(PRAGMA.sub("", text))
        if columns > COLUMNS_MAX:
            yield f"{source.path}:{number}: {columns} columns are more than {COLUMNS_MAX}"
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{source.path}:{node.lineno}: {node.name} has {length} lines"


def no_sleeping(source: Source) -> Iterator[str]:
    """Nothing blocks in `time.sleep`; tests wait for events, never for time to pass."""
    for name, call in _calls(source):
        if name == "time.sleep":
            yield f"{source.path}:{call.lineno}: time.sleep; wait for an event with a deadline"
        if source.is_test and name == "asyncio.sleep" and not _is_zero(call):
            yield f"{source.path}:{call.lineno}: asyncio.sleep in a test; wait for an event"
    for node in source.nodes:
        if not isinstance(node, ast.ImportFrom) or node.module not in ("time", "asyncio"):
            continue
        if any(alias.name == "sleep" for alias in node.names):
            yield f"{source.path}:{node.lineno}: import the module {node.module}, not sleep"


def _is_zero(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def no_swallowing(source: Source) -> Iterator[str]:
    """An error that nobody expected is never silently dropped."""
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"{source.path}:{node.lineno}: bare except"
            elif _is_anything(node.type) and all(_is_nothing(line) for line in node.body):
                yield f"{source.path}:{node.lineno}: swallows every exception"
    for name, call in _calls(source):
        if name.split(".")[-1] == "suppress" and any(_is_anything(kind) for kind in call.args):
            yield f"{source.path}:{call.lineno}: suppresses every exception"


def _is_anything(kind: ast.expr) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(ast.unparse(each) in ("Exception", "BaseException") for each in kinds)


def _is_nothing(statement: ast.stmt) -> bool:
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass | ast.Continue)


def no_printing(source: Source) -> Iterator[str]:
    """Only commands and the bench speak to stdout; everything else logs or returns."""
    top = source.module.partition(".")[0]
    if source.is_test or top == "dynamo_bench" or Path(source.path).name.startswith("cli"):
        return
    for name, call in _calls(source):
        if name == "print":
            yield f"{source.path}:{call.lineno}: print; only command lines and the bench do"


LAZY = ("chain", "enumerate", "filter", "islice", "iter", "map", "merge", "takewhile", "zip")


def no_lazy_expressions(source: Source) -> Iterator[str]:
    """mypyc goes through all of a generator expression where it stands, however little is asked of
    it: one that is to be lazy is a generator function."""
    if source.is_test:
        return
    held = [(node, node.elts) for node in source.nodes if isinstance(node, ast.Tuple | ast.List)]
    taken = [(call, call.args) for name, call in _calls(source) if name.split(".")[-1] in LAZY]
    for outer, inner in (*held, *taken):
        if any(isinstance(each, ast.GeneratorExp) for each in inner):
            yield f"{source.path}:{outer.lineno}: a lazy generator expression; write a function"


def no_mocks(source: Source) -> Iterator[str]:
    """Fakes, not mocks."""
    for line, imported in source.imports():
        if imported in ("mock", "unittest.mock", "unittest"):
            yield f"{source.path}:{line}: {imported}; write a fake"


def _calls(source: Source) -> Iterator[tuple[str, ast.Call]]:
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func), node


RULES: tuple[Rule, ...] = (
    *(floors, pure_core, sizes, no_sleeping, no_swallowing, no_printing, no_mocks),
    no_lazy_expressions,
)


def repository_sources(root: Path) -> list[Source]:
    """Every Python file of ours that a person wrote."""
    folders = [root / base / package for base in ROOTS for package in PACKAGES]
    files = [file for folder in (*folders, root / "tests") for file in folder.rglob("*.py")]
    return [
        Source(str(file.relative_to(root)), file.read_text(encoding="utf-8"))
        for file in sorted(files)
        if "_pb2" not in file.name
    ]
