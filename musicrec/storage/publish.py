"""Make a checked result current: an immutable snapshot, then the pointer, replaced atomically and last."""

from __future__ import annotations

import json
import math
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from musicrec.schemas import SCHEMA_VERSION
from musicrec.storage.artifacts import sha256_of
from musicrec.storage.runs import Run, write_atomically, writing

STAGED = "snapshot"
MANIFEST, REPORT = "manifest.json", "report.html"

# user:password@ within a URI, and parameters that carry keys.
SECRET = re.compile(r"(?<=://)[^/@\s]+@|(?<=[?&])(?:sig|token|key|secret|password|x-amz-[\w-]+)=[^&\s]+", re.I)


def staged_path(run: Run, name: str) -> str:
    """Return where a dataset or file of the coming snapshot is written, still under `work/`."""
    return run.table(f"{STAGED}/{name}")


def publish(run: Run, *, manifest: dict[str, Any], report: str) -> Path:
    """Move the staged snapshot into place and point to it; return its directory.

    Raises
    ------
    StorageError
        A write failed; the pointer still names the snapshot before.
    """
    staged = run.work / STAGED
    with writing(staged):
        drop_markers(staged)
        (staged / REPORT).write_text(report, encoding="utf-8")
        full = {**manifest, "files": list_files(staged)}
        (staged / MANIFEST).write_text(as_json(full), encoding="utf-8")
        sync_files(staged)
        snapshot = run.root.snapshots / run.run_id
        staged.rename(snapshot)
    pointer = {
        "run_id": run.run_id,
        "snapshot": f"snapshots/{run.run_id}",
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "schema_version": SCHEMA_VERSION,
        "manifest_sha256": sha256_of(snapshot / MANIFEST),
    }
    write_atomically(run.root.pointer, as_json(pointer))
    return snapshot


def list_files(directory: Path) -> list[dict[str, Any]]:
    """Return path, bytes, rows (of Parquet) and SHA-256 of each file, by path."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return [
        {
            "path": str(path.relative_to(directory)),
            "bytes": path.stat().st_size,
            **({"rows": pq.read_metadata(path).num_rows} if path.suffix == ".parquet" else {}),
            "sha256": sha256_of(path),
        }
        for path in files
    ]


def without_secrets(value: Any) -> Any:
    """Return JSON values with the credentials that a URI may hold replaced by ***."""
    if isinstance(value, str):
        return SECRET.sub(lambda match: "***@" if match.group().endswith("@") else "***", value)
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list | tuple) else value


def without_nan(value: Any) -> Any:
    """Return JSON values with null for each NaN: what is not known."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def as_json(value: Any) -> str:
    """Return indented JSON; NaN, which JSON does not have, is refused."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sync_files(directory: Path) -> None:
    """Wait until the files are on the disk: a pointer that outlives a power failure must not lead to nothing."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def drop_markers(directory: Path) -> None:
    """Delete Spark's checksums and success markers, which mean nothing once what was written is checked."""
    for path in [*directory.rglob("*.crc"), *directory.rglob("_SUCCESS")]:
        path.unlink()
