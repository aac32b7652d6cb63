#!/usr/bin/env bash
# From nothing to Figure 1A and 1B: environment, install, two networks trained from their seeds, scores, figures.
# Overrides are handed on: bash scripts/quickstart.sh metric=procrustes
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
environment ""
exec "$PYTHON" -m convergence run "$@"
