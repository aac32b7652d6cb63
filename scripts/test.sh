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
# A process for each core and one more, up to four, with one thread each: some tests wait for a cluster or a lock.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
cores="$("$PYTHON" -c 'from convergence.system.cores import available; print(available())')"
exec "$PYTHON" -m pytest -n "$((cores < 4 ? cores + 1 : 4))" --dist worksteal "$@"
