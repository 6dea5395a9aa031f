#!/usr/bin/env bash
# Lint, types and tests, on a fresh machine too; with --slow the tests alone that take minutes, each of a rare claim;
# with --versions the same rows from the oldest Spark and through Spark Connect (downloads Spark, 400 MB, once).
# Other arguments go to pytest: bash scripts/test.sh -k clean
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh test lint
if [ "${1:-}" = --versions ]; then
  exec bash scripts/versions.sh "${@:2}"
fi
if [ "${1:-}" = --slow ]; then
  exec .venv/bin/python -m pytest -m slow "${@:2}"
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest "$@"
