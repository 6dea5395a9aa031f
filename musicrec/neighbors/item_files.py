"""Items on disk: a part of them is three arrays, mapped into memory to be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.errors import StorageError
from musicrec.neighbors.search.items import Items
from musicrec.storage.files import replacing

_FIELDS = ("keys", "recordings", "vectors")


@dataclass(frozen=True)
class ItemFiles:
    """A directory of numbered files, on a file system that all executors see: parts of cells, or packed pieces."""

    directory: str

    def write(self, number: int, items: Items) -> None:
        """Write some items. Each file appears whole; a second attempt of a task replaces it by the same bytes."""
        for field in _FIELDS:
            with replacing(self._path(number, field)) as staged, open(staged, "wb") as file:
                np.save(file, np.ascontiguousarray(getattr(items, field)), allow_pickle=False)

    def read(self, number: int) -> Items:
        """Return the items of a number; nothing is read until it is looked at."""
        arrays = []
        for field in _FIELDS:
            path = self._path(number, field)
            try:
                # Copy on write, which nobody does: torch wants memory that could be written.
                arrays.append(np.load(path, mmap_mode="c", allow_pickle=False))
            except (OSError, ValueError) as error:
                raise StorageError(f"cannot read the items: {error}", where=path) from None
        return Items(*(np.asarray(array) for array in arrays))

    def _path(self, number: int, field: str) -> str:
        return f"{self.directory}/{number:05d}.{field}.npy"
