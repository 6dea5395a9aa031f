"""A run: its name, its lock and its directories.

The output root is a directory of a file system that driver and executors share: a local disk, NFS, or a
mounted bucket. Everything under way stands in `work/<run_id>/`; readers only ever look under `published/`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from musicrec.errors import ConfigError, LockError, StorageError
from musicrec.storage.datasets import SCHEMA_VERSION, Dataset
from musicrec.storage.files import is_across_devices, writing
from musicrec.storage.numbers import RUN_ID, take_number

MANIFEST, REPORT, FAILURE = "manifest.json", "report.html", "failed.json"
AGAIN = "run `musicrec refresh`"


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

    @property
    def history(self) -> Path:
        """One file per version that was ever current."""
        return self.published / "history"

    @property
    def numbers(self) -> Path:
        """The highest number that a run of each day has had."""
        return self.path / "run-numbers.json"


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
        with writing(root.path / "run.lock"):
            os.ftruncate(file, 0)
            os.write(file, f"process {os.getpid()}".encode())
        yield
    finally:
        os.close(file)


def check_writable(root: Root) -> None:
    """Raise where a run could not write, or could not move its result into place; leave nothing behind.

    Raises
    ------
    StorageError
        No write access, or two file systems.
    """
    for place in dict.fromkeys(map(_nearest, (root.path, root.work, root.published, root.snapshots))):
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            raise StorageError("cannot write here", where=str(place), todo="choose another output.root")
    source, target = _nearest(root.work), _nearest(root.snapshots)
    if source != target:
        _try_move(source, target)


def _nearest(path: Path) -> Path:
    """Return the directory, or the one that it will be made in."""
    while not path.exists():
        path = path.parent
    return path


def _try_move(source: Path, target: Path) -> None:
    """Move an empty directory: two mounts of one disk look like one, and only the move tells."""
    name = f".trial-{uuid.uuid4().hex}"
    with writing(source):
        (source / name).mkdir()
    try:
        with writing(target):
            (source / name).rename(target / name)
    except StorageError as error:
        if not is_across_devices(error):
            raise
        raise StorageError(
            "work/ and published/ are on two file systems; a snapshot is moved from one to the other in one step",
            where=f"{source.resolve()} and {target.resolve()}",
            todo="put the whole output.root on one: mount or link it, not what is in it",
        ) from None
    finally:
        for place in (source / name, target / name):
            with contextlib.suppress(OSError):
                place.rmdir()


def start_run(root: Root, *, run_date: date) -> Run:
    """Return a run with a name that no run has had, the date and a number, and make its work directory.

    Raises
    ------
    StorageError
        Nothing can be written.
    """
    day = run_date.isoformat()
    standing = [path.name for parent in (root.work, root.snapshots) for path in parent.glob(f"{day}-*")]
    with contextlib.suppress(StorageError):
        standing.append(read_pointer(root)["run_id"])
    number = take_number(root.numbers, day=day, standing=standing)
    run = Run(f"{day}-{number:03d}", root)
    with writing(run.work):
        run.work.mkdir(parents=True)
    return run


def read_pointer(root: Root) -> dict[str, Any]:
    """Return what `current.json` says, once it is sure that it leads to a snapshot that we can read.

    Raises
    ------
    StorageError
        Nothing was published yet, the file is broken, or it is of a newer version.
    """
    try:
        found = json.loads(root.pointer.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StorageError(
            "nothing is published here yet", where=str(root.pointer), todo="run `musicrec refresh` first"
        ) from None
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read the pointer: {error}", where=str(root.pointer), todo=AGAIN) from None
    pointer: dict[str, Any] = found if isinstance(found, dict) else {}
    version, run_id, snapshot = (pointer.get(name) for name in ("schema_version", "run_id", "snapshot"))
    if type(version) is int and version > SCHEMA_VERSION:
        raise StorageError(
            f"what is published was written by a newer musicrec: schema_version {version}, and this one reads up "
            f"to {SCHEMA_VERSION}",
            where=str(root.pointer),
            todo="install the version that wrote it, or a later one",
        )
    if not (isinstance(run_id, str) and isinstance(snapshot, str)):
        raise StorageError("the pointer names no run and no snapshot", where=str(root.pointer), todo=AGAIN)
    # Whoever reads on makes paths of these.
    if not RUN_ID.fullmatch(run_id) or snapshot != f"snapshots/{run_id}":
        what = f"the pointer leads out of the snapshots: {snapshot!r}, run {run_id!r}"
        raise StorageError(what, where=str(root.pointer), todo=AGAIN)
    # An older one has the same names, and fewer of them.
    if type(version) is not int or version < 1:
        what = f"the pointer has no schema_version that there is: {version!r}"
        raise StorageError(what, where=str(root.pointer), todo=AGAIN)
    return pointer


def current_snapshot(root: Root) -> Path:
    """Return the directory of the current snapshot.

    Raises
    ------
    StorageError
        Nothing is published, or the pointer leads out of the root.
    """
    return snapshot_of(root, read_pointer(root))


def snapshot_of(root: Root, pointer: dict[str, Any]) -> Path:
    """Return the directory that a pointer names.

    Raises
    ------
    StorageError
        It is gone, or it is a link that leads out of the root.
    """
    snapshot: Path = (root.published / pointer["snapshot"]).resolve()
    if root.snapshots.resolve() not in snapshot.parents:
        raise StorageError("the pointer leads out of the snapshots", where=str(root.pointer), todo=AGAIN)
    if not snapshot.is_dir():
        raise StorageError("the snapshot that is current is gone", where=str(snapshot), todo=AGAIN)
    return snapshot


def run_directories(parent: Path) -> list[Path]:
    """Return the directories of runs, by date and number; what else stands beside them is not ours."""
    found = [(match.groups(), path) for path in parent.iterdir() if (match := RUN_ID.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda item: (item[0][0], int(item[0][1])))]
