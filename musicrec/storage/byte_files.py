"""The user's files as bytes: found, unpacked where they are packed, and read a few megabytes at a time.

They are local, or in a store that Spark does not know: there our own client reads them.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast
from urllib.parse import unquote

import pyarrow as pa

from musicrec.errors import InputError
from musicrec.storage.ranged import open_ranged
from musicrec.storage.stores import NIGHT_S, MissingError, Store, open_store
from musicrec.storage.uris import file_uri

CHUNK_BYTES = 4 * 2**20
# By their first bytes, whatever their names say.
PACKINGS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
ARCHIVES = {b"PK\x03\x04": "a zip archive or a spreadsheet", b"7z\xbc\xaf": "an archive", b"Rar!": "an archive"}


@dataclass(frozen=True)
class StoredFile:
    """A file in a store: where, and how large."""

    store: Store
    name: str
    n_bytes: int

    def __str__(self) -> str:
        return f"{self.store.uri}/{self.name}"


# What tasks open: a local path, or a file of a store.
InputFile = str | StoredFile


def uri_of(file: InputFile) -> str:
    """Return the URI of a file, as Spark says it."""
    return file_uri(file) if isinstance(file, str) else str(file)


def list_stored(uri: str, *, hadoop: Mapping[str, str]) -> list[StoredFile]:
    """Return the files of a URI of a store in order: an object, all below a name, or what a pattern matches.

    Parameters
    ----------
    uri : str
    hadoop : mapping
        Spark's settings, as `open_store` takes them.

    Raises
    ------
    StorageError
        The store fails, or refuses.
    """
    scheme, _, place = uri.partition("://")
    bucket, _, below = place.partition("/")
    store, name = open_store(f"{scheme}://{bucket}", hadoop=hadoop, patience_s=NIGHT_S), below.strip("/")
    try:
        if name:
            return [StoredFile(store, name, store.stat(name).n_bytes)]
    except MissingError:
        pass
    # Up to its first sign a pattern is the name of a place.
    fixed = re.match(r"[^*?\[\]{}]*", name)
    start = fixed[0].rpartition("/")[0] if fixed and fixed[0] != name else name
    # An object without bytes is how some tools mark a folder.
    found = [StoredFile(store, entry.name, entry.n_bytes) for entry in store.entries(start) if entry.n_bytes]
    skip = len(start) + 1 if start else 0
    found = [file for file in found if all(is_data(part) for part in file.name[skip:].split("/"))]
    if start == name:
        return found
    try:
        pattern = re.compile(_as_expression(name))
    except re.error:
        raise InputError("a pattern of files cannot be read", where=uri, todo="close its brackets") from None
    return [file for file in found if pattern.fullmatch(file.name) or _is_below(file.name, pattern)]


def _is_below(name: str, pattern: re.Pattern[str]) -> bool:
    """Return whether a pattern matches a place above a name, which then is data of it."""
    parts = name.split("/")
    places = ["/".join(parts[:n]) for n in range(1, len(parts))]
    n = next((i for i, place in enumerate(places, start=1) if pattern.fullmatch(place)), 0)
    return bool(n) and all(is_data(part) for part in parts[n:])


def _as_expression(pattern: str) -> str:
    """Return a pattern of names, as Hadoop writes them, as a regular expression."""
    signs = {"*": "[^/]*", "**": ".*", "?": "[^/]", "{": "(?:", "}": ")"}
    parts = re.split(r"(\*\*|\[[^\]]+\]|[*?{},])", pattern)
    depth, made = 0, ""
    for part in parts:
        depth += {"{": 1, "}": -1}.get(part, 0)
        if part.startswith("[") and part.endswith("]"):
            # What is in brackets is one of some letters, or with a sign before them none of these.
            letters = part[1:-1].replace("\\", "\\\\").replace("[", "\\[")
            made += f"[^{letters[1:]}]" if letters[0] in "!^" else f"[{letters}]"
        else:
            made += "|" if part == "," and depth else signs.get(part, re.escape(part))
    return made


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


def is_data(name: str) -> bool:
    """Return whether a file or directory of this name may hold rows: no summary, no marker, no hidden one."""
    return not name.startswith(".") and (not name.startswith("_") or "=" in name)


def size_of(path: InputFile) -> int:
    """Return the bytes of a file.

    Raises
    ------
    InputError
        It cannot be looked at.
    """
    if isinstance(path, StoredFile):
        return path.n_bytes
    with reading(path):
        return os.stat(path).st_size


@contextmanager
def opened(path: InputFile) -> Iterator[BinaryIO]:
    """Give a file as it is, packed or not.

    Raises
    ------
    InputError
        It cannot be read.
    """
    if isinstance(path, StoredFile):
        with reading(path), open_ranged(path.store, path.name, n_bytes=path.n_bytes) as stored:
            yield stored
        return
    with reading(path), open(path, "rb") as file:
        yield file


@contextmanager
def reading(path: InputFile) -> Iterator[None]:
    """Turn a failed read of a file into a sentence that names it.

    Raises
    ------
    InputError
        Instead of OSError.
    """
    try:
        yield
    except (FileNotFoundError, MissingError):
        if isinstance(path, str) and os.path.islink(path):
            raise InputError("a link leads nowhere", where=path, todo="remove the link, or mend it") from None
        raise InputError(
            "a file is gone that was there when the run began",
            where=str(path),
            todo="leave the inputs as they are while a run reads them, and run again",
        ) from None
    except PermissionError as error:
        raise _unreadable(error, str(path)) from None
    except pa.ArrowMemoryError:
        raise
    except (OSError, pa.ArrowException) as error:
        # What pyarrow says of what it reads is an OSError, too, but not the system's.
        words = re.sub(r"\w*Exception:? *", "", str(error).split("\n")[0])
        reason = error.strerror if isinstance(error, OSError) and error.errno else words
        todo = "replace or remove the file: it is cut off or broken"
        raise InputError(f"a file cannot be read: {reason}", where=str(path), todo=todo) from None


def read_head(path: InputFile, n_bytes: int) -> bytes:
    """Return the first bytes of a file, unpacked.

    Raises
    ------
    InputError
        It cannot be read, or is an archive.
    """
    with _unpacking(path) as file:
        return file.read(n_bytes)


def read_chunks(path: InputFile, *, first: int = 0, last: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a file from one position to another, unpacked.

    Parameters
    ----------
    path : str or StoredFile
    first, last : int
        Where to begin and to end, by default the whole file.

    Raises
    ------
    InputError
        It cannot be read.
    """
    with _unpacking(path) as file:
        if first:
            file.seek(first)
        at = first
        while last is None or at < last:
            chunk = file.read(CHUNK_BYTES if last is None else min(CHUNK_BYTES, last - at))
            if not chunk:
                return
            at += len(chunk)
            yield chunk


def is_packed(path: InputFile) -> bool:
    """Return whether a file has to be unpacked, so that no part of it can be read alone."""
    with opened(path) as file:
        return _packing(file.read(8)) is not None


@contextmanager
def _unpacking(path: InputFile) -> Iterator[BinaryIO]:
    with opened(path) as file:
        head = file.read(8)
        file.seek(0)
        for start, kind in ARCHIVES.items():
            if head.startswith(start):
                raise InputError(f"the file is {kind}", where=str(path), todo="unpack it, or save it as CSV")
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


def named_values(path: InputFile, root: str) -> dict[str, str]:
    """Return what the directories of a file below a root say of all its rows: year=1999 is 1999 in column year."""
    if isinstance(path, StoredFile):
        # All of a pattern's matches have their directories behind its end.
        below = path.name.rpartition("/")[0][len(root.partition("://")[2].partition("/")[2].strip("/")) :]
    else:
        below = os.path.relpath(os.path.dirname(path), root) if os.path.isdir(root) else ""
    parts = [part.partition("=") for part in below.split("/") if "=" in part]
    return {name: unquote(value) for name, _, value in parts if name and value != "__HIVE_DEFAULT_PARTITION__"}
