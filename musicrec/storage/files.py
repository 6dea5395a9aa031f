"""Write, then make visible: the one way in which a file comes to stand where others look for it.

A file is written under another name beside its place, and renamed when it is whole. A reader sees the old file or
the new one, never a part; a second attempt of a task replaces a file by the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from musicrec.errors import GIVE_ACCESS, StorageError, disk_fault

# Where a file is.
Location = str | os.PathLike[str]


@contextlib.contextmanager
def writing(path: Location) -> Iterator[None]:
    """Turn a refused or failed write into a clear error.

    Raises
    ------
    StorageError
        Instead of OSError.
    """
    try:
        yield
    except OSError as error:
        raise as_storage_error(error, path=path) from error


def as_storage_error(error: OSError, *, path: Location) -> StorageError:
    """Return the sentence for a write that was refused or failed.

    Parameters
    ----------
    error : OSError
    path : path
        What was to be written, where the error does not say.
    """
    # What pyarrow and numpy say has the system's word in it, or only the number of it.
    said = f"{os.strerror(error.errno) if error.errno else ''} {error}"
    what, todo = disk_fault(said) or (error.strerror or str(error), GIVE_ACCESS)
    return StorageError(f"cannot write: {what}", where=str(error.filename or path), todo=todo)


def nearest(path: Location) -> str:
    """Return a file or directory, or the directory that it will be made in."""
    place = Path(path)
    while not place.exists():
        place = place.parent
    return str(place)


def is_writable(directory: Location) -> bool:
    """Return whether something can be made in a directory."""
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


@contextlib.contextmanager
def replacing(path: Location, *, durable: bool = False) -> Iterator[str]:
    """Give the name under which to write a file; it takes the place of `path` when the block ends without error.

    Parameters
    ----------
    path : path
        Its directory is made where it is missing.
    durable : bool
        Wait until the bytes are on the disk: what outlives a power failure must be whole.

    Raises
    ------
    StorageError
        The file could not be written; what stood there before still stands.
    """
    target = Path(path)
    staged = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield str(staged)
            if durable:
                sync(staged)
            os.replace(staged, target)
            if durable:
                sync(target.parent)
    finally:
        # What could not be written at all cannot be deleted either.
        with contextlib.suppress(OSError):
            staged.unlink()


def write_text(path: Location, text: str, *, durable: bool = False) -> None:
    """Write a text file as `replacing` says.

    Parameters
    ----------
    path : path
    text : str
    durable : bool
        Wait until it is on the disk.
    """
    write_bytes(path, text.encode("utf-8"), durable=durable)


def write_bytes(path: Location, content: bytes, *, durable: bool = False) -> None:
    """Write a file as `replacing` says.

    Parameters
    ----------
    path : path
    content : bytes
    durable : bool
        Wait until it is on the disk.
    """
    write_joined(path, (content,), durable=durable)


def write_joined(
    path: Location, parts: Iterable[bytes | bytearray | memoryview], *, durable: bool = False
) -> None:
    """Write a file, whose parts follow each other, as `replacing` says.

    Parameters
    ----------
    path : path
    parts : iterable of bytes
    durable : bool
        Wait until it is on the disk.
    """
    with replacing(path, durable=durable) as staged, open(staged, "wb") as file:
        for part in parts:
            file.write(part)


def move(source: Location, target: Location) -> None:
    """Make a directory visible under another name, in one step; refused where that name is taken.

    Raises
    ------
    StorageError
        It stands where it stood.
    """
    with writing(target):
        Path(source).rename(target)
        sync(Path(target).parent)


def drop(directory: Location) -> None:
    """Delete a directory with all that is in it; what cannot be deleted stays."""
    shutil.rmtree(directory, ignore_errors=True)


def sync_files(directory: Location) -> None:
    """Wait until files and directories are on the disk: a pointer that outlives a power failure leads to them."""
    for path in (Path(directory), *Path(directory).rglob("*")):
        sync(path)


def sha256_of(path: Location) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Location) -> None:
    """Wait until a file or directory is on the disk."""
    # A rename is an entry of the directory, which has to reach the disk like a file.
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
