"""What was published, checked when it is read: the pointer has the manifest's digest, the manifest all others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musicrec.errors import StorageError
from musicrec.storage.datasets import Dataset
from musicrec.storage.files import sha256_of
from musicrec.storage.runs import AGAIN, MANIFEST, Root, read_pointer, snapshot_of

# Read in a tenth of a second: who asks for one list is not kept waiting.
MAX_DIGEST_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Snapshot:
    """The current snapshot, as its manifest says it must be.

    Attributes
    ----------
    directory : Path
    run_id : str
    manifest : dict
    files : dict
        Bytes and SHA-256 of each file, by its place.
    """

    directory: Path
    run_id: str
    manifest: dict[str, Any]
    files: dict[Path, tuple[int, str]]

    def paths(self, dataset: Dataset) -> list[Path]:
        """Return the files of a dataset."""
        return sorted(path for path in self.files if path.parent == self.directory / dataset.name)

    def check_sizes(self) -> None:
        """Look at each file, without reading it.

        Raises
        ------
        StorageError
            One is missing, or of another size.
        """
        for path in self.files:
            if fault := self._fault_of_size(path):
                raise _broken(fault, path)

    def check_digest(self, path: Path) -> None:
        """Read a file and compare it.

        Raises
        ------
        StorageError
            It is not the one that was published.
        """
        if fault := self._fault_of(path):
            raise _broken(fault, path)

    def faults(self) -> Iterator[tuple[Path, str]]:
        """Read all files, and yield those that are not as published, each with what is wrong."""
        for path in self.files:
            if fault := self._fault_of(path):
                yield path, fault
        known = {self.directory / MANIFEST, *self.files}
        for path in sorted(self.directory.rglob("*")):
            if path not in known and not path.is_dir():
                yield path, "was not published with it"

    def _fault_of_size(self, path: Path) -> str:
        try:
            n_bytes = path.stat().st_size
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        expected = self.files[path][0]
        return "" if n_bytes == expected else f"has {n_bytes} bytes, and was published with {expected}"

    def _fault_of(self, path: Path) -> str:
        if fault := self._fault_of_size(path):
            return fault
        try:
            return "" if sha256_of(path) == self.files[path][1] else "has other content than it was published with"
        except OSError as error:
            return f"cannot be read: {error.strerror}"


@dataclass
class Verifier:
    """Compares files before they are read, each once, as long as they are not too many bytes."""

    snapshot: Snapshot
    bytes_left: int = MAX_DIGEST_BYTES
    seen: set[Path] = field(default_factory=set)

    def check(self, path: Path) -> None:
        """Compare a file; a large one is left to `musicrec doctor`.

        Raises
        ------
        StorageError
            It is not the one that was published.
        """
        n_bytes = self.snapshot.files[path][0]
        if path in self.seen or n_bytes > self.bytes_left:
            return
        self.snapshot.check_digest(path)
        self.seen.add(path)
        self.bytes_left -= n_bytes

    def check_small(self, paths: Sequence[Path]) -> None:
        """Compare files where all of them together are few bytes: the head of a broken one may end the process.

        Raises
        ------
        StorageError
            One is not the one that was published.
        """
        if sum(self.snapshot.files[path][0] for path in paths) <= self.bytes_left:
            for path in paths:
                self.check(path)


def open_snapshot(root: Root) -> Snapshot:
    """Return the current snapshot; no file but the manifest was looked at.

    Raises
    ------
    StorageError
        Nothing is published, or the manifest is not the one that the pointer names.
    """
    pointer = read_pointer(root)
    directory = snapshot_of(root, pointer)
    path = directory / MANIFEST
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _broken("is missing", path) from None
    except OSError as error:
        raise _broken(f"cannot be read: {error.strerror}", path) from None
    if hashlib.sha256(content).hexdigest() != pointer.get("manifest_sha256"):
        raise _broken("is not the one that the pointer names", path)
    try:
        manifest = json.loads(content)
        files = {directory / each["path"]: (int(each["bytes"]), str(each["sha256"])) for each in manifest["files"]}
    except (ValueError, KeyError, TypeError):
        raise _broken("names no files", path) from None
    if any(".." in path.parts or directory not in path.parents for path in files):
        raise _broken("names files that lie elsewhere", path)
    return Snapshot(directory, pointer["run_id"], manifest, files)


def previous_manifest(root: Root) -> dict[str, Any] | None:
    """Return the manifest of the current snapshot, None where nothing was published yet.

    Raises
    ------
    StorageError
        What was published cannot be read, or is not what was published.
    """
    return open_snapshot(root).manifest if root.pointer.exists() else None


def _broken(fault: str, path: Path) -> StorageError:
    todo = f"{AGAIN}; `musicrec doctor --root DIR` checks all files of the snapshot"
    return StorageError(f"the published file {path.name} {fault}", where=str(path), todo=todo)
