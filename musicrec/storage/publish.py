"""Make a checked result current: an immutable snapshot, then the pointer, replaced atomically and last."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from musicrec.errors import StorageError
from musicrec.storage import history
from musicrec.storage.datasets import SCHEMA_VERSION, STAGED
from musicrec.storage.files import drop_markers, move, sha256_of, sync_files, write_text, writing
from musicrec.storage.plain import as_json
from musicrec.storage.runs import MANIFEST, REPORT, Run


def publish(run: Run, *, manifest: dict[str, Any], report: str) -> str:
    """Move the staged snapshot into place and point to it; return its directory.

    Parameters
    ----------
    run : Run
        Whose published datasets are written and checked.
    manifest : dict
        JSON values; the list of files is added.
    report : str
        The HTML page.

    Raises
    ------
    StorageError
        A write failed; the pointer still names the snapshot before.
    """
    staged, snapshot = run.work / STAGED, run.root.snapshots / run.run_id
    with writing(staged):
        drop_markers(staged)
        write_text(staged / REPORT, report)
        write_text(staged / MANIFEST, as_json({**manifest, "files": list_files(staged)}))
        sync_files(staged)
    history.note_current(run.root)
    move(staged, snapshot)
    pointer = {
        "run_id": run.run_id,
        "snapshot": f"snapshots/{run.run_id}",
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "schema_version": SCHEMA_VERSION,
        "manifest_sha256": sha256_of(snapshot / MANIFEST),
        "version": history.next_number(run.root),
    }
    write_text(run.root.pointer, as_json(pointer), durable=True)
    # It is current, whatever fails from here on; the next run notes it.
    with contextlib.suppress(StorageError):
        history.note_current(run.root)
    return str(snapshot)


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
