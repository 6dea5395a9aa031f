#!/usr/bin/env bash
# Makes .venv with everything that musicrec needs, at the versions of conf/constraints.txt, and Java where it is missing.
# Usage: bash scripts/setup.sh [EXTRA ...]   e.g. `bash scripts/setup.sh test lint`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

java_version() {
  local java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
  command -v "$java" >/dev/null 2>&1 || { echo 0; return; }
  "$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

install_java() {
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: Spark needs Java 17 or newer; install a headless runtime (e.g. openjdk-17-jre-headless) and run this again" >&2
    exit 1
  fi
  echo "installing a Java runtime"
  apt-get update -qq
  for package in openjdk-21-jre-headless openjdk-17-jre-headless default-jre-headless; do
    if DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1; then return; fi
  done
  echo "error: apt has no Java runtime of version 17 or newer; install one and run this again" >&2
  exit 1
}

java="$(java_version)"
if [ "${java:-0}" -lt 17 ]; then install_java; fi

python=""
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python="$candidate"; break
  fi
done
if [ -z "$python" ]; then
  echo "error: musicrec needs Python 3.11 or newer; install it, or set PYTHON to it" >&2
  exit 1
fi

if [ ! -x .venv/bin/python ]; then
  "$python" -m venv .venv || { echo "error: no virtual environment could be made; on Debian install python3-venv" >&2; exit 1; }
fi

extras="$(IFS=,; echo "$*")"
wanted=".${extras:+[$extras]}"
# Installing takes seconds even when nothing changes, so it is skipped while its inputs are the same.
stamp=".venv/musicrec-installed"
inputs="$(cat setup.cfg pyproject.toml conf/constraints.txt; echo "$wanted")"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$inputs" ]; then
  echo "installing packages into .venv"
  # To compile all that is installed takes longer than to install it, and most of it is never imported.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint conf/constraints.txt --editable "$wanted"
  printf '%s' "$inputs" > "$stamp"
fi
# A minute once, so that each run starts in half of the time. A run that fails here fails for the user, too, and says why.
if [ -z "${MUSICREC_NO_WARM:-}" ]; then
  bash scripts/warm.sh || echo "warning: no archive of Spark's classes was made; runs start slower without it" >&2
fi
echo "musicrec is installed: .venv/bin/musicrec --help (or \`source .venv/bin/activate\`, then musicrec --help)"
