"""Arrays in a store: numbered objects, an array each, that tasks write and map into memory to read."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from musicrec.errors import StorageError
from musicrec.storage.node_copies import local_file
from musicrec.storage.stores import MissingError, Store

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
        return _held(store, name)  # type: ignore[arg-type]  # stores are frozen
    found = os.stat(path)
    layout = _layout(path, (found.st_ino, found.st_mtime_ns, found.st_size))
    # Copy on write, which nobody does: torch wants memory that could be written.
    return np.asarray(np.memmap(path, mode="c", **layout))


@lru_cache(8)
def _held(store: Store, name: str) -> NDArray[Any]:
    """Return an array in memory, where the disk has no room for it."""
    array: NDArray[Any] = np.load(io.BytesIO(store.get(name)), allow_pickle=False)
    return array


@lru_cache(MAX_LAYOUTS)
def _layout(path: str, _version: tuple[int, ...]) -> dict[str, Any]:
    """Return what the head of a file says, of which `_version` tells whether it is still the same."""
    array = np.load(path, mmap_mode="c", allow_pickle=False)
    return {"dtype": array.dtype, "shape": array.shape, "offset": array.offset}


def _broken(store: Store, name: str, fault: str) -> StorageError:
    return StorageError(f"cannot read an array: {fault}", where=f"{store.uri}/{name}")
