"""The items of the cells on disk: a part of the catalog is three arrays, mapped into memory to be read."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musicrec.errors import StorageError
from musicrec.neighbors.search.items import Items

FIELDS = ("keys", "recordings", "vectors")


@dataclass(frozen=True)
class CellFiles:
    """A directory of parts, on a file system that all executors see."""

    directory: Path

    def write(self, part: int, items: Items) -> None:
        """Write a part. Each file appears whole; a second attempt of a task replaces it by the same bytes."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for field in FIELDS:
            target = self._path(part, field)
            staged = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                with staged.open("wb") as file:
                    np.save(file, np.ascontiguousarray(getattr(items, field)), allow_pickle=False)
                os.replace(staged, target)
            except OSError as error:
                staged.unlink(missing_ok=True)
                raise StorageError(f"cannot write the cells: {error.strerror}", where=str(target)) from None

    def read(self, part: int) -> Items:
        """Return the items of a part; nothing is read until it is looked at."""
        arrays = []
        for field in FIELDS:
            path = self._path(part, field)
            try:
                # Copy on write, which nobody does: torch wants memory that could be written.
                arrays.append(np.load(path, mmap_mode="c", allow_pickle=False))
            except (OSError, ValueError) as error:
                raise StorageError(f"cannot read the cells: {error}", where=str(path)) from None
        return Items(*(np.asarray(array) for array in arrays))

    def _path(self, part: int, field: str) -> Path:
        return self.directory / f"{part:05d}.{field}.npy"
