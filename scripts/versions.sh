#!/usr/bin/env bash
# Other Sparks publish the same rows: the oldest that setup.cfg allows, and the pinned one through Spark Connect.
# Usage: bash scripts/versions.sh [VERSION ...]   (4.0.0; each is downloaded once, about 400 MB)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh test lint

# What `pyspark[connect]` adds, at the versions that were tried.
connect=(grpcio==1.85.3 grpcio-status==1.85.3 googleapis-common-protos==1.76.0 protobuf==7.36.2 zstandard==0.25.0)
versions=("$@")
if [ ${#versions[@]} -eq 0 ]; then versions=(4.0.0); fi
work="$(mktemp -d)"
# Kept where something is wrong: a difference that comes once in a hundred runs is told by its files alone.
trap 'if [ $? -eq 0 ]; then rm -rf "$work"; else echo "what was published is kept in $work" >&2; fi' EXIT
unset SPARK_HOME SPARK_REMOTE PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON
# Not installed: the workers of every environment find the package of this checkout.
export PYTHONPATH="$PWD"

# An environment with packages of its own, and behind them those of .venv: a copy of torch for each is gigabytes.
make_environment() {
  local environment="$1" stamp="$1/musicrec-installed"
  shift
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$*" ]; then return; fi
  echo "installing $* into $environment"
  .venv/bin/python -m venv --clear "$environment"
  local behind site='import sysconfig; print(sysconfig.get_path("purelib"))'
  behind="$(.venv/bin/python -c "$site")"
  echo "$behind" > "$("$environment/bin/python" -c "$site")/behind.pth"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$@"
  printf '%s' "$*" > "$stamp"
}

refresh() {
  local python="$1" version="$2" name="$3" catalog="$work/catalog"
  echo "refreshing 500 songs: $name"
  "$python" -c 'import sys, pyspark; sys.exit(pyspark.__version__ != sys.argv[1] and f"found {pyspark.__version__}")' "$version"
  # exact_below=0: with the cells that large catalogs have.
  "$python" jobs/refresh.py --run-date 2026-05-06 \
    --set "input.tracks=$catalog/tracks" --set "input.playlists=$catalog/playlists" \
    --set "input.favorites=$catalog/favorites" --set "output.root=$work/$name" \
    --set "model.n_epochs=3" --set "model.hidden_layers=[32]" --set "model.embedding_dim=16" \
    --set "model.expert.min_songs=100" --set "neighbors.expert.exact_below=0" --set "spark.driver_memory=1g" \
    >"$work/$name.log" 2>&1 || { tail -n 40 "$work/$name.log" >&2; return 1; }
}

.venv/bin/python scripts/make_catalog.py --songs 500 --seed 1 --format csv --output "$work/catalog" >/dev/null
pinned="$(sed -n 's/^pyspark==//p' conf/constraints.txt)"
refresh .venv/bin/python "$pinned" "spark-$pinned"
for version in "${versions[@]}"; do
  make_environment ".venv-spark-$version" "pyspark==$version"
  refresh ".venv-spark-$version/bin/python" "$version" "spark-$version"
done
make_environment .venv-spark-connect "${connect[@]}"
SPARK_REMOTE="local[2]" refresh .venv-spark-connect/bin/python "$pinned" "connect-$pinned"
.venv/bin/python scripts/digest.py --compare "$work/spark-$pinned" "${versions[@]/#/$work/spark-}" "$work/connect-$pinned"
echo "installing the wheel with all that it needs"
env -u PYTHONPATH MUSICREC_WHOLE_INSTALL=1 .venv/bin/python -m pytest -n 0 -m slow tests/test_package.py
