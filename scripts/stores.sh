#!/usr/bin/env bash
# The tests of stores that need more than the suite installs: HDFS (a NameNode and a DataNode of the jars that Spark 2.4
# came with; 220 MB, once), Azurite as Azure's store (from npm; 190 MB, once), and DuckDB's client of S3, which is made
# for one version of DuckDB.
# Usage: bash scripts/stores.sh [PYTEST ARGUMENTS]; exit code 75 where something could not be fetched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
MUSICREC_NO_WARM=1 bash scripts/setup.sh test lint hdfs
place="$PWD/.venv/share/musicrec"
jars="$place/hdfs-jars"
if [ ! -d "$jars" ]; then
  echo "fetching the jars of HDFS"
  mkdir -p "$place"
  work="$(mktemp -d "$place/fetch.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  # Its setup asks for a package that later versions of it broke.
  echo "pypandoc<1.8" > "$work/build-constraint"
  PIP_CONSTRAINT="$work/build-constraint" .venv/bin/python -m pip download --quiet --disable-pip-version-check \
    --no-binary :all: --no-deps --dest "$work" pyspark==2.4.8 || exit 75
  mkdir "$work/jars"
  tar -xzf "$work/pyspark-2.4.8.tar.gz" --strip-components=3 -C "$work/jars" pyspark-2.4.8/deps/jars
  mv "$work/jars" "$jars"
fi
duckdb="$place/duckdb"
if [ ! -x "$duckdb/bin/python" ]; then
  echo "installing DuckDB with its client of S3"
  .venv/bin/python -m venv "$duckdb"
  "$duckdb/bin/python" -m pip install --quiet --disable-pip-version-check duckdb==1.5.5 duckdb-extension-httpfs==1.5.5 || {
    rm -rf "$duckdb"
    exit 75
  }
fi
azurite="$place/azurite"
if [ ! -d "$azurite" ]; then
  echo "installing Azurite"
  command -v npm > /dev/null || { echo "npm is missing" >&2; exit 75; }
  rm -rf "$azurite.part"
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$azurite.part" azurite@3.35.0 || {
    rm -rf "$azurite.part"
    exit 75
  }
  mv "$azurite.part" "$azurite"
fi
export MUSICREC_HDFS_JARS="$jars" MUSICREC_DUCKDB_PYTHON="$duckdb/bin/python" MUSICREC_AZURITE="$azurite"
exec .venv/bin/python -m pytest -m stores "$@"
