# Sourced by the other scripts: makes .venv and installs the project into it, once for each state of its pins.
# usage: environment EXTRA          ("" or "test"); leaves the interpreter's path in $PYTHON

environment() {
  local extra="$1" found="" candidate
  cd "$(dirname "${BASH_SOURCE[0]}")/.." || return 1
  for candidate in python3.12 python3.11 python3.13 python3 python; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      found="$candidate"
      break
    fi
  done
  if [ -z "$found" ] && [ ! -x .venv/bin/python ]; then
    echo "Python 3.11, 3.12 or 3.13 with venv was not found on the PATH: install one, then run this again." >&2
    return 1
  fi
  [ -x .venv/bin/python ] || "$found" -m venv .venv || return 1
  PYTHON="$PWD/.venv/bin/python"
  local stamp=".venv/installed${extra:+-$extra}" state
  state="$(cat pyproject.toml constraints.txt | cksum)"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$state" ]; then
    echo "Installing into .venv (about a minute beyond the downloads) …"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extra:+[$extra]}" || return 1
    echo "$state" > "$stamp"
  fi
}
