"""A directory of files that stands beside the runs and is replaced as a whole: the output of the join alone."""

from __future__ import annotations

from pathlib import Path

from musicrec.errors import StorageError
from musicrec.storage.datasets import REPLACED_NEIGHBORS, STAGED_NEIGHBORS, VECTOR_NEIGHBORS
from musicrec.storage.files import drop, drop_markers, move, sync_files, write_text, writing
from musicrec.storage.runs import Root, Run, run_directories

NEIGHBORS_REPORT = "report.json"


def neighbors_directory(root: Root) -> str:
    """Return where the neighbors are published."""
    return str(root.path / VECTOR_NEIGHBORS.path)


def check_output(root: Root, *, overwrite: bool) -> None:
    """Put back what a run that was cut between two renames had set aside, then look whether the place is free.

    Raises
    ------
    StorageError
        It is not, and may not be overwritten; or nothing can be written here.
    """
    target = Path(neighbors_directory(root))
    with writing(target):
        _put_back(root, target)
    if target.exists() and not overwrite:
        raise StorageError("the output exists", where=str(target), todo="choose another, or give --overwrite")


def replace_output(run: Run, *, report: str) -> None:
    """Put what the run has staged in the place of what stood there, with its report; delete what failed runs left.

    Raises
    ------
    StorageError
        What stood there before stands there again.
    """
    staged, old = Path(run.path(STAGED_NEIGHBORS)), run.path(REPLACED_NEIGHBORS)
    target = Path(neighbors_directory(run.root))
    with writing(target):
        drop_markers(staged)
        sync_files(staged)
    if target.exists():
        move(target, old)
    try:
        move(staged, target)
    except BaseException:
        # Whatever ends it between the two renames: a full disk, or somebody who wants it to end.
        _put_back(run.root, target)
        raise
    write_text(target.parent / NEIGHBORS_REPORT, report, durable=True)
    # Under the lock all other work is that of runs that failed; that of a refresh belongs to its snapshot.
    for work in run_directories(run.root.work):
        if not (run.root.snapshots / work.name).exists():
            drop(work)


def _put_back(root: Root, target: Path) -> None:
    replaced = [run / REPLACED_NEIGHBORS.path for run in run_directories(root.work)]
    replaced = [directory for directory in replaced if directory.is_dir()]
    if replaced and not target.exists():
        replaced[-1].rename(target)
