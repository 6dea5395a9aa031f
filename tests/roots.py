"""Nights without Spark: small snapshots under an output root, and what stands there as files."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from musicrec.config import OutputConfig
from musicrec.storage import history, retention
from musicrec.storage.datasets import RECOMMENDATIONS, TRACKS, Dataset
from musicrec.storage.lease import locked
from musicrec.storage.pointer import snapshot_of
from musicrec.storage.publish import publish
from musicrec.storage.rows import FileRecord, RowFiles
from musicrec.storage.runs import POINTER, Root, Run, start_run
from musicrec.storage.stores import Store, open_store

DAY = date(2026, 1, 2)
AT_ONCE = OutputConfig(keep_snapshots=1, keep_hours=0)
N_PARTS = 3
# Of the manifests of these nights, beside the run.
MORE: dict[str, Any] = {}
Tables = dict[Dataset, list[FileRecord]]


def as_store(path: Path) -> Store:
    return open_store(str(path))


def at(root: Root, *names: str) -> Path:
    """Return where a directory root has something."""
    return Path(root.uri, *names)


def pointer_of(root: Root) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(root.store.get(POINTER))
    return found


def set_pointer(root: Root, **changed: object) -> None:
    """Change what the pointer says; None takes a key out."""
    pointer = {**pointer_of(root), **changed}
    root.store.put(
        POINTER, json.dumps({key: value for key, value in pointer.items() if value is not None}).encode()
    )


def write_tables(run: Run, tables: dict[Dataset, list[pa.Table]]) -> Tables:
    """Write tables as tasks do, a file each, and return their records."""
    return {
        dataset: [RowFiles(run.place(dataset)).write_recorded(part, rows) for part, rows in enumerate(pieces)]
        for dataset, pieces in tables.items()
    }


def stage(root: Root, day: date = DAY) -> tuple[Run, Tables]:
    """Do the work of a run, up to what is published: lists that say whose they are."""
    run = start_run(root, run_date=day)
    pieces = [pa.table({"track_id": [run.run_id], "rank": [part]}) for part in range(N_PARTS)]
    RowFiles(run.place(TRACKS)).write(0, pa.table({"track_id": [run.run_id]}))
    return run, write_tables(run, {RECOMMENDATIONS: pieces})


def publish_run(run: Run, tables: Tables, *, base: int, promote: bool = True) -> str:
    return publish(
        run, manifest={"run_id": run.run_id, **MORE}, report="", tables=tables, base=base, promote=promote
    )


def night(root: Root, day: date = DAY, keep: OutputConfig = AT_ONCE, *, promote: bool = True) -> str:
    """Publish as a refresh does, and return the name of the run."""
    with locked(root):
        base = history.settle(root)
        retention.drop_old(root, keep, is_over=False)
        run, tables = stage(root, day)
        publish_run(run, tables, base=base, promote=promote)
        run.note("published")
        retention.drop_old(root, keep, is_over=True)
    return run.run_id


def read_lists(root: Root, pointer: dict[str, Any]) -> str:
    """Read what a pointer names, and return the run that the rows are of."""
    rows = RowFiles(snapshot_of(root, pointer).below(RECOMMENDATIONS.name)).read().to_pylist()
    assert [row["rank"] for row in rows] == list(range(N_PARTS))
    (run_id,) = {row["track_id"] for row in rows}
    return run_id
