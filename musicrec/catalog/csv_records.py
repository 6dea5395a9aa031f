"""Bytes of a CSV file → its records, with nothing lost in silence: each line is in one record, or is malformed.

A line is clean where it has as many fields as the file has columns, and quotes only around whole fields. A clean
line is a record, whatever stands before it: a quote that was left open in a row swallows no row after it.
Another line is read by itself, then together with those that follow, up to the next clean one; where that gives
no record either, it is malformed, and reading goes on with the next line. Where records begin can so be told
from any place of a file on.

Clean lines, nearly all, are parsed by pyarrow; the others one by one.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from pyarrow import csv

from musicrec.arrays import Bools, Ints
from musicrec.catalog.csv_fields import has_open_quote, split_record

LF, CR, QUOTE_MARK = 10, 13, 34
# A record is not longer than this: a quote that was left open does not hold up the rest.
MAX_RECORD_BYTES, MAX_RECORD_LINES, MAX_TRIES = 2**20, 10_000, 100
LONE_CR = re.compile(rb"\r(?!\n)")
# Where text is no UTF-8, it is what Windows and old spreadsheets write.
FALLBACK = "cp1252"


@dataclass(frozen=True)
class Shape:
    """What lines of a file look like.

    Attributes
    ----------
    delimiter : str
        One character of ASCII.
    n_fields : int
        Columns.
    multiline : bool
        Fields may hold line breaks.
    kept : tuple of int, optional
        Columns that are wanted, by default all.
    """

    delimiter: str
    n_fields: int
    multiline: bool = True
    kept: tuple[int, ...] | None = None

    @property
    def columns(self) -> tuple[int, ...]:
        """The positions of what is wanted."""
        return tuple(range(self.n_fields)) if self.kept is None else self.kept

    @cached_property
    def clean_line(self) -> re.Pattern[bytes]:
        """What a clean line looks like, without its end."""
        d = re.escape(self.delimiter.encode())
        field = rb'(?:"(?:[^"]++|"")*+"|[^"' + d + rb"]*+)"
        return re.compile(field + rb"(?:" + d + field + rb"){%d}" % (self.n_fields - 1), re.DOTALL)


@dataclass(frozen=True)
class Records:
    """Some lines of a file.

    Attributes
    ----------
    table : pyarrow.Table
        Text, the wanted columns, named by their positions.
    malformed : list of (int, str)
        Lines that are no record: how many lines stand before them among these, and their text.
    n_lines : int
    """

    table: pa.Table
    malformed: list[tuple[int, str]]
    n_lines: int


def read_records(chunks: Iterable[bytes], shape: Shape) -> Iterator[Records]:
    """Yield the records of bytes that begin with a line.

    Parameters
    ----------
    chunks : iterable of bytes
        One after the other; lines end with LF, or CR and LF: as `with_line_ends` yields them.
    shape : Shape
    """
    held = b""
    for chunk in chunks:
        held += chunk
        end = held.rfind(b"\n") + 1
        if end:
            found, n_bytes = _records(held[:end], shape, is_last=False)
            if n_bytes:
                yield found
            held = held[n_bytes:]
    if held:
        yield _records(held, shape, is_last=True)[0]


def with_line_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield bytes in which each CR that ends a line by itself is LF: of old files, or of parts of a file."""
    is_cut = False
    for chunk in chunks:
        text = b"\r" + chunk if is_cut else chunk
        # What follows the last CR is in the next chunk.
        is_cut = text.endswith(b"\r")
        yield LONE_CR.sub(b"\n", text[:-1] if is_cut else text) if b"\r" in text else text
    if is_cut:
        yield b"\n"


def first_clean(text: bytes, shape: Shape) -> int | None:
    """Return where the first clean line of some begins, None where there is none."""
    lines = _Lines(text)
    clean = np.flatnonzero(_clean(lines, shape))
    return int(lines.starts[clean[0]]) if len(clean) else None


