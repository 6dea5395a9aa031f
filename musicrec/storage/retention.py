"""What is deleted, and when: old snapshots with their work, and what runs left that failed.

All of it under the lock: what no run has under way, and no reader can have been led to lately.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from musicrec.config import OutputConfig
from musicrec.errors import StorageError
from musicrec.storage.artifacts import newest_checkpoints
from musicrec.storage.datasets import MODEL, REPLACED_NEIGHBORS, VECTOR_NEIGHBORS
from musicrec.storage.files import drop
from musicrec.storage.history import read_versions
from musicrec.storage.runs import FAILURE, Root, run_directories

SECONDS = 3600.0
# The current one, and that which a reader may have opened a moment before.
N_LIVE = 2


def drop_old(root: Root, keep: OutputConfig, *, is_over: bool) -> list[str]:
    """Delete snapshots that are no longer kept, with their work, and what failed runs left; return what went.

    The current snapshot always stays, and so does the one before it. Order is that of publishing, whatever the
    dates in the names. A snapshot that was never current is not kept.

    Parameters
    ----------
    root : Root
    keep : OutputConfig
        How many snapshots stay, the current one included, and for how long all do.
    is_over : bool
        A run has published; else one is about to begin, and goes on with the training of one that failed.
    """
    kept = _kept(root, keep)
    old = [path for path in run_directories(root.snapshots) if kept is not None and path.name not in kept]
    for path in old:
        drop(path)
    return [str(path.relative_to(root.path)) for path in (*old, *drop_failed(root, is_over=is_over))]


def drop_failed(root: Root, *, is_over: bool = False) -> list[Path]:
    """Delete the work of runs that have no snapshot; return what went.

    Until a run has succeeded, what says why they failed stays, and the training that was kept last.

    Parameters
    ----------
    root : Root
    is_over : bool
        As in `drop_old`.
    """
    # Before what it had replaced was put back, nothing goes of a run that was cut.
    is_whole = (root.path / VECTOR_NEIGHBORS.path).exists()
    failed = [
        path
        for path in run_directories(root.work)
        if not (root.snapshots / path.name).exists()
        and (is_whole or not (path / REPLACED_NEIGHBORS.path).exists())
    ]
    if is_over:
        for path in failed:
            drop(path)
        return failed
    spared = {path / FAILURE for path in failed} | set(newest_checkpoints(path / MODEL.path for path in failed))
    return [each for path in failed for each in _drop_all_but(spared, path)]


def _drop_all_but(spared: set[Path], directory: Path) -> list[Path]:
    """Delete a directory but for some of its files, and return what went."""
    if not any(directory in path.parents and path.exists() for path in spared):
        drop(directory)
        return [directory]
    gone = []
    for path in directory.iterdir():
        if path in spared:
            continue
        if path.is_dir() and not path.is_symlink():
            gone += _drop_all_but(spared, path)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
                gone.append(path)
    return gone


def _kept(root: Root, keep: OutputConfig) -> set[str] | None:
    """Return the runs whose snapshots stay, None where nobody knows what is current: then all do."""
    standing = {path.name for path in run_directories(root.snapshots)}
    kept: set[str] = set()
    now = datetime.now(UTC)
    try:
        for version in read_versions(root):
            age = (now - version.at).total_seconds() if version.at else float("inf")
            is_wanted = len(kept) < max(N_LIVE, keep.keep_snapshots) or abs(age) < keep.keep_hours * SECONDS
            if is_wanted and version.run_id in standing:
                kept.add(version.run_id)
            # A clock that was wrong once must not hide what lies before.
            elif not is_wanted and age > 0:
                break
    except StorageError:
        return None
    return kept
