"""Items on disk: a part of them is three arrays, mapped into memory to be read."""

from __future__ import annotations

from dataclasses import dataclass

from musicrec.neighbors.search.items import Items
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.stores import Store


@dataclass(frozen=True)
class ItemFiles:
    """A place of numbered arrays that all executors see: parts of cells, or packed pieces."""

    store: Store

    def write(self, number: int, items: Items) -> None:
        """Write some items, as `ArrayFiles.write`."""
        arrays = {"keys": items.keys, "facts": items.facts, "vectors": items.vectors}
        ArrayFiles(self.store).write(number, **arrays)

    def read(self, number: int) -> Items:
        """Return the items of a number, as `ArrayFiles.read`."""
        return Items(*ArrayFiles(self.store).read(number, "keys", "facts", "vectors"))
