"""Arrays in a store: numbered objects, an array each, that tasks write and map into memory to read."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from musicrec.errors import StorageError
from musicrec.storage.node_copies import local_file
from musicrec.storage.stores import MissingError, Store

# So many arrays that the disk has no room for a process knows at once, and holds if they are no larger.
N_REMOTE, MAX_HELD_BYTES, NPY_HEAD_BYTES = 64, 4 * 2**20, 1024
# Of files that a process looks at again and again: to read a head takes longer than to look up some songs.
MAX_LAYOUTS = 4096


@dataclass(frozen=True)
class ArrayFiles:
    """A place of numbered arrays that all executors see."""

    store: Store

    def write(self, number: int, **arrays: NDArray[Any]) -> None:
        """Write some arrays. Each appears whole; a second attempt of a task replaces it by the same bytes."""
        for name, array in arrays.items():
            whole = np.ascontiguousarray(array)
            self.store.put(_name(number, name), _head(whole), whole.reshape(-1).view(np.uint8).data)

    def read(self, number: int, *names: str) -> list[NDArray[Any]]:
        """Return arrays of a number; nothing is read until it is looked at.

        Raises
        ------
        StorageError
            A file is not there, or is broken: names it.
        """
        return [_read(self.store, _name(number, name)) for name in names]


@dataclass(frozen=True)
class RemoteRows:
    """An array of a store, of which a slice of rows is read alone, and all of it where it is used as an array."""

    store: Store
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            return np.asarray(self)[rows]
        return self.slices([rows])

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        whole = self.slices([slice(None)])
        return whole if dtype is None else whole.astype(dtype)

    def slices(self, several: Sequence[slice]) -> NDArray[Any]:
        """Return the rows of several slices, one after the other; the store is asked once, for all."""
        width = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        ends = [rows.indices(len(self))[:2] for rows in several]
        asked = [(self.offset + first * width, self.offset + last * width) for first, last in ends if last > first]
        content = b"".join(self.store.get_ranges(self.name, asked)) if asked else b""
        return np.frombuffer(bytearray(content), dtype=self.dtype).reshape(-1, *self.shape[1:])


def _name(number: int, name: str) -> str:
    return f"{number:05d}.{name}.npy"


def _head(array: NDArray[Any]) -> bytes:
    head = io.BytesIO()
    npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(array))
    return head.getvalue()


def _read(store: Store, name: str) -> NDArray[Any]:
    try:
        try:
            return _mapped(store, name)
        except FileNotFoundError:
            # A copy that was deleted a moment ago is made again.
            return _mapped(store, name)
    except (OSError, EOFError, ValueError) as error:
        raise _broken(store, name, str(error)) from None
    except MissingError as error:
        raise _broken(store, name, error.what) from None


def _mapped(store: Store, name: str) -> NDArray[Any]:
    path = local_file(store, name)
    if path is None:
        remote: NDArray[Any] = _remote(store, name)  # type: ignore[arg-type]  # stores are frozen
        return remote
    found = os.stat(path)
    layout = _layout(path, (found.st_ino, found.st_mtime_ns, found.st_size))
    # Copy on write, which nobody does: torch wants memory that could be written.
    return np.asarray(np.memmap(path, mode="c", **layout))


@lru_cache(N_REMOTE)
def _remote(store: Store, name: str) -> Any:
    """Return an array that the disk has no room for: a small one in memory, of a large one the rows asked for."""
    n_bytes = store.stat(name).n_bytes
    if n_bytes <= MAX_HELD_BYTES:
        return np.load(io.BytesIO(store.get(name)), allow_pickle=False)
    (head,) = store.get_ranges(name, [(0, min(n_bytes, NPY_HEAD_BYTES))])
    file = io.BytesIO(head)
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    rows = RemoteRows(store, name, shape, dtype, file.tell())
    # Of a single column tasks take the bytes themselves.
    return rows if len(shape) > 1 else np.asarray(rows)


@lru_cache(MAX_LAYOUTS)
def _layout(path: str, _version: tuple[int, ...]) -> dict[str, Any]:
    """Return what the head of a file says, of which `_version` tells whether it is still the same."""
    array = np.load(path, mmap_mode="c", allow_pickle=False)
    return {"dtype": array.dtype, "shape": array.shape, "offset": array.offset}


def _broken(store: Store, name: str, fault: str) -> StorageError:
    return StorageError(f"cannot read an array: {fault}", where=f"{store.uri}/{name}")
