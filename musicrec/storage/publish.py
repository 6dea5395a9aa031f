"""Make a checked result current: an immutable snapshot, then the pointer, replaced atomically and last."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from musicrec.schemas import SCHEMA_VERSION
from musicrec.storage.artifacts import sha256_of
from musicrec.storage.plain import as_json
from musicrec.storage.runs import Run, write_atomically, writing

STAGED = "snapshot"
MANIFEST, REPORT = "manifest.json", "report.html"


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
