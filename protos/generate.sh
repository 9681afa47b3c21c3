#!/bin/sh
# Writes the Python code and its types beside each .proto file, or below the folder given.
#
#     protos/generate.sh [FOLDER]        PYTHON=… chooses the interpreter (grpcio-tools in it)
#
# The paths start at `dynamo_protos`, so that generated code imports `from dynamo_protos import …`.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
python=${PYTHON:-$here/../.venv/bin/python}
bin=$(dirname "$(command -v "$python")")

cd "$here"
PATH="$bin:$PATH" exec "$python" -W ignore -m grpc_tools.protoc --proto_path=. \
    --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
    dynamo_protos/*.proto
