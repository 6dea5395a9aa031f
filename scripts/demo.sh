#!/usr/bin/env bash
# From nothing to recommendations: installs, makes a catalog of 20,000 songs, refreshes, shows some lists.
# Usage: bash scripts/demo.sh [DIRECTORY]   (demo/)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
out="${1:-demo}"
# The counts are written last: without them the catalog is not whole.
if [ ! -f "$out/catalog/truth/counts.json" ]; then
  .venv/bin/python scripts/make_catalog.py --songs 20000 --seed 1 --format csv --output "$out/catalog"
fi
.venv/bin/musicrec refresh \
  --set "input.tracks=$out/catalog/tracks" \
  --set "input.playlists=$out/catalog/playlists" \
  --set "input.favorites=$out/catalog/favorites" \
  --set "output.root=$out/output" \
  --set "spark.driver_memory=3g" >/dev/null
.venv/bin/python scripts/show_lists.py "$out/output"
