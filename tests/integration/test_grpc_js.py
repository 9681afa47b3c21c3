"""The public API as a program in JavaScript sees it: the .proto files are all that it has."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import google.rpc  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from kernel_door import KernelDoor

from dynamo.config import builtin
from dynamo_node.grpc_edge import start_grpc

HERE = Path(__file__).parent / "grpc_js"
PROTOS = Path(__file__).parents[2] / "protos"
GOOGLE_PROTOS = Path(next(iter(google.rpc.__path__))).parents[1]
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "ETIMEDOUT")

pytestmark = [pytest.mark.slow, pytest.mark.integration]


@pytest.fixture(scope="session")
def program(request: pytest.FixtureRequest) -> Path:
    """kv.mjs beside its installed packages, which are kept between runs."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed: no client in JavaScript was run")
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = request.config.cache
    assert cache is not None, "pytest's cache holds the packages"
    kept = cache.mkdir(f"grpc_js_{lock}") / "installed"
    if not kept.exists():
        _install(kept)
    return Path(shutil.copy(HERE / "kv.mjs", kept))


def _install(kept: Path) -> None:
    """Install aside, then move into place: two runs at once do not disturb each other."""
    aside = kept.with_name(f"{kept.name}-{os.getpid()}")
    shutil.copytree(HERE, aside)
    done = subprocess.run(INSTALL, cwd=aside, capture_output=True, text=True, timeout=300)
    if done.returncode:
        shutil.rmtree(aside)
        if any(word in done.stderr for word in OFFLINE) and "CI" not in os.environ:
            pytest.skip("npm reaches no registry: no client in JavaScript was run")
        pytest.fail(f"npm ci failed:\n{done.stderr}")
    try:
        aside.rename(kept)
    except OSError:  # another run was first
        shutil.rmtree(aside)


@pytest_asyncio.fixture
async def address() -> AsyncIterator[str]:
    """HOST:PORT of a running node's gRPC, with the built-in tables."""
    edge = await start_grpc(KernelDoor(builtin(nodes=1)), "127.0.0.1", 0)
    yield f"127.0.0.1:{edge.port}"
    await edge.stop(0)


async def test_a_client_in_javascript(program: Path, address: str) -> None:
    seen = await _run(program, address)
    told = seen["siblings"]
    assert (told["foundBefore"], told["foundAfter"]) == (False, False)
    assert (told["both"], told["merged"]) == (["one", "two"], ["both"])
    assert (bool(told["id"]), told["outcome"]) == (True, "OUTCOME_APPLIED")
    assert seen["chained"] == ["two"]
    assert seen["retried"] == {"values": ["once"], "sameId": True}
    _check_errors(seen["errors"])


async def _run(program: Path, address: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        *("node", str(program), address, str(PROTOS), str(GOOGLE_PROTOS)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def _check_errors(errors: dict[str, Any]) -> None:
    """Status, code and fate of each, decoded from google.rpc.Status."""
    no_write, nothing = "OUTCOME_UNSPECIFIED", "OUTCOME_NOT_APPLIED"
    expected = {
        "unknownTable": ("NOT_FOUND", "UNKNOWN_TABLE", nothing),
        "quorumAboveN": ("INVALID_ARGUMENT", "INVALID_QUORUM", nothing),
        "quorumZero": ("INVALID_ARGUMENT", "INVALID_QUORUM", no_write),
        "context": ("INVALID_ARGUMENT", "INVALID_CONTEXT", nothing),
        "emptyKey": ("INVALID_ARGUMENT", "KEY_TOO_LARGE", no_write),
        "valueTooLarge": ("INVALID_ARGUMENT", "VALUE_TOO_LARGE", nothing),
        "operation": ("INVALID_ARGUMENT", "INVALID_REQUEST", no_write),
    }
    infos = {name: seen["details"]["dynamo.v1.FailureInfo"] for name, seen in errors.items()}
    assert {
        name: (errors[name]["status"], info["code"].removeprefix("FAILURE_CODE_"), info["outcome"])
        for name, info in infos.items()
    } == expected
    assert all(seen["message"] for seen in errors.values())
