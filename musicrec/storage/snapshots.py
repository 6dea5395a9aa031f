"""What was published, checked when it is read: the pointer has the manifest's digest, the manifest all others."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from musicrec.errors import StorageError
from musicrec.storage.datasets import Dataset
from musicrec.storage.files import sha256_of
from musicrec.storage.pointer import read_pointer, snapshot_of
from musicrec.storage.ranged import open_ranged
from musicrec.storage.runs import AGAIN, MANIFEST, POINTER, Root
from musicrec.storage.stores import MissingError, Store, checked_name

# Read in a tenth of a second: who asks for one list is not kept waiting.
MAX_DIGEST_BYTES = 32 * 2**20
# The same from a bucket.
MAX_FETCHED_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Snapshot:
    """A snapshot, as its manifest says it must be.

    Attributes
    ----------
    store : Store
        Where it stands.
    run_id : str
    manifest : dict
    files : dict
        Bytes and SHA-256 of each file, by its name in the store.
    """

    store: Store
    run_id: str
    manifest: dict[str, Any]
    files: dict[str, tuple[int, str]]

    def names(self, dataset: Dataset) -> list[str]:
        """Return the files of a dataset."""
        return sorted(name for name in self.files if name.startswith(f"{dataset.name}/"))

    def where(self, name: str) -> str:
        """Return a file as a path or a URI."""
        return f"{self.store.uri}/{name}"

    def check_sizes(self) -> None:
        """Look at each file, without reading it.

        Raises
        ------
        StorageError
            One is missing, or of another size.
        """
        found = {entry.name: entry.n_bytes for entry in self.store.entries()}
        for name in self.files:
            if fault := self._fault_of_size(name, found):
                raise _broken(fault, self.where(name))

    def faults(self) -> Iterator[tuple[str, str]]:
        """Read all files, and yield those that are not as published, each with what is wrong."""
        found = {entry.name: entry.n_bytes for entry in self.store.entries()}
        for name in self.files:
            if fault := self._fault_of_size(name, found) or self._fault_of(name):
                yield name, fault
        for name in found:
            if name not in self.files and name != MANIFEST:
                yield name, "was not published with it"

    def _fault_of_size(self, name: str, found: Mapping[str, int]) -> str:
        """Return what is wrong with a file, given the bytes of all that there are."""
        if name not in found:
            return "is missing"
        n_bytes, expected = found[name], self.files[name][0]
        return "" if n_bytes == expected else f"has {n_bytes} bytes, and was published with {expected}"

    def _fault_of(self, name: str) -> str:
        try:
            path = self.store.path(name)
            found = sha256_of(path) if path else hashlib.sha256(self.store.get(name)).hexdigest()
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        except StorageError as error:
            return error.what
        return "" if found == self.files[name][1] else OTHER_CONTENT


OTHER_CONTENT = "has other content than it was published with"


@dataclass
class Verifier:
    """Opens files for reading, each compared once with what was published, as long as they are not many bytes."""

    snapshot: Snapshot
    bytes_left: int = MAX_DIGEST_BYTES
    seen: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.snapshot.store.path() is None:
            self.bytes_left = MAX_FETCHED_BYTES

    def open(self, name: str) -> BinaryIO:
        """Return a file to read; a large one is left to `musicrec doctor`.

        Raises
        ------
        StorageError
            It is not the one that was published.
        """
        n_bytes = self.snapshot.files[name][0]
        if name not in self.seen and n_bytes <= self.bytes_left:
            self.check(name)
        if name in self.seen:
            return io.BytesIO(self.seen[name])
        return open_ranged(self.snapshot.store, name, n_bytes=n_bytes)

    def check(self, name: str) -> None:
        """Read a file and compare it, unless that was done, or it is too large.

        Raises
        ------
        StorageError
            It is not the one that was published.
        """
        n_bytes, digest = self.snapshot.files[name]
        if name in self.seen or n_bytes > self.bytes_left:
            return
        try:
            content = self.snapshot.store.get(name)
        except MissingError:
            raise _broken("is missing", self.snapshot.where(name)) from None
        if len(content) != n_bytes:
            told = f"has {len(content)} bytes, and was published with {n_bytes}"
            raise _broken(told, self.snapshot.where(name))
        if hashlib.sha256(content).hexdigest() != digest:
            raise _broken(OTHER_CONTENT, self.snapshot.where(name))
        self.seen[name] = content
        self.bytes_left -= n_bytes

    def check_small(self, names: Sequence[str]) -> None:
        """Compare files where all of them together are few bytes: the head of a broken one may end the process.

        Raises
        ------
        StorageError
            One is not the one that was published.
        """
        if sum(self.snapshot.files[name][0] for name in names) <= self.bytes_left:
            for name in names:
                self.check(name)


def open_snapshot(root: Root) -> Snapshot:
    """Return the current snapshot; no file but the manifest was looked at.

    Raises
    ------
    StorageError
        Nothing is published, or the manifest is not the one that the pointer names.
    """
    return load_snapshot(root, read_pointer(root))


def load_snapshot(root: Root, pointer: dict[str, Any]) -> Snapshot:
    """Return the snapshot that a pointer, or an entry of the history, names.

    Raises
    ------
    StorageError
        It is gone, or its manifest is not the one that is named.
    """
    store = snapshot_of(root, pointer)
    where = f"{store.uri}/{MANIFEST}"
    try:
        content = store.get(MANIFEST)
    except MissingError:
        raise _broken("is missing", where) from None
    if hashlib.sha256(content).hexdigest() != pointer.get("manifest_sha256"):
        raise _broken("is not the one that the pointer names", where)
    try:
        manifest = json.loads(content)
        files = {str(each["path"]): (int(each["bytes"]), str(each["sha256"])) for each in manifest["files"]}
    except (ValueError, KeyError, TypeError):
        raise _broken("names no files", where) from None
    if not all(_is_plain(name) for name in files):
        raise _broken("names files that lie elsewhere", where)
    return Snapshot(store, pointer["run_id"], manifest, files)


def previous_manifest(root: Root) -> dict[str, Any] | None:
    """Return the manifest of the current snapshot, None where nothing was published yet.

    Raises
    ------
    StorageError
        What was published cannot be read, or is not what was published.
    """
    try:
        root.store.stat(POINTER)
    except MissingError:
        return None
    return open_snapshot(root).manifest


def _is_plain(name: str) -> bool:
    try:
        return checked_name(name) == name
    except StorageError:
        return False


def _broken(fault: str, where: str) -> StorageError:
    todo = f"{AGAIN}; `musicrec doctor --root ROOT` checks all files of the snapshot"
    return StorageError(f"the published file {where.rsplit('/', 1)[-1]} {fault}", where=where, todo=todo)
