"""Tables that tasks hand on: numbered Arrow files, mapped into memory; a task reads the rows that it wants."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from musicrec.errors import StorageError
from musicrec.storage.files import replacing


@dataclass(frozen=True)
class ArrowFiles:
    """A directory of numbered tables, on a file system that all executors see."""

    directory: str

    def write(self, number: int, rows: pa.Table) -> None:
        """Write the rows of a task. The file appears whole; a second attempt replaces it by the same rows."""
        with replacing(self._path(number)) as staged, pa.ipc.new_file(staged, rows.schema) as file:
            file.write_table(rows.combine_chunks())

    def read(self, number: int) -> pa.Table:
        """Return the rows of a task; nothing is read until it is looked at.

        Raises
        ------
        StorageError
            The file is not there, or is broken: names it.
        """
        path = self._path(number)
        try:
            return pa.ipc.open_file(pa.memory_map(path)).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"cannot read the rows: {error}", where=path) from None

    def _path(self, number: int) -> str:
        return f"{self.directory}/{number:05d}.arrow"
