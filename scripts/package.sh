#!/usr/bin/env bash
# Makes dist/musicrec.zip, for spark-submit --py-files dist/musicrec.zip jobs/refresh.py ...
# The cluster's Python needs the packages of setup.cfg; they hold compiled code, which cannot run from a zip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"
[ -x "$python" ] || python=python3
"$python" - <<'PYTHON'
import zipfile
from pathlib import Path

target = Path("dist/musicrec.zip")
target.parent.mkdir(exist_ok=True)
files = sorted(p for p in Path("musicrec").rglob("*") if p.suffix in {".py", ".j2", ".toml", ".typed"})
with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
    for path in files:
        # A fixed time, so that the same sources give the same bytes.
        archive.writestr(zipfile.ZipInfo(str(path), (2020, 1, 1, 0, 0, 0)), path.read_bytes(), zipfile.ZIP_DEFLATED)
print(target)
PYTHON
