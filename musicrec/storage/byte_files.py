"""The user's local files as bytes: found, unpacked where they are packed, and read a few megabytes at a time."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa

from musicrec.errors import InputError

CHUNK_BYTES = 4 * 2**20
# By their first bytes, whatever their names say.
PACKINGS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
ARCHIVES = {b"PK\x03\x04": "a zip archive or a spreadsheet", b"7z\xbc\xaf": "an archive", b"Rar!": "an archive"}


def list_paths(path: str) -> list[str] | None:
    """Return the files of a local path, in order: a file, all under a directory, or those that a pattern matches.

    A path that exists is that path, whatever characters it has. None where nothing is there.
    """
    roots = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
    found = set[str]()
    for root in roots:
        if not os.path.isdir(root):
            found.add(os.path.abspath(root))
            continue
        for at, directories, names in os.walk(root, onerror=_refuse, followlinks=True):
            directories[:] = [name for name in directories if is_data(name)]
            found.update(os.path.abspath(os.path.join(at, name)) for name in names if is_data(name))
    return sorted(found) if roots else None


def exists(path: str) -> bool:
    """Return whether something stands at a path."""
    return os.path.lexists(path)


def is_within(uri: str, place: str) -> bool:
    """Return whether a path or URI is below a directory or a place of a store, or is it."""
    path, directory = local_path(uri), local_path(place)
    if path is None or directory is None:
        inner, outer = (each.replace("s3a://", "s3://", 1).rstrip("/") + "/" for each in (uri, place))
        return inner.startswith(outer)
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return os.path.isdir(outer) and os.path.commonpath([inner, outer]) == outer


def is_data(name: str) -> bool:
    """Return whether a file or directory of this name may hold rows: no summary, no marker, no hidden one."""
    return not name.startswith(".") and (not name.startswith("_") or "=" in name)


def local_path(uri: str) -> str | None:
    """Return the path of a local URI or of what is no URI, None where it is of another store."""
    parts = urlsplit(uri) if uri.startswith("file:") else None
    if parts is not None:
        return None if parts.netloc else unquote(parts.path)
    # hdfs:/songs is of a store, unless it is a path that exists.
    is_uri = "://" in uri or (re.match(r"[a-zA-Z][\w+.-]+:/", uri) and not exists(uri))
    return None if is_uri else uri


def file_uri(path: str) -> str:
    """Return the URI of a local file, as Spark says it."""
    return f"file://{quote(path, safe=SAFE)}"


# What Java leaves as it is in a path.
SAFE = "/:@&=+$,;!*'()~"


def size_of(path: str) -> int:
    """Return the bytes of a file.

    Raises
    ------
    InputError
        It cannot be looked at.
    """
    with reading(path):
        return os.stat(path).st_size


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn a failed read of a file into a sentence that names it.

    Raises
    ------
    InputError
        Instead of OSError.
    """
    try:
        yield
    except FileNotFoundError:
        if os.path.islink(path):
            raise InputError("a link leads nowhere", where=path, todo="remove the link, or mend it") from None
        raise InputError(
            "a file is gone that was there when the run began",
            where=path,
            todo="leave the inputs as they are while a run reads them, and run again",
        ) from None
    except PermissionError as error:
        raise _unreadable(error, path) from None
    except pa.ArrowMemoryError:
        raise
    except (OSError, pa.ArrowException) as error:
        # What pyarrow says of what it reads is an OSError, too, but not the system's.
        words = re.sub(r"\w*Exception:? *", "", str(error).split("\n")[0])
        reason = error.strerror if isinstance(error, OSError) and error.errno else words
        todo = "replace or remove the file: it is cut off or broken"
        raise InputError(f"a file cannot be read: {reason}", where=path, todo=todo) from None


def read_head(path: str, n_bytes: int) -> bytes:
    """Return the first bytes of a file, unpacked.

    Raises
    ------
    InputError
        It cannot be read, or is an archive.
    """
    with reading(path), _opened(path) as file:
        return file.read(n_bytes)


def read_chunks(path: str, *, first: int = 0, last: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a file from one position to another, unpacked.

    Parameters
    ----------
    path : str
    first, last : int
        Where to begin and to end, by default the whole file.

    Raises
    ------
    InputError
        It cannot be read.
    """
    with reading(path), _opened(path) as file:
        if first:
            file.seek(first)
        at = first
        while last is None or at < last:
            chunk = file.read(CHUNK_BYTES if last is None else min(CHUNK_BYTES, last - at))
            if not chunk:
                return
            at += len(chunk)
            yield chunk


def is_packed(path: str) -> bool:
    """Return whether a file has to be unpacked, so that no part of it can be read alone."""
    with reading(path), open(path, "rb") as file:
        return _packing(file.read(8)) is not None


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    with open(path, "rb") as file:
        head = file.read(8)
        file.seek(0)
        for start, kind in ARCHIVES.items():
            if head.startswith(start):
                raise InputError(f"the file is {kind}", where=path, todo="unpack it, or save it as CSV")
        packing = _packing(head)
        if packing is None:
            yield file
            return
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), packing) as unpacked:
            yield cast(BinaryIO, unpacked)


def _packing(head: bytes) -> str | None:
    return next((kind for start, kind in PACKINGS.items() if head.startswith(start)), None)


def _refuse(error: OSError) -> None:
    raise _unreadable(error, str(error.filename))


def _unreadable(error: OSError, path: str) -> InputError:
    return InputError(
        f"cannot read: {error.strerror}", where=path, todo="give the user that runs the job read access"
    )


def unpacked(content: bytes, *, where: str) -> bytes:
    """Return the bytes of a file that is held as a whole, unpacked.

    Raises
    ------
    InputError
        They are broken.
    """
    packing = _packing(content[:8])
    if packing is None:
        return content
    with reading(where), pa.CompressedInputStream(pa.BufferReader(content), packing) as file:
        return bytes(file.read())


def named_values(path: str, root: str) -> dict[str, str]:
    """Return what the directories of a file below a root say of all its rows: year=1999 is 1999 in column year."""
    below = os.path.relpath(os.path.dirname(path), root) if os.path.isdir(root) else ""
    parts = [part.partition("=") for part in below.split(os.sep) if "=" in part]
    return {name: unquote(value) for name, _, value in parts if name and value != "__HIVE_DEFAULT_PARTITION__"}
