"""What is deleted, and when: old snapshots with their work, and what runs left that failed.

All of it under the lock: what no run has under way, and no reader can have been led to lately.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from musicrec.config import OutputConfig
from musicrec.errors import StorageError
from musicrec.storage.artifacts import newest_checkpoints
from musicrec.storage.datasets import MODEL
from musicrec.storage.history import MOVING, read_versions
from musicrec.storage.outputs import set_aside
from musicrec.storage.pointer import has_manifest, read_pointer
from musicrec.storage.runs import MANIFEST, PUBLISHED, SNAPSHOTS, STATE, WORK, Root
from musicrec.storage.stores import MissingError

SECONDS = 3600.0
# The current one, and that which a reader may have opened a moment before.
N_LIVE = 2


def drop_old(root: Root, keep: OutputConfig, *, is_over: bool, is_trial: bool = False) -> list[str]:
    """Delete snapshots that are no longer kept, with their work, and what failed runs left; return what went.

    The current snapshot always stays, and so does the one before it, and that which the last rollback named. Order
    is that of publishing, whatever the dates in the names. A snapshot that no version names is not kept.

    Parameters
    ----------
    root : Root
    keep : OutputConfig
        How many snapshots stay, the current one included, and for how long all do.
    is_over : bool
        A run has published; else one is about to begin, and goes on with the training of one that failed.
    is_trial : bool
        Delete nothing, and return what would go.
    """
    standing = root.snapshots()
    kept = _kept(root, keep, standing)
    old = [run_id for run_id in standing if run_id not in kept]
    gone = [run_id for run_id in old if is_trial or _drop_snapshot(root, run_id, keep)]
    left = set(standing) - set(gone)
    return [_place(run_id) for run_id in gone] + drop_failed(root, left=left, is_over=is_over, is_trial=is_trial)


def drop_failed(
    root: Root, *, left: set[str] | None = None, is_over: bool = False, is_trial: bool = False
) -> list[str]:
    """Delete the work of runs that have no snapshot; return what went.

    Until a run has succeeded, what says why they failed stays, and the training that was kept last.

    Parameters
    ----------
    root : Root
    left : set of str, optional
        The runs that have a snapshot.
    is_over, is_trial : bool
        As in `drop_old`.
    """
    standing = set(root.snapshots()) if left is None else left
    standing |= set(set_aside(root))
    failed = [run_id for run_id in root.works() if run_id not in standing]
    if is_over:
        for run_id in () if is_trial else failed:
            root.store.delete_all(f"{WORK}/{run_id}")
        return [f"{WORK}/{run_id}" for run_id in failed]
    newest = newest_checkpoints(root.work(run_id).below(MODEL.name) for run_id in failed)
    spared = {root.where(f"{WORK}/{run_id}/{STATE}") for run_id in failed} | set(newest)
    gone: list[str] = []
    for run_id in failed:
        place = f"{WORK}/{run_id}"
        names = [entry.name for entry in root.store.entries(place)]
        rest = [name for name in names if root.where(name) not in spared]
        gone += [place] if rest == names else rest
        if not is_trial:
            root.store.delete_all(place) if rest == names else root.store.delete(rest)
    return gone


def _drop_snapshot(root: Root, run_id: str, keep: OutputConfig) -> bool:
    """Delete a snapshot; return False where it was made current meanwhile, and stays.

    Whoever makes it current takes no lock, and looks for its manifest once that is done (`history.commit`). The
    manifest goes first, then the history is looked at again: of the two, one sees what the other did.
    """
    snapshot = root.snapshot(run_id)
    manifest = b""
    with contextlib.suppress(MissingError):
        manifest = snapshot.get(MANIFEST)
    snapshot.delete([MANIFEST])
    if run_id in _kept(root, keep, root.snapshots()):
        if manifest:
            snapshot.put(MANIFEST, manifest)
        return False
    root.store.delete_all(_place(run_id))
    return True


def _place(run_id: str) -> str:
    return f"{PUBLISHED}/{SNAPSHOTS}/{run_id}"


def _kept(root: Root, keep: OutputConfig, standing: list[str]) -> set[str]:
    """Return the runs whose snapshots stay; where nobody knows what is current all that are whole do."""
    kept, live, named = set[str](), set[str](), set[str | None]()
    now, is_any = datetime.now(UTC), False
    until = now
    for version in read_versions(root):
        if not is_any:
            named.add(version.entry.get("pinned"))
        is_any = True
        # Whoever has read the pointer a moment before the next version was made may read on for so long.
        is_young = (now - until).total_seconds() < keep.keep_hours * SECONDS
        is_wanted = len(kept) < keep.keep_snapshots or is_young
        if not is_wanted and len(live) >= N_LIVE:
            break
        if version.run_id in standing:
            kept |= {version.run_id} if is_wanted else set()
            live |= {version.run_id} if version.action in MOVING and len(live) < N_LIVE else set()
        if version.action in MOVING and version.at:
            until = min(version.at, now)
    with contextlib.suppress(StorageError):
        # Whatever became of its entry: readers are led there.
        pointer = read_pointer(root)
        named |= {pointer["run_id"], pointer.get("pinned")}
    if not is_any:
        kept = {run_id for run_id in standing if has_manifest(root, run_id)}
    return {run_id for run_id in standing if run_id in kept | live or run_id in named}
