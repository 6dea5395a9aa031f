"""A run: its name, its lock and its directories.

The output root is a directory of a file system that driver and executors share: a local disk, NFS, or a
mounted bucket. Everything under way stands in `work/<run_id>/`; readers only ever look under `published/`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from musicrec.errors import ConfigError, LockError, StorageError
from musicrec.storage.datasets import Dataset
from musicrec.storage.files import drop, writing

MANIFEST, REPORT, FAILURE = "manifest.json", "report.html", "failed.json"
RUN_ID = re.compile(r"(\d{4}-\d{2}-\d{2})-(\d{3,})")


@dataclass(frozen=True)
class Root:
    """The directories under `output.root`."""

    path: Path

    @property
    def published(self) -> Path:
        """What readers see."""
        return self.path / "published"

    @property
    def snapshots(self) -> Path:
        """One immutable directory per published run."""
        return self.published / "snapshots"

    @property
    def work(self) -> Path:
        """One directory per run under way, and one per snapshot that is kept."""
        return self.path / "work"

    @property
    def pointer(self) -> Path:
        """The file that names the current snapshot."""
        return self.published / "current.json"


@dataclass(frozen=True)
class Run:
    """One refresh."""

    run_id: str
    root: Root

    @property
    def work(self) -> Path:
        """Where all stages of this run write."""
        return self.root.work / self.run_id

    def path(self, dataset: Dataset) -> str:
        """Return where a dataset of this run is written."""
        return str(self.work / dataset.path)


def open_root(root: str) -> Root:
    """Return the directories under `root`.

    Raises
    ------
    ConfigError
        It is not set, or it is not a path of a file system.
    """
    if not root:
        raise ConfigError("output.root is not set", todo="set it in [output] or with --set output.root=DIR")
    # A directory may have a colon in its name; only what is written like a URI is one.
    parsed = urlparse(root if "://" in root or root.startswith("file:") else "")
    if parsed.scheme not in ("", "file"):
        raise ConfigError(
            f"output.root must be a directory that is mounted on driver and executors, found {parsed.scheme}://",
            todo="mount the store (NFS, FUSE) and give the path",
        )
    return Root(Path(unquote(parsed.path) if parsed.scheme else root).absolute())


@contextlib.contextmanager
def locked(root: Root, *, with_snapshots: bool = True) -> Iterator[None]:
    """Hold the lock of the root; the operating system frees it however the process ends.

    Parameters
    ----------
    root : Root
    with_snapshots : bool
        Make the directory of snapshots.

    Raises
    ------
    LockError
        Another run holds it.
    StorageError
        No write access.
    """
    with writing(root.path):
        root.work.mkdir(parents=True, exist_ok=True)
        if with_snapshots:
            root.snapshots.mkdir(parents=True, exist_ok=True)
        file = os.open(root.path / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 200).decode(errors="replace").strip() or "unknown"
            raise LockError(
                f"another run holds the lock ({holder})",
                where=str(root.path / "run.lock"),
                todo="wait for it to end; the lock goes with its process",
            ) from None
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()}".encode())
        yield
    finally:
        os.close(file)


def check_writable(root: Root) -> None:
    """Raise where the root, or the directory that it will be made in, cannot be written.

    Raises
    ------
    StorageError
        No write access.
    """
    parent = root.path
    while not parent.exists():
        parent = parent.parent
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise StorageError("cannot write here", where=str(parent), todo="choose another output.root")


def start_run(root: Root, *, run_date: date) -> Run:
    """Return a run with a name of its own, the date and a number, and make its work directory."""
    taken = {path.name for parent in (root.work, root.snapshots) for path in parent.glob(f"{run_date}-*")}
    number = next(n for n in range(1, len(taken) + 2) if f"{run_date}-{n:03d}" not in taken)
    run = Run(f"{run_date}-{number:03d}", root)
    with writing(run.work):
        run.work.mkdir(parents=True)
    return run


def read_pointer(root: Root) -> dict[str, Any]:
    """Return what `current.json` says.

    Raises
    ------
    StorageError
        Nothing was published yet, or the file is broken.
    """
    try:
        found = json.loads(root.pointer.read_text())
    except FileNotFoundError:
        raise StorageError(
            "nothing is published here yet", where=str(root.pointer), todo="run `musicrec refresh` first"
        ) from None
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read the pointer: {error}", where=str(root.pointer)) from None
    pointer: dict[str, Any] = found if isinstance(found, dict) else {}
    if not all(isinstance(pointer.get(name), str) for name in ("run_id", "snapshot")):
        raise StorageError(
            "the pointer names no run and no snapshot", where=str(root.pointer), todo="run `musicrec refresh`"
        )
    return pointer


def current_snapshot(root: Root) -> Path:
    """Return the directory of the current snapshot.

    Raises
    ------
    StorageError
        Nothing is published, or the pointer leads out of the root.
    """
    snapshot: Path = (root.published / read_pointer(root)["snapshot"]).resolve()
    if root.snapshots.resolve() not in snapshot.parents:
        raise StorageError("the pointer leads out of the snapshots", where=str(root.pointer))
    if not snapshot.is_dir():
        raise StorageError(
            "the snapshot that is current is gone", where=str(snapshot), todo="run `musicrec refresh`"
        )
    return snapshot


def previous_manifest(root: Root) -> dict[str, Any] | None:
    """Return the manifest of the current snapshot, None where nothing that can be read is published."""
    try:
        manifest = json.loads((current_snapshot(root) / MANIFEST).read_text(encoding="utf-8"))
    except (StorageError, OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def drop_old(root: Root, *, keep_snapshots: int, newest: str) -> list[str]:
    """Delete all but the newest snapshots with their work, and what failed runs left; return what went.

    The newest run always stays.

    Parameters
    ----------
    root : Root
    keep_snapshots : int
        At least 1; the newest is one of them.
    newest : str
        Name of the run that always stays, whatever its date.
    """
    names = [path.name for path in run_directories(root.snapshots)]
    others = [name for name in names if name != newest]
    kept = {newest, *others[max(0, len(names) - keep_snapshots) :]}
    old = [
        path for parent in (root.snapshots, root.work) for path in run_directories(parent) if path.name not in kept
    ]
    for path in old:
        drop(path)
    return [str(path.relative_to(root.path)) for path in old]


def run_directories(parent: Path) -> list[Path]:
    """Return the directories of runs, by date and number; what else stands beside them is not ours."""
    found = [(match.groups(), path) for path in parent.iterdir() if (match := RUN_ID.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda item: (item[0][0], int(item[0][1])))]
