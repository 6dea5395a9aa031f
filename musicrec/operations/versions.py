"""The versions of what is published: shown, taken back, and deleted when nobody can be reading them any more."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from musicrec.config import OutputConfig
from musicrec.errors import ConfigError, StorageError
from musicrec.operations.shown_times import told_time
from musicrec.shown import without_controls
from musicrec.storage import history, retention
from musicrec.storage.history import PUBLISH, ROLLBACK
from musicrec.storage.lease import locked
from musicrec.storage.numbers import RUN_ID
from musicrec.storage.pointer import has_manifest, read_pointer
from musicrec.storage.publish import describe
from musicrec.storage.runs import HISTORY, MANIFEST, Root
from musicrec.storage.snapshots import load_snapshot

N_LISTED = 20
# What an entry says of a snapshot itself.
_ABOUT = ("run_id", "snapshot", "published_at", "schema_version", "manifest_sha256", "files")


def print_history(root: Root, *, n: int = N_LISTED) -> None:
    """Print the last n versions, the latest first, and what became of their snapshots.

    Raises
    ------
    StorageError
        The store fails.
    """
    standing = set(root.snapshots())
    versions = list(islice(history.read_versions(root), n))
    if not versions:
        raise StorageError("nothing was published here yet", where=root.where(HISTORY), todo="musicrec refresh")
    live, pinned = _live(root), versions[0].entry.get("pinned")
    table = Table("version", "action", "run", "at", "by", "snapshot", box=None)
    for version in versions:
        state = "live" if version.number == live else "kept" if version.run_id in standing else "deleted"
        state += ", pinned" if version.run_id == pinned and version.action == ROLLBACK else ""
        cells = (
            str(version.number), version.action, version.run_id, told_time(version.at),
            str(version.entry.get("by") or ""), state,
        )  # fmt: skip
        table.add_row(*(Text(without_controls(cell)) for cell in cells))
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(table)


def rollback(root: Root, *, to: str = "") -> dict[str, Any]:
    """Make an earlier snapshot current again, as a new version that pins it; no file of it is copied.

    Parameters
    ----------
    root : Root
    to : str
        The run; by default what was published before that which is current now.

    Raises
    ------
    ConfigError
        There is no such run.
    LockError
        Somebody else has changed meanwhile what is current.
    StorageError
        Its snapshot is deleted, or is not what was published.
    """
    base = history.settle(root)
    if not base:
        raise StorageError("nothing was published here yet", where=root.where(HISTORY), todo="musicrec refresh")
    if to and not RUN_ID.fullmatch(to):
        raise ConfigError(f"no name of a run: {to!r}", todo="musicrec history --root ROOT lists them")
    run_id = to or _before(root, base)
    if not has_manifest(root, run_id):
        what = f"the snapshot of run {run_id} is not there, or not whole"
        raise StorageError(what, where=root.snapshot(run_id).uri, todo="musicrec history --root ROOT lists them")
    about = _described(root, run_id)
    # Read once: what is broken must not become current.
    load_snapshot(root, about).check_sizes()
    return history.commit(root, about, action=ROLLBACK, base=base)


def collect_garbage(root: Root, keep: OutputConfig, *, is_trial: bool) -> list[str]:
    """Delete snapshots that are no longer kept, and all that failed runs left; return what went.

    Parameters
    ----------
    root : Root
    keep : OutputConfig
    is_trial : bool
        Delete nothing, and return what would go.

    Raises
    ------
    LockError
        A run is under way: what it has written so far no version names.
    """
    with locked(root):
        if not is_trial:
            history.settle(root)
        return retention.drop_old(root, keep, is_over=True, is_trial=is_trial)


def _live(root: Root) -> int:
    try:
        number = read_pointer(root).get("version")
    except StorageError:
        return 0
    return number if type(number) is int else 0


def _before(root: Root, base: int) -> str:
    """Return the run that was published before that which is current; no more entries are read than it takes."""
    versions = history.read_versions(root)
    current = next(version for version in versions if version.number == base)
    is_behind = current.action != ROLLBACK
    for version in versions:
        if version.run_id == current.run_id:
            # Behind the entry that it was made by, whatever came between.
            is_behind = is_behind or version.action != ROLLBACK
        elif is_behind and version.action == PUBLISH and has_manifest(root, version.run_id):
            return version.run_id
    raise StorageError(
        "there is no earlier snapshot to go back to", where=root.where(HISTORY),
        todo="musicrec history --root ROOT shows which are kept",
    )  # fmt: skip


def _described(root: Root, run_id: str) -> dict[str, Any]:
    """Return what a pointer says of a run's snapshot, as when it was published."""
    at: datetime | None = None
    for version in history.read_versions(root):
        if version.run_id == run_id:
            if {"manifest_sha256", "files"} <= set(version.entry):
                return {name: version.entry[name] for name in _ABOUT}
            at = version.at
    # Of before there were such entries.
    snapshot = root.snapshot(run_id)
    paths = [entry.name for entry in snapshot.entries() if entry.name != MANIFEST]
    about = describe(run_id, snapshot.get(MANIFEST), paths)
    return {**about, "published_at": at.isoformat(timespec="seconds") if at else about["published_at"]}
