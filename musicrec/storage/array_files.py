"""Arrays on disk: numbered files, an array each, that tasks write and map into memory to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import StorageError
from musicrec.storage.files import replacing


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
        return [self._read(self._path(number, name)) for name in names]

    def _read(self, path: str) -> NDArray[Any]:
        try:
            # Copy on write, which nobody does: torch wants memory that could be written.
            return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot read an array: {error}", where=path) from None

    def _path(self, number: int, name: str) -> str:
        return f"{self.directory}/{number:05d}.{name}.npy"
