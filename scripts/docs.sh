#!/usr/bin/env bash
# Environment, install with the docs extra, and the pages as a site in docs/_build; a warning is an error.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
environment docs
rm -rf docs/_build
"$PYTHON" -m sphinx -q -W --keep-going -b html docs docs/_build
echo "docs/_build/index.html"
