#!/usr/bin/env bash
# One small run that leaves behind what other runs start quicker with: an archive of the classes that Spark loads, which
# Java maps into memory in place of reading its jars, and the compiled loops of the join beside their sources. All of
# it is optional. Nothing is done while the archive is newer than Spark and Java.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
archive="$PWD/.venv/share/musicrec/spark-classes.jsa"
java="$(readlink -f "$(command -v "${JAVA_HOME:+$JAVA_HOME/bin/}java")")"
spark="$(.venv/bin/python -c 'import pyspark; print(pyspark.__path__[0])')"
if [ "$archive" -nt "$java" ] && [ "$archive" -nt "$spark/jars" ] && [ "$archive" -nt "$spark/version.py" ]; then exit 0; fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export PYSPARK_PYTHON="$PWD/.venv/bin/python"
.venv/bin/python scripts/make_catalog.py --songs 300 --seed 1 --format csv --output "$work/catalog" >/dev/null
# spark-submit ends with its JVM, which writes the archive last. exact_below=0: with the cells that large catalogs have.
JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1 \"-XX:ArchiveClassesAtExit=$work/classes.jsa\" -Xlog:disable" \
  "$spark/bin/spark-submit" --driver-memory 1g jobs/refresh.py -q \
  --set "input.tracks=$work/catalog/tracks" --set "input.playlists=$work/catalog/playlists" \
  --set "input.favorites=$work/catalog/favorites" --set "output.root=$work/output" \
  --set model.n_epochs=2 --set "model.hidden_layers=[16]" --set model.embedding_dim=8 \
  --set model.expert.min_songs=100 --set neighbors.expert.exact_below=0 >/dev/null 2>&1
if [ -f "$work/classes.jsa" ]; then
  mkdir -p "$(dirname "$archive")"
  mv -f "$work/classes.jsa" "$archive"
  touch "$archive"
fi
