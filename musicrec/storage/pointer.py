"""`published/current.json`, the one file that says what is current, and what may be believed of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from musicrec.errors import StorageError
from musicrec.storage.datasets import SCHEMA_VERSION
from musicrec.storage.numbers import RUN_ID
from musicrec.storage.runs import AGAIN, MANIFEST, POINTER, PUBLISHED, SNAPSHOTS, Root
from musicrec.storage.stores import MissingError, Store


def read_pointer(root: Root) -> dict[str, Any]:
    """Return what `current.json` says, once it is sure that it leads to a snapshot that we can read.

    Raises
    ------
    StorageError
        Nothing was published yet, the file is broken, or it is of a newer version.
    """
    where = root.where(POINTER)
    try:
        content = root.store.get(POINTER)
    except MissingError:
        raise StorageError(
            "nothing is published here yet", where=where, todo="run `musicrec refresh` first"
        ) from None
    return parse_pointer(content, where=where)


def parse_pointer(content: bytes, *, where: str) -> dict[str, Any]:
    """Return what a pointer, or an entry of the history, says of a snapshot.

    Parameters
    ----------
    content : bytes
        JSON.
    where : str
        Its place, for the error's sentence.

    Raises
    ------
    StorageError
        It is broken, or it is of a newer version.
    """
    try:
        found = json.loads(content)
    except ValueError as error:
        raise StorageError(f"cannot read the pointer: {error}", where=where, todo=AGAIN) from None
    pointer: dict[str, Any] = found if isinstance(found, dict) else {}
    version, run_id, snapshot = (pointer.get(name) for name in ("schema_version", "run_id", "snapshot"))
    if type(version) is int and version > SCHEMA_VERSION:
        raise StorageError(
            f"what is published was written by a newer musicrec: schema_version {version}, and this one reads up "
            f"to {SCHEMA_VERSION}",
            where=where,
            todo="install the version that wrote it, or a later one",
        )
    if not (isinstance(run_id, str) and isinstance(snapshot, str)):
        raise StorageError("the pointer names no run and no snapshot", where=where, todo=AGAIN)
    # Whoever reads on makes names of objects of these.
    if not RUN_ID.fullmatch(run_id) or snapshot != f"{SNAPSHOTS}/{run_id}":
        what = f"the pointer leads out of the snapshots: {snapshot!r}, run {run_id!r}"
        raise StorageError(what, where=where, todo=AGAIN)
    # An older one has the same names, and fewer of them.
    if type(version) is not int or version < 1:
        what = f"the pointer has no schema_version that there is: {version!r}"
        raise StorageError(what, where=where, todo=AGAIN)
    return pointer


def snapshot_of(root: Root, pointer: dict[str, Any]) -> Store:
    """Return the place that a pointer names.

    Raises
    ------
    StorageError
        It is gone, or it is a link that leads out of the root.
    """
    snapshot = root.snapshot(pointer["run_id"])
    directory = snapshot.path()
    if directory is not None:
        snapshots = Path(root.where(f"{PUBLISHED}/{SNAPSHOTS}")).resolve()
        if snapshots not in Path(directory).resolve().parents:
            raise StorageError("the pointer leads out of the snapshots", where=root.where(POINTER), todo=AGAIN)
        if not Path(directory).is_dir():
            raise StorageError("the snapshot that is current is gone", where=directory, todo=AGAIN)
    return snapshot


def current_snapshot(root: Root) -> str:
    """Return the path or the URI of the current snapshot.

    Raises
    ------
    StorageError
        Nothing is published, or the pointer leads out of the root.
    """
    return snapshot_of(root, read_pointer(root)).uri


def has_manifest(root: Root, run_id: str) -> bool:
    """Return whether the snapshot of a run is whole: its manifest is written last."""
    try:
        root.snapshot(run_id).stat(MANIFEST)
    except MissingError:
        return False
    return True
