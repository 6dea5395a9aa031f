#!/usr/bin/env bash
# Lint, types and tests, on a fresh machine too; with --slow the tests alone that take minutes, each of a rare claim;
# with --versions the same rows from the oldest Spark and through Spark Connect (downloads Spark, 400 MB, once);
# with --stores those of HDFS, of Azure and of DuckDB on a bucket (downloads 300 MB, once).
# Other arguments go to pytest: bash scripts/test.sh -k clean
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
MUSICREC_NO_WARM=1 bash scripts/setup.sh test lint
if [ "${1:-}" = --versions ]; then
  exec bash scripts/versions.sh "${@:2}"
fi
if [ "${1:-}" = --stores ]; then
  exec bash scripts/stores.sh "${@:2}"
fi

# Beside lint and types, which take one core: what makes the starts of a dozen JVMs a quarter shorter.
bash scripts/warm.sh &
warming=$!
if [ "${1:-}" != --slow ]; then
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/mypy
fi
# A run that fails here fails in a test, too, which says more.
wait "$warming" || echo "warning: no archive of classes was made" >&2
archive="$PWD/.venv/share/musicrec/spark-classes.jsa"
# The second compiler takes half of a short run's CPU time and pays in long ones. A JVM for which the archive does not
# fit goes without.
JDK_JAVA_OPTIONS="${JDK_JAVA_OPTIONS:--XX:TieredStopAtLevel=1 \"-XX:SharedArchiveFile=$archive\" -Xshare:auto -Xlog:disable}"
export JDK_JAVA_OPTIONS
if [ "${1:-}" = --slow ]; then
  exec .venv/bin/python -m pytest -m slow "${@:2}"
fi
.venv/bin/python -m pytest "$@"
