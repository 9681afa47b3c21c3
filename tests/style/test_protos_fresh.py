"""The generated code that is committed equals what a fresh run makes of the .proto files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROTOS = Path(__file__).resolve().parents[2] / "protos"


@pytest.mark.slow
def test_generated_code_is_fresh(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", exc_type=ImportError)
    command = [str(PROTOS / "generate.sh"), str(tmp_path)]
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=60)
    fresh = _generated(tmp_path)
    assert len(fresh) >= 8, "a .proto file makes code and types for messages and for services"
    assert _generated(PROTOS) == fresh, "run protos/generate.sh and commit what it wrote"


def _generated(root: Path) -> dict[str, str]:
    files = sorted((root / "dynamo_protos").glob("*_pb2*.py*"))
    return {file.name: file.read_text(encoding="utf-8") for file in files}


@pytest.mark.slow
def test_generated_code_imports_without_a_warning() -> None:
    code = "from dynamo_protos import kv_pb2, kv_pb2_grpc, shop_pb2, shop_pb2_grpc"
    environment = {**os.environ, "PYTHONPATH": str(PROTOS)}
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=60)
