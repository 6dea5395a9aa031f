"""The bytes of a file, wherever they are, and the rows that were read of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from musicrec.storage import byte_files


@dataclass(frozen=True)
class Content:
    """The bytes of a file, wherever they are.

    Attributes
    ----------
    uri : str
    chunks : callable
        Returns them from one position to another (None: the end), unpacked.
    can_seek : bool
        A part can be read alone.
    """

    uri: str
    chunks: Callable[[int, int | None], Iterator[bytes]]
    can_seek: bool

    def head(self, n_bytes: int) -> bytes:
        """Return the first bytes, or all."""
        held = b""
        for chunk in self.chunks(0, None):
            held += chunk
            if len(held) >= n_bytes:
                break
        return held[:n_bytes]


def content_of(path: byte_files.InputFile) -> Content:
    """Return the bytes of a file that tasks open themselves."""
    return Content(
        byte_files.uri_of(path),
        lambda first, last: byte_files.read_chunks(path, first=first, last=last),
        not byte_files.is_packed(path),
    )


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Attributes
    ----------
    table : pyarrow.Table
        Text, under the names of the file's columns.
    malformed : list of str
        Rows that could not be read, each with the number of its line.
    """

    table: pa.Table
    malformed: list[str] = field(default_factory=list)
