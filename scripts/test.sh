#!/usr/bin/env bash
# Environment, install with the test extra, linter, formatter, type checker, and the whole suite.
# Arguments are handed to pytest: bash scripts/test.sh -k matching
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
environment test
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
"$(dirname "$PYTHON")"/lint-imports --no-cache
# A process for each core, up to four, with one thread each: most of the suite's time goes into starting programs.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$PYTHON" -m pytest -n auto --maxprocesses 4 --dist worksteal "$@"
