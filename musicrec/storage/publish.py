"""Make a checked result current: its manifest, then an entry of the history, then the pointer, last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from musicrec.errors import StorageError
from musicrec.storage import history
from musicrec.storage.datasets import SCHEMA_VERSION, Dataset
from musicrec.storage.files import sync_files
from musicrec.storage.plain import as_json
from musicrec.storage.pointer import read_pointer
from musicrec.storage.rows import FileRecord
from musicrec.storage.runs import MANIFEST, REPORT, SNAPSHOTS, Root, Run, utc_now


def publish(
    run: Run, *, manifest: dict[str, Any], report: str, tables: Mapping[Dataset, Sequence[FileRecord]], base: int,
    promote: bool = False,
) -> str:  # fmt: skip
    """Make what a run has written current; return where it is.

    Parameters
    ----------
    run : Run
        Whose published datasets are written and checked.
    manifest : dict
        JSON values; the list of files is added.
    report : str
        The HTML page.
    tables : mapping
        The files of each published dataset, as those who wrote them say.
    base : int
        What was current when the run began, as `history.settle` said.
    promote : bool
        Also where what is current is of a later day.

    Raises
    ------
    LockError
        Another run has published meanwhile.
    StorageError
        A write failed; the pointer still names the snapshot before.
    """
    page = report.encode()
    run.snapshot.put(REPORT, page)
    files = [
        *(
            {**asdict(record), "path": f"{dataset.name}/{record.path}"}
            for dataset, records in tables.items()
            for record in records
        ),
        {"path": REPORT, "bytes": len(page), "sha256": hashlib.sha256(page).hexdigest()},
    ]
    files.sort(key=lambda each: str(each["path"]))
    content = as_json({**manifest, "finished_at": utc_now(), "files": files}).encode()
    run.snapshot.put(MANIFEST, content)
    if (directory := run.snapshot.path()) is not None:
        sync_files(directory)
    about = describe(run.run_id, content, {each["path"] for each in files})
    is_older = not promote and is_older_than_live(run.root, run.run_id)
    history.commit(run.root, about, action=history.BACKFILL if is_older else history.PUBLISH, base=base)
    return run.snapshot.uri


def describe(run_id: str, manifest: bytes, paths: Iterable[str]) -> dict[str, Any]:
    """Return what a pointer says of a snapshot.

    Parameters
    ----------
    run_id : str
    manifest : bytes
        As it is written.
    paths : iterable of str
        Of the snapshot's files.
    """
    tables: dict[str, list[str]] = {}
    for path in sorted(paths):
        name, _, below = path.partition("/")
        if below:
            tables.setdefault(name, []).append(f"{SNAPSHOTS}/{run_id}/{path}")
    return {
        "run_id": run_id,
        "snapshot": f"{SNAPSHOTS}/{run_id}",
        "published_at": utc_now(),
        "schema_version": SCHEMA_VERSION,
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "files": tables,
    }


def is_older_than_live(root: Root, run_id: str) -> bool:
    """Return whether a run is for an earlier day than what is current."""
    try:
        return run_id[:10] < str(read_pointer(root)["run_id"])[:10]
    except StorageError:
        return False
