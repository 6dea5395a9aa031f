"""Tables that tasks hand on: numbered Arrow files, mapped into memory; a task reads the rows that it wants."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from musicrec.errors import StorageError
from musicrec.storage.node_copies import local_file
from musicrec.storage.stores import Store


@dataclass(frozen=True)
class ArrowFiles:
    """A place of numbered tables that all executors see."""

    store: Store

    def write(self, number: int, rows: pa.Table) -> None:
        """Write the rows of a task. They appear whole; a second attempt replaces them by the same rows."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, rows.schema) as file:
            file.write_table(rows.combine_chunks())
        self.store.put(_name(number), memoryview(sink.getvalue()))

    def read(self, number: int) -> pa.Table:
        """Return the rows of a task; nothing is read until it is looked at.

        Raises
        ------
        StorageError
            The file is not there, or is broken: names it.
        """
        name = _name(number)
        try:
            path = local_file(self.store, name)
            source = pa.memory_map(path) if path is not None else pa.BufferReader(self.store.get(name))
            return pa.ipc.open_file(source).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"cannot read the rows: {error}", where=f"{self.store.uri}/{name}") from None


def _name(number: int) -> str:
    return f"{number:05d}.arrow"
