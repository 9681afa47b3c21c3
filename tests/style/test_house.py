"""The repository keeps the rules of the house, and each rule is able to fail."""

from pathlib import Path

import pytest
from house_rules import (
    RULES,
    Rule,
    Source,
    floors,
    no_lazy_expressions,
    no_mocks,
    no_printing,
    no_sleeping,
    no_swallowing,
    pure_core,
    repository_sources,
    sizes,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return repository_sources(ROOT)


def test_the_rules_see_the_repository(sources: list[Source]) -> None:
    modules = {source.module for source in sources}
    assert {
        "dynamo.types",
        "dynamo.config",
        "dynamo_node.supervisor",
        "dynamo_shop.cart",
    } <= modules
    assert any(source.is_test for source in sources)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps(rule: Rule, sources: list[Source]) -> None:
    complaints = [complaint for source in sources for complaint in rule(source)]
    assert not complaints, "\n" + "\n".join(complaints)


BAD: list[tuple[Rule, str, str]] = [
    (floors, "dynamo/types.py", "import dynamo.ring"),
    (floors, "dynamo/types.py", "from dynamo import kernel"),
    (floors, "dynamo/ring/plan.py", "from dynamo.siblings import Record"),
    (floors, "dynamo/ring/plan.py", "from ..siblings.record import Record"),
    (floors, "dynamo/ring/__init__.py", "from ..messages import Put"),
    (floors, "dynamo/siblings/record.py", "from dynamo.messages import Put"),
    (floors, "dynamo/coordination/get.py", "from dynamo.repair import Repair"),
    (floors, "dynamo/replica/store.py", "import dynamo.kernel"),
    (floors, "dynamo/kernel.py", "from dynamo.storage.log import Log"),
    (floors, "dynamo/kernel_effects.py", "from dynamo.wire import frames"),
    (floors, "dynamo/wire/frames.py", "from dynamo.coordination import get"),
    (floors, "dynamo/storage/log.py", "from dynamo.testing.disk import Disk"),
    (floors, "dynamo/testing/world.py", "import dynamo_node"),
    (floors, "dynamo/testing/world.py", "def f():\n    import dynamo_client"),
    (floors, "node/dynamo_node/daemon.py", "import dynamo_client"),
    (floors, "node/dynamo_node/daemon.py", "from dynamo.testing import world"),
    (floors, "client/dynamo_client/api.py", "from dynamo_node.config_file import load"),
    (floors, "client/dynamo_client/api.py", "import dynamo_bench"),
    (floors, "bench/dynamo_bench/run.py", "from dynamo_node.supervisor import Supervisor"),
    (floors, "bench/dynamo_bench/run.py", "from dynamo_client.links import Link"),
    (floors, "services/dynamo_shop/cart.py", "from dynamo.ring import Ring"),
    (floors, "services/dynamo_shop/cart.py", "import dynamo_node.cli"),
    (floors, "services/dynamo_shop/cart.py", "from dynamo_client.table import Table"),
    (floors, "services/dynamo_shop/cart.py", "import dynamo_bench"),
    (floors, "protos/dynamo_protos/extra.py", "import dynamo.ring"),
    (floors, "dynamo/helpers.py", "x = 1"),
    (floors, "dynamo/types.py", "from dynamo import helpers"),
    (pure_core, "dynamo/kernel.py", "import asyncio"),
    (pure_core, "dynamo/kernel.py", "from time import monotonic"),
    (pure_core, "dynamo/kernel.py", "def f():\n    import random"),
    (pure_core, "dynamo/config.py", "import os.path"),
    (pure_core, "dynamo/ring/plan.py", "from datetime import datetime"),
    (pure_core, "dynamo/messages.py", "import grpc.aio"),
    (pure_core, "dynamo/replica/store.py", "import logging"),
    (pure_core, "dynamo/types.py", "open('x')"),
    (pure_core, "dynamo/types.py", "print('x')"),
    (sizes, "dynamo/types.py", "x = 1\n" * 501),
    (sizes, "dynamo/types.py", "x = " + "1" * 97),
    (sizes, "dynamo/types.py", "x = " + "1" * 97 + "  # type: ignore[name-defined]"),
    (sizes, "tests/test_x.py", "def f():\n" + "    x = 1\n" * 50),
    (sizes, "dynamo/types.py", "class A:\n    async def f(self):\n" + "        x = 1\n" * 50),
    (no_sleeping, "node/dynamo_node/up.py", "import time\ntime.sleep(1)"),
    (no_sleeping, "tests/test_x.py", "from time import sleep\nsleep(1)"),
    (no_sleeping, "tests/test_x.py", "import asyncio\nasyncio.sleep(0.1)"),
    (no_swallowing, "tests/test_x.py", "try:\n    f()\nexcept:\n    raise"),
    (no_swallowing, "dynamo/types.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (no_swallowing, "dynamo/types.py", "try:\n    f()\nexcept (OSError, Exception):\n    ..."),
    (no_swallowing, "dynamo/types.py", "for x in y:\n try:\n  f()\n except Exception:\n  continue"),
    (no_swallowing, "dynamo/types.py", "with contextlib.suppress(Exception):\n    f()"),
    (no_printing, "node/dynamo_node/up.py", "print('hello')"),
    (no_printing, "client/dynamo_client/links.py", "def f():\n    print('hello')"),
    (no_mocks, "tests/test_x.py", "from unittest.mock import Mock"),
    (no_mocks, "tests/test_x.py", "from unittest import mock"),
    (
        no_lazy_expressions,
        "dynamo/storage/log.py",
        "rows = ((k, 0) for k in a), b",
    ),
    (no_lazy_expressions, "dynamo/storage/log.py", "next(islice((f(x) for x in a), 3, None))"),
    (no_lazy_expressions, "dynamo/storage/log.py", "heapq.merge(a, (f(x) for x in b))"),
]

GOOD: list[tuple[Rule, str, str]] = [
    (floors, "dynamo/ring/plan.py", "import dynamo.types\nfrom dynamo.ring.ring import Ring"),
    (floors, "dynamo/kernel.py", "from dynamo.coordination import get\nimport dynamo.repair"),
    (floors, "dynamo/kernel_effects.py", "from dynamo.kernel import Kernel"),
    (floors, "dynamo/storage/log.py", "from dynamo.wire import codec\nimport lmdb"),
    (floors, "dynamo/testing/world.py", "import dynamo.kernel\nimport dynamo.storage"),
    (floors, "node/dynamo_node/daemon.py", "import dynamo.kernel\nimport dynamo_protos.kv_pb2"),
    (floors, "bench/dynamo_bench/run.py", "import dynamo.testing\nimport dynamo_client"),
    (floors, "services/dynamo_shop/cart.py", "from dynamo_client.sync import connect"),
    (floors, "services/dynamo_shop/cart.py", "from dynamo_protos import shop_pb2"),
    (floors, "tests/unit/test_x.py", "import dynamo_node\nimport dynamo_client"),
    (pure_core, "dynamo/ring/plan.py", "import mmh3\nfrom collections.abc import Iterable"),
    (pure_core, "dynamo/storage/log.py", "import os\nopen('x')"),
    (pure_core, "node/dynamo_node/daemon.py", "import asyncio"),
    (sizes, "dynamo/types.py", "x = " + "1" * 96 + "\ndef f():\n" + "    x = 1\n" * 49),
    (sizes, "dynamo/types.py", "x = " + "1" * 90 + "  # type: ignore[name-defined]"),
    (no_sleeping, "tests/test_x.py", "import asyncio\nasyncio.sleep(0)"),
    (no_swallowing, "dynamo/types.py", "try:\n    f()\nexcept OSError:\n    pass"),
    (no_swallowing, "dynamo/types.py", "try:\n    f()\nexcept Exception:\n    log()\n    raise"),
    (no_printing, "client/dynamo_client/cli.py", "print('hello')"),
    (no_printing, "bench/dynamo_bench/run.py", "print('hello')"),
    (
        no_lazy_expressions,
        "dynamo/storage/log.py",
        "x = next((y for y in z), None)",
    ),
    (no_lazy_expressions, "dynamo/storage/log.py", "zip(a, [f(x) for x in b])"),
]


@pytest.mark.parametrize(("rule", "path", "code"), BAD)
def test_a_breach_is_seen(rule: Rule, path: str, code: str) -> None:
    assert list(rule(Source(path, code)))


@pytest.mark.parametrize(("rule", "path", "code"), GOOD)
def test_what_is_allowed_passes(rule: Rule, path: str, code: str) -> None:
    assert not list(rule(Source(path, code)))


def test_every_rule_has_a_breach_to_see() -> None:
    assert {rule.__name__ for rule, _, _ in BAD} == {rule.__name__ for rule in RULES}
