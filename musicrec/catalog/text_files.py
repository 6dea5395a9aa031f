"""CSV or JSON: what a file is, its columns and its first rows, by a look at its first bytes."""

from __future__ import annotations

from itertools import islice

import pyarrow as pa

from musicrec.catalog.contents import Batch, Content
from musicrec.catalog.csv_files import CsvFile
from musicrec.catalog.dialect import HEAD_BYTES, find_dialect, find_encoding
from musicrec.catalog.json_files import JsonFile, as_text_table, has_json_lines
from musicrec.config import InputConfig

# Of a file, from which it is told what its columns mean.
SAMPLE_ROWS = 1000

TextFile = CsvFile | JsonFile


def open_text(content: Content, kind: str, settings: InputConfig) -> TextFile:
    """Return a file of CSV or JSON, after a look at its first bytes.

    Parameters
    ----------
    content : Content
    kind : {"csv", "jsonl"}
    settings : InputConfig

    Raises
    ------
    InputError
        It is not of this kind.
    """
    head = content.head(HEAD_BYTES)
    where = content.uri
    if kind == "csv":
        return CsvFile(content, find_dialect(head, settings, where=where), settings.csv_multiline)
    encoding, n_mark_bytes = find_encoding(head, settings, where=where)
    return JsonFile(content, encoding, n_mark_bytes, has_json_lines(head[n_mark_bytes:], encoding))


def names_of(file: TextFile) -> list[str]:
    """Return the columns of a file; of JSON those of its first rows."""
    if isinstance(file, CsvFile):
        return list(file.dialect.names)
    return list(dict.fromkeys(key for rows, _ in islice(file.rows(), SAMPLE_ROWS) for row in rows for key in row))


def sample_of(file: TextFile) -> Batch:
    """Return the first rows of a file, `SAMPLE_ROWS` at most, and those of their lines that could not be read."""
    names = names_of(file)
    if isinstance(file, JsonFile):
        first = list(islice(file.rows(), SAMPLE_ROWS))
        rows = [row for some, _ in first for row in some][:SAMPLE_ROWS]
        return Batch(as_text_table(rows, names), [text for _, text in first if text])
    head = file.content.head(HEAD_BYTES)
    # The last line may be cut.
    end = head.rfind(b"\n") + 1 if len(head) >= HEAD_BYTES and file.dialect.is_plain else len(head)
    short = Content(file.content.uri, lambda first, last: iter([head[:end][first:last]]), False)
    batches = list(CsvFile(short, file.dialect, file.multiline).read(names))
    tables = [as_text_table([], names), *(batch.table for batch in batches)]
    malformed = [text for batch in batches for text in batch.malformed]
    return Batch(pa.concat_tables(tables).slice(0, SAMPLE_ROWS), malformed[:SAMPLE_ROWS])
