"""The output of the join alone: files that stand beside the runs and are replaced as a whole.

A directory is renamed in one step. A store of objects knows no rename: there the files of a run have its name, and
`report.json`, which names them, is written last; then those that it does not name go.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from musicrec.errors import StorageError
from musicrec.storage.datasets import REPLACED_NEIGHBORS, STAGED_NEIGHBORS, VECTOR_NEIGHBORS
from musicrec.storage.files import move, sync_files, writing
from musicrec.storage.numbers import RUN_ID
from musicrec.storage.plain import as_json
from musicrec.storage.rows import RowFiles
from musicrec.storage.runs import WORK, Root, Run
from musicrec.storage.stores import MissingError

NEIGHBORS_REPORT = "report.json"


def neighbors_directory(root: Root) -> str:
    """Return where the neighbors are published."""
    return root.where(VECTOR_NEIGHBORS.name)


def staged_neighbors(run: Run) -> RowFiles:
    """Return the files that tasks write."""
    if run.root.store.path() is not None:
        return RowFiles(run.place(STAGED_NEIGHBORS))
    return RowFiles(run.root.store.below(VECTOR_NEIGHBORS.name), prefix=f"{run.run_id}-part-")


def check_output(root: Root, *, overwrite: bool) -> None:
    """Look whether the place is free, once what a run was cut in is put right.

    Raises
    ------
    StorageError
        It is not, and may not be overwritten; or nothing can be written here.
    """
    directory = root.store.path()
    if directory is not None:
        target = Path(neighbors_directory(root))
        with writing(target):
            _put_back(root, target)
        is_taken = target.exists()
    else:
        is_taken = bool(_published(root))
    if is_taken and not overwrite:
        todo = "choose another, or give --overwrite"
        raise StorageError("the output exists", where=neighbors_directory(root), todo=todo)


def replace_output(run: Run, *, n_files: int, report: dict[str, Any]) -> None:
    """Put what the run has staged in the place of what stood there, with its report; delete what failed runs left.

    Parameters
    ----------
    run : Run
    n_files : int
        How many files its tasks have written, by numbers from 0: what else a listing finds is none of theirs.
    report : dict
        JSON values; the list of files is added.

    Raises
    ------
    StorageError
        What stood there before stands there again.
    """
    root, files = run.root, staged_neighbors(run)
    names = [f"{VECTOR_NEIGHBORS.name}/{files.name(number)}" for number in range(n_files)]
    if root.store.path() is not None:
        _swap(run, Path(files.store.uri))
    root.store.put(NEIGHBORS_REPORT, as_json({**report, "files": names}).encode())
    if root.store.path() is None:
        old = [entry.name for entry in root.store.entries(VECTOR_NEIGHBORS.name) if _is_ours(entry.name)]
        root.store.delete(set(old) - set(names))
    # Under the lock all other work is that of runs that failed; that of a refresh belongs to its snapshot.
    for run_id in set(root.works()) - set(root.snapshots()):
        root.store.delete_all(f"{WORK}/{run_id}")


def set_aside(root: Root) -> list[str]:
    """Return the runs that were cut and hold what stood in the output, as long as nothing stands there."""
    # Only directories are renamed.
    if root.store.path() is None or Path(neighbors_directory(root)).exists():
        return []
    return [run_id for run_id in root.works() if Path(root.work(run_id).uri, REPLACED_NEIGHBORS.name).is_dir()]


def _published(root: Root) -> list[str]:
    """Return the files that the report names; none where there is none."""
    with contextlib.suppress(MissingError, ValueError, AttributeError):
        return list(json.loads(root.store.get(NEIGHBORS_REPORT)).get("files") or [])
    return []


def _is_ours(name: str) -> bool:
    return bool(RUN_ID.match(name.rpartition("/")[2]))


def _swap(run: Run, staged: Path) -> None:
    target, old = Path(neighbors_directory(run.root)), run.place(REPLACED_NEIGHBORS).uri
    with writing(target):
        sync_files(staged)
    if target.exists():
        move(target, old)
    try:
        move(staged, target)
    except BaseException:
        # Whatever ends it between the two renames: a full disk, or somebody who wants it to end.
        _put_back(run.root, target)
        raise


def _put_back(root: Root, target: Path) -> None:
    if replaced := set_aside(root):
        Path(root.work(replaced[-1]).uri, REPLACED_NEIGHBORS.name).rename(target)
