"""A CSV file → its rows, from any place of it on.

A large file is cut into pieces, each read by a task of its own. A piece begins at the first clean line behind its
first byte, and ends where the next one begins, so that all tasks together read each line once.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from musicrec.catalog.contents import Batch, Content
from musicrec.catalog.csv_records import Records, Shape, first_clean, read_records, with_line_ends
from musicrec.catalog.dialect import Dialect


@dataclass(frozen=True)
class CsvFile:
    """A CSV file, and what it looks like."""

    content: Content
    dialect: Dialect
    multiline: bool

    def read(self, names: Sequence[str], *, first: int = 0, last: int | None = None) -> Iterator[Batch]:
        """Yield the rows of a piece of the file.

        Parameters
        ----------
        names : sequence of str
            Columns that are wanted; others of the file are left out.
        first, last : int
            Bytes where the piece begins and ends; None: the end of the file.
        """
        kept = tuple(i for i, name in enumerate(self.dialect.names) if name in names)
        shape = Shape(self.dialect.delimiter, len(self.dialect.names), self.multiline, kept)
        begin = self._first_line(first, shape) if first else 0
        end = self._first_line(last, shape) if last is not None else None
        if begin is None or (end is not None and begin >= end):
            return
        chunks, n_lines = self.content.chunks(begin, end), 0 if first else self.dialect.n_header_lines
        lines = with_line_ends(chunks if first else self._as_utf8(chunks))
        for records in read_records(_without_lines(lines, n_lines), shape):
            yield self._as_batch(records, kept, begin=begin, n_lines=n_lines)
            n_lines += records.n_lines

    @property
    def can_be_cut(self) -> bool:
        """Whether a task can read a part of it alone."""
        return self.content.can_seek and self.dialect.is_plain

    def _as_batch(self, records: Records, kept: Sequence[int], *, begin: int, n_lines: int) -> Batch:
        table = records.table.rename_columns([self.dialect.names[i] for i in kept])
        if not records.malformed:
            return Batch(table)
        before = n_lines
        if begin:
            before += sum(chunk.count(b"\n") for chunk in with_line_ends(self.content.chunks(0, begin)))
        malformed = [f"line {before + line + 1}: {text}" for line, text in records.malformed]
        return Batch(table, malformed)

    def _first_line(self, position: int, shape: Shape) -> int | None:
        """Return where the first clean line begins at or behind a position, None where there is none."""
        # The byte before says whether a line begins right here.
        at, held = position - 1, b""
        is_begun = False
        for chunk in with_line_ends(self.content.chunks(at, None)):
            held += chunk
            if not is_begun:
                begin = held.find(b"\n") + 1
                if not begin:
                    at, held = at + len(held) - 1, held[-1:]
                    continue
                at, held, is_begun = at + begin, held[begin:], True
            end = held.rfind(b"\n") + 1
            found = first_clean(held[:end], shape) if end else None
            if found is not None:
                return at + found
            at, held = at + end, held[end:]
        found = first_clean(held, shape) if is_begun and held else None
        return None if found is None else at + found

    def _as_utf8(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the bytes from the first one on as UTF-8, without a mark."""
        decode = None
        if self.dialect.encoding != "utf-8":
            decode = codecs.getincrementaldecoder(self.dialect.encoding)("replace").decode
        n_skipped = self.dialect.n_mark_bytes
        for chunk in chunks:
            text = chunk[n_skipped:]
            n_skipped = max(0, n_skipped - len(chunk))
            yield text if decode is None else decode(text).encode()


def _without_lines(chunks: Iterable[bytes], n: int) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        held += chunk
        while n and (end := held.find(b"\n") + 1):
            held, n = held[end:], n - 1
        if not n and held:
            yield held
            held = b""
