"""A file of JSON → its rows: an object a line, from any place of the file on, or documents of many lines."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from musicrec.catalog.contents import Batch, Content
from musicrec.catalog.csv_records import recode
from musicrec.catalog.json_rows import NotJsonError, Row, read_documents, read_lines
from musicrec.errors import InputError

JSON_ROWS = 8192


@dataclass(frozen=True)
class JsonFile:
    """A file of JSON: an object a line, or documents of many lines."""

    content: Content
    encoding: str
    n_mark_bytes: int
    has_lines: bool

    @property
    def can_be_cut(self) -> bool:
        """Whether a task can read a part of it alone."""
        return self.content.can_seek and self.has_lines and self.encoding == "utf-8"

    def read(self, names: Sequence[str], *, first: int = 0, last: int | None = None) -> Iterator[Batch]:
        """Yield the rows of a piece of the file.

        Parameters
        ----------
        names : sequence of str
            Columns that are wanted.
        first, last : int
            Bytes where the piece begins and ends; None: the end of the file.
        """
        held, malformed = list[Row](), list[str]()
        for rows, text in self.rows(first=first, last=last):
            held += rows
            malformed += [text] if text else []
            if len(held) >= JSON_ROWS:
                yield Batch(as_text_table(held, names), malformed)
                held, malformed = [], []
        if held or malformed:
            yield Batch(as_text_table(held, names), malformed)

    def rows(self, *, first: int = 0, last: int | None = None) -> Iterator[tuple[list[Row], str]]:
        """Yield rows, and the text of a line that has none.

        Raises
        ------
        InputError
            The file is no JSON, or is cut off.
        """
        if self.has_lines:
            yield from read_lines(self._lines(first=first, last=last))
            return
        try:
            for rows in read_documents(self._texts()):
                yield rows, ""
        except NotJsonError as error:
            raise InputError(
                f"the file is no JSON, or is cut off: {error}", where=self.content.uri,
                todo="export it again: one array, or one song per line",
            ) from None  # fmt: skip

    def _texts(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)("strict")
        n_skipped = self.n_mark_bytes
        try:
            for chunk in self.content.chunks(0, None):
                yield decoder.decode(chunk[n_skipped:])
                n_skipped = 0
        except UnicodeDecodeError as error:
            raise InputError(
                f"the file is not {self.encoding}: {error.reason}", where=self.content.uri,
                todo="set input.encoding to what it is written in, such as --set input.encoding=cp1252",
            ) from None  # fmt: skip

    def _lines(self, *, first: int, last: int | None) -> Iterator[str]:
        if self.encoding != "utf-8":
            yield from _text_lines(self._texts())
            return
        at, held = max(0, first - 1), b""
        # A line belongs to the piece in which it begins.
        skipped = self.n_mark_bytes if not first else None
        for chunk in self.content.chunks(at, None):
            held += chunk
            if skipped is None:
                begin = held.find(b"\n") + 1
                if not begin:
                    at, held = at + len(held), b""
                    continue
                skipped = begin
            at, held, skipped = at + skipped, held[skipped:], 0
            *lines, rest = held.split(b"\n")
            for line in lines:
                if last is not None and at >= last:
                    return
                at += len(line) + 1
                yield recode(line).decode()
            held = rest
        if held and skipped is not None and (last is None or at < last):
            yield recode(held).decode()


def has_json_lines(head: bytes, encoding: str) -> bool:
    """Return whether the first bytes of a file look like an object a line."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head).lstrip()
    if text[:1] == "[":
        return False
    lines = text.split("\n")[:20]
    n_objects = sum(isinstance(_value(line), dict) for line in lines)
    return text[:1] != "{" or isinstance(_value(lines[0]), dict) or n_objects > len(lines) // 2


def _value(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def as_text_table(rows: Sequence[Row], names: Sequence[str]) -> pa.Table:
    """Return rows as a table of text; what a row does not say is NULL."""
    return pa.table({name: pa.array([row.get(name) for row in rows], type=pa.string()) for name in names})


def _text_lines(texts: Iterable[str]) -> Iterator[str]:
    held = ""
    for text in texts:
        *lines, held = (held + text).split("\n")
        yield from lines
    if held:
        yield held
