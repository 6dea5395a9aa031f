"""CSV of any writer, and CSV that is broken: each line is in one record or is named."""

import csv
import io
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.catalog.contents import Content
from musicrec.catalog.csv_fields import split_record
from musicrec.catalog.csv_files import CsvFile
from musicrec.catalog.csv_records import Shape, read_records, with_line_ends
from musicrec.catalog.dialect import find_dialect
from musicrec.config import InputConfig

FIELDS = st.text(alphabet="ab ;\"'é😀\t", max_size=8)


def written(rows: list[list[str]], **how) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, **how).writerows(rows)
    return text.getvalue().encode()


def read(text: bytes, shape: Shape, *, size: int = 1000) -> tuple[list[list[str]], list[str], int]:
    """Return the rows, the malformed lines and how many lines there were, of bytes that come in chunks."""
    rows, malformed, n_lines = list[list[str]](), list[str](), 0
    chunks = with_line_ends(text[i : i + size] for i in range(0, len(text), size))
    for records in read_records(chunks, shape):
        rows += [list(row.values()) for row in records.table.to_pylist()]
        malformed += [line for _, line in records.malformed]
        n_lines += records.n_lines
    return rows, malformed, n_lines


# The first field is never empty: a row of nothing is none.
ROWS = st.lists(st.tuples(st.sampled_from("xyz"), FIELDS, FIELDS, FIELDS).map(list), min_size=1, max_size=6)


@given(
    ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from(["\n", "\r\n"]), st.integers(1, 40)
)
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read(rows: list[list[str]], quoting, end: str, size: int) -> None:
    found, malformed, n_lines = read(written(rows, quoting=quoting, lineterminator=end), Shape(",", 4), size=size)
    assert malformed == []
    assert sorted(found) == sorted(rows)
    assert n_lines == len(rows)


@given(
    st.lists(st.tuples(st.text("ab\n,", min_size=1, max_size=9), st.sampled_from("xyz")), min_size=1, max_size=5)
)
@settings(max_examples=100, deadline=None)
def test_line_breaks_within_quotes(rows) -> None:
    """Of six columns: no line of text looks like a record by itself."""
    whole = [["x", text, "1", "2", "3", last] for text, last in rows if not text.endswith("\n")]
    found, malformed, _ = read(written(whole, quoting=csv.QUOTE_ALL), Shape(",", 6))
    assert (sorted(found), malformed) == (sorted(whole), [])


@given(st.binary(max_size=60) | st.text('a,"\n\r\\;é', max_size=60).map(str.encode), st.integers(1, 20))
@settings(max_examples=400, deadline=None)
def test_of_any_bytes_each_line_is_read_once(text: bytes, size: int) -> None:
    rows, malformed, n_lines = read(text, Shape(",", 3), size=size)
    ended = re.sub(rb"\r\n|\r", b"\n", text)
    lines = [line for line in ended.split(b"\n") if line.strip(b" ,\t")]
    assert n_lines == ended.count(b"\n") + (not ended.endswith(b"\n") and bool(ended))
    assert len(malformed) <= len(lines)
    assert len(rows) + len(malformed) <= len(lines)
    assert (not lines) == (not rows and not malformed)
    # However the bytes come.
    at_once, malformed_at_once, _ = read(text, Shape(",", 3))
    assert (sorted(rows), malformed) == (sorted(at_once), malformed_at_once)


def test_a_quote_that_stays_open_swallows_no_row() -> None:
    """In each of the rows in turn, in each column, between rows with proper quotes."""
    plain = [[f"id{i}", f'title, {i} "x"', "a", str(i)] for i in range(30)]
    lines = written(plain).decode().splitlines()
    for at in range(30):
        for stray in (
            f'id{at},"open,a,{at}',
            f'id{at},open,"a,{at}',
            f'id{at},open,a,"{at}',
            f'"id{at},open,a,{at}',
        ):
            text = "\n".join([*lines[:at], stray, *lines[at + 1 :]]).encode()
            rows, malformed, _ = read(text, Shape(",", 4))
            assert malformed == [stray]
            assert sorted(rows) == sorted(plain[:at] + plain[at + 1 :])


