"""Arrays on disk: numbered files, an array each, that tasks write and map into memory to read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import StorageError
from musicrec.storage.files import replacing

# Of files that a process looks at again and again: to read a head takes longer than to look up some songs.
MAX_LAYOUTS = 4096


@dataclass(frozen=True)
class ArrayFiles:
    """A directory of numbered arrays, on a file system that all executors see."""

    directory: str

    def write(self, number: int, **arrays: NDArray[Any]) -> None:
        """Write some arrays. Each file appears whole; a second attempt of a task replaces it by the same bytes."""
        for name, array in arrays.items():
            with replacing(self._path(number, name)) as staged, open(staged, "wb") as file:
                np.save(file, np.ascontiguousarray(array), allow_pickle=False)

    def read(self, number: int, *names: str) -> list[NDArray[Any]]:
        """Return arrays of a number; nothing is read until it is looked at.

        Raises
        ------
        StorageError
            A file is not there, or is broken: names it.
        """
        return [_read(self._path(number, name)) for name in names]

    def _path(self, number: int, name: str) -> str:
        return f"{self.directory}/{number:05d}.{name}.npy"


def _read(path: str) -> NDArray[Any]:
    try:
        found = os.stat(path)
        layout = _layout(path, (found.st_ino, found.st_mtime_ns, found.st_size))
        # Copy on write, which nobody does: torch wants memory that could be written.
        return np.asarray(np.memmap(path, mode="c", **layout))
    except (OSError, EOFError, ValueError) as error:
        raise StorageError(f"cannot read an array: {error}", where=path) from None


@lru_cache(MAX_LAYOUTS)
def _layout(path: str, _version: tuple[int, ...]) -> dict[str, Any]:
    """Return what the head of a file says, of which `_version` tells whether it is still the same."""
    array = np.load(path, mmap_mode="c", allow_pickle=False)
    return {"dtype": array.dtype, "shape": array.shape, "offset": array.offset}
