"""Objects as files of this machine: those of a directory themselves, those of a bucket as copies of a node.

Tasks map arrays into memory and look at some rows of them. Of a bucket's object a node keeps one copy, in the
directory where Spark keeps its shuffles: cluster managers delete that when an application ends, and a driver
deletes the copies that its machine made. A copy that goes while it is mapped harms nobody, and is made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

from musicrec.storage.environment import make_scratch, spark_scratch
from musicrec.storage.files import drop, write_bytes, writing
from musicrec.storage.space import free_disk
from musicrec.storage.stores import Store

# What a disk keeps free: shuffles need it more.
RESERVE_BYTES = 2**30
# Older copies are those of a run that was killed.
MAX_AGE_S = 2 * 86400.0


def local_file(store: Store, name: str) -> str | None:
    """Return the path of a file that holds an object; None where the disk has no room for a copy.

    Parameters
    ----------
    store : Store
        Whose objects do not change, as those of a run.
    name : str

    Raises
    ------
    StorageError
        There is no such object, or it cannot be read.
    """
    own = store.path(name)
    if own is not None:
        return own
    path = _place(store) / quote(name, safe="/ ")
    if path.exists():
        return str(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # One task copies, the others of the node wait for it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            content = store.get(name)
            free = free_disk(path)
            if free is not None and free < len(content) + RESERVE_BYTES:
                return None
            write_bytes(path, content)
    finally:
        os.close(lock)
    return str(path)


@contextlib.contextmanager
def cleared(store: Store) -> Iterator[None]:
    """Delete the copies that this machine has of what stands in a store, when the block ends."""
    try:
        yield
    finally:
        drop_copies(store)


def drop_copies(store: Store) -> None:
    """Delete the copies that this machine has of what stands in a store."""
    if store.path() is None:
        drop(_place(store))


def _place(store: Store) -> Path:
    scheme, _, below = store.uri.partition("://")
    # Two servers may have a bucket of one name.
    server = hashlib.sha256(store.server.encode()).hexdigest()[:16] if store.server else "own"
    return Path(_directory(), scheme, server, quote(below, safe="/ "))


@cache
def _directory() -> str:
    # Tasks are told a directory of their executor's own; what is beside it all executors of the node see.
    told = spark_scratch().split(",")[0]
    parent = os.path.dirname(told) if os.path.basename(told).startswith("blockmgr-") else told
    directory = Path(parent, f"musicrec-copies-{os.getuid()}")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError:
        return make_scratch("musicrec-copies-")
    # In a directory that everybody may write somebody else may have put something in the way.
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or directory.is_symlink():
        return make_scratch("musicrec-copies-")
    for old in directory.rglob("*"):
        # Others may sweep, too.
        with contextlib.suppress(OSError):
            if old.is_file() and time.time() - old.stat().st_mtime > MAX_AGE_S:
                old.unlink()
    return str(directory)
