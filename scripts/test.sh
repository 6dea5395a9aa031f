#!/usr/bin/env bash
# Lint, types and all tests, on a fresh machine too. Arguments go to pytest: bash scripts/test.sh -k clean
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh test lint
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest "$@"