class _Lines:
    """Where the lines of a text are."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.bytes = np.frombuffer(text, dtype=np.uint8)
        ends = np.flatnonzero(self.bytes == LF) + 1
        self.ends = ends if len(ends) and ends[-1] == len(text) else np.append(ends, len(text))
        self.starts = np.concatenate([[0], self.ends[:-1]])

    def __len__(self) -> int:
        return len(self.starts)

    def counts(self, mask: Bools) -> Ints:
        """Return how many bytes of each line are in a mask (n_bytes,)."""
        counts: Ints = np.add.reduceat(mask.view(np.uint8), self.starts, dtype=np.int64)
        return counts

    def bare(self, i: int, j: int | None = None) -> bytes:
        """Return some lines without the end of the last one."""
        line = self.text[self.starts[i] : self.ends[i if j is None else j]]
        return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")


def _clean(lines: _Lines, shape: Shape) -> Bools:
    """Return which lines are clean (n_lines,)."""
    n_delimiters = lines.counts(lines.bytes == ord(shape.delimiter))
    has_quote = lines.counts(lines.bytes == QUOTE_MARK) > 0
    clean: Bools = (n_delimiters == shape.n_fields - 1) & ~has_quote
    for i in np.flatnonzero(has_quote & (n_delimiters >= shape.n_fields - 1)).tolist():
        clean[i] = shape.clean_line.fullmatch(lines.bare(i)) is not None
    return clean


def _blank(lines: _Lines, shape: Shape) -> Bools:
    """Return which lines hold nothing but delimiters, as spreadsheets leave them behind."""
    nothing = np.isin(lines.bytes, np.array([LF, CR, 32, 9, ord(shape.delimiter)], dtype=np.uint8))
    blank: Bools = lines.counts(~nothing) == 0
    return blank


def _records(text: bytes, shape: Shape, *, is_last: bool) -> tuple[Records, int]:
    """Return the records of lines, and how many bytes they are: a record at the end may go on behind it."""
    text, sizes = _as_utf8(text)
    lines = _Lines(text)
    clean, blank = _clean(lines, shape), _blank(lines, shape)
    rows, malformed, end = list[list[str]](), list[tuple[int, str]](), len(lines)
    i = 0
    odd = np.flatnonzero(~clean & ~blank)
    for first in odd.tolist():
        if first < i:
            continue
        row, last = _odd_record(lines, clean, first, shape)
        if row is None and last == len(lines) and not is_last:
            end = first
            break
        if row is None:
            malformed.append((first, lines.bare(first).decode()))
        else:
            rows.append(row)
        i = last if row is not None else first + 1
    kept = np.flatnonzero((clean & ~blank)[:end])
    table = pa.concat_tables([_parsed(lines, kept, shape), _as_table(rows, shape)])
    n_bytes = int(lines.starts[end]) if end < len(lines) else len(text)
    return Records(table, malformed, end), n_bytes if sizes is None else int(sizes[end])


def _odd_record(lines: _Lines, clean: Bools, first: int, shape: Shape) -> tuple[list[str] | None, int]:
    """Return the fields of the record that begins with a line, and the line behind it.

    None where it has none; the line is then the end of all, where more lines might help.
    """
    line = lines.bare(first).decode()
    row = split_record(line, delimiter=shape.delimiter, n_fields=shape.n_fields)
    if row is not None or not shape.multiline or not has_open_quote(line, delimiter=shape.delimiter):
        return row, first + 1
    n_tries = 0
    for last in range(first + 1, len(lines)):
        too_long = lines.ends[last] - lines.starts[first] > MAX_RECORD_BYTES
        if clean[last] or too_long or last - first > MAX_RECORD_LINES or n_tries > MAX_TRIES:
            return None, first + 1
        if b'"' in lines.bare(last):
            n_tries += 1
            text = lines.bare(first, last).decode()
            row = split_record(text, delimiter=shape.delimiter, n_fields=shape.n_fields)
            if row is not None:
                return row, last + 1
    return None, len(lines)


def _parsed(lines: _Lines, kept: Ints, shape: Shape) -> pa.Table:
    """Return clean lines as a table."""
    if not len(kept):
        return _as_table([], shape)
    text = lines.text
    if len(kept) < len(lines):
        # Lines that follow each other are cut out together.
        breaks = np.flatnonzero(np.diff(kept) > 1)
        firsts, lasts = kept[np.append(0, breaks + 1)], kept[np.append(breaks, len(kept) - 1)]
        text = b"".join(
            text[lines.starts[first] : lines.ends[last]] for first, last in zip(firsts, lasts, strict=True)
        )
    names = [_name(i) for i in range(shape.n_fields)]
    wanted = [_name(i) for i in shape.columns]
    return csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=max(len(text) + 1, 1024)),
        parse_options=csv.ParseOptions(delimiter=shape.delimiter),
        convert_options=csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pa.string()),
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )


def _as_table(rows: list[list[str]], shape: Shape) -> pa.Table:
    columns = {_name(i): pa.array([row[i] for row in rows], type=pa.string()) for i in shape.columns}
    return pa.table(columns)


def _name(position: int) -> str:
    return f"column{position}"


def _as_utf8(text: bytes) -> tuple[bytes, Ints | None]:
    """Return text of which all is UTF-8 and, where it was not, where its lines began before."""
    try:
        text.decode()
    except UnicodeDecodeError:
        lines = re.split(rb"(?<=\n)", text)
        recoded = [recode(line) for line in lines]
        sizes = np.cumsum([0, *map(len, lines)])
        return b"".join(recoded), sizes
    return text, None


def is_utf8(text: bytes) -> bool:
    """Return whether a text is UTF-8, but for a character that may be cut at its end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return False
    return True


def recode(line: bytes) -> bytes:
    """Return a line as UTF-8: the same one where it is, else as the fallback reads it."""
    try:
        line.decode()
    except UnicodeDecodeError:
        # Five bytes have no meaning in it: they stay apart as what Latin-1 makes of them.
        return "".join(_characters(line)).encode()
    return line


def _characters(line: bytes) -> Iterator[str]:
    for byte in line:
        try:
            yield bytes([byte]).decode(FALLBACK)
        except UnicodeDecodeError:
            yield chr(byte)