def test_rows_too_short_or_too_long_are_named_and_empty_fields_at_the_end_are_not() -> None:
    rows, malformed, _ = read(b"a,b,c\na,b\na,b,c,d\na,b,c,,\n,,\n\n a , b ,c\n", Shape(",", 3))
    assert sorted(rows) == [[" a ", " b ", "c"], ["a", "b", "c"], ["a", "b", "c"]]
    assert malformed == ["a,b", "a,b,c,d"]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('1,"say ""hi""",2', ["1", 'say "hi"', "2"]),
        ('1,"say "hi" you",2', ["1", 'say "hi" you', "2"]),
        ('1,"say "hi"",2', ["1", 'say "hi"', "2"]),
        ('1,"say \\"hi\\" you",2', ["1", 'say "hi" you', "2"]),
        ('1,"say \\"hi\\"",2', ["1", 'say "hi"', "2"]),
        ('1,"ends with \\",2', ["1", "ends with \\", "2"]),
        ('1,12" vinyl,2', ["1", '12" vinyl', "2"]),
        ('1,"Heroes" - 2017,2', ["1", '"Heroes" - 2017', "2"]),
        ('1, "a, b",2', ["1", "a, b", "2"]),
        ('1,"",2', ["1", "", "2"]),
        ('1,"a\nb",2', ["1", "a\nb", "2"]),
        ('1,"open,2', None),
        ("1,2", None),
    ],
)
def test_quotes_as_writers_write_them(text: str, fields: list[str] | None) -> None:
    assert split_record(text, delimiter=",", n_fields=3) == fields


def test_a_line_that_is_no_utf8_is_read_by_itself() -> None:
    rows, malformed, _ = read("é,1\n".encode() + b"\xe9,2\n\x81,3\n\xe9\n", Shape(",", 2))
    assert rows == [["é", "1"], ["é", "2"], ["\x81", "3"]]
    assert malformed == ["é"]


def held(text: bytes) -> Content:
    return Content("file:///songs.csv", lambda first, last: iter([text[first:last]]), True)


@given(ROWS, st.lists(st.integers(0, 300), max_size=4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_pieces_of_a_file_read_each_line_once(rows, cuts: list[int], has_stray: bool) -> None:
    text = written([["track_id", "title", "artist", "tempo"], *rows])
    text += b'z,"open\nx,a,b,c\n' if has_stray else b""
    file = CsvFile(held(text), find_dialect(text, InputConfig(), where="songs.csv"), True)
    whole = list(file.read(file.dialect.names))
    borders = [0, *sorted({cut % len(text) for cut in cuts} - {0}), None]
    pieces = [
        batch
        for first, last in pairwise(borders)
        for batch in file.read(file.dialect.names, first=first, last=last)
    ]

    def told(batches) -> tuple[list, list]:
        found = [str(row) for batch in batches for row in batch.table.to_pylist()]
        return sorted(found), sorted(line for batch in batches for line in batch.malformed)

    assert told(pieces) == told(whole)


def dialect(text: str | bytes, **settings):
    head = text.encode() if isinstance(text, str) else text
    return find_dialect(head, InputConfig(**settings), where="songs.csv")


def test_how_a_file_is_written_is_found_out() -> None:
    assert dialect("id;name;tempo\n1;a;2\n").delimiter == ";"
    assert dialect("id\tname\ttempo\n").delimiter == "\t"
    assert dialect("id|name|tempo\n").delimiter == "|"
    assert dialect('"id","a;b;c;d;e","tempo"\n').delimiter == ","
    assert dialect("sep=;\nid;name\n1;a\n").names == ("id", "name")
    assert dialect("\n\nid,name\n1,a\n").n_header_lines == 3
    assert dialect("id,name\r1,a\r").has_cr
    assert dialect("id,name\n1,a\n".encode("utf-16")).encoding == "utf-16-le"
    assert dialect("id,name\n1,a\n".encode("utf-16-be")).encoding == "utf-16-be"
    assert dialect(b"\xef\xbb\xbfid,name\n").names == ("id", "name")
    # The index of a data frame, with and without a place in the header.
    assert dialect(",id,name\n0,1,a\n").names == ("Unnamed: 0", "id", "name")
    assert dialect("id,name\n0,1,a\n1,2,b\n").names == ("Unnamed: 0", "id", "name")
    assert dialect("a b,c\n1,2\n", csv_names=["id", "title"]).names == ("id", "title")
    assert dialect("id,name\n1,a\n", csv_delimiter=";").names == ("id,name",)
    assert dialect("id,name\n".encode("cp1252"), encoding="cp1252").encoding == "cp1252"
