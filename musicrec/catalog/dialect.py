"""The first bytes of a CSV file → how it is written: its encoding, its delimiter, its header."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from musicrec.catalog.columns import known_as, line_to_add
from musicrec.catalog.csv_fields import split_line
from musicrec.catalog.csv_records import recode
from musicrec.config import InputConfig
from musicrec.errors import InputError

HEAD_BYTES = 2**18
DELIMITERS = (",", ";", "\t", "|")
# Lines among which the header is looked for, and columns that it has at least where it is not the first.
MAX_PREAMBLE, MIN_KNOWN = 20, 3
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# What spreadsheets write above the header, for themselves.
DIRECTIVE = re.compile(r"^sep=(.)$", re.I)


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    encoding : str
        "utf-8" where lines that are none are read by the fallback of `csv_records`; else one for all of the file.
    n_mark_bytes : int
        Bytes of the byte order mark.
    has_cr : bool
        Lines end with CR alone.
    delimiter : str
    names : tuple of str
        Of the columns.
    n_header_lines : int
        Lines before the first record.
    """

    encoding: str
    n_mark_bytes: int
    has_cr: bool
    delimiter: str
    names: tuple[str, ...]
    n_header_lines: int

    @property
    def is_plain(self) -> bool:
        """Whether its bytes are read as they are, so that a part of the file can be read alone."""
        return self.encoding == "utf-8" and not self.has_cr


def find_dialect(head: bytes, settings: InputConfig, *, where: str) -> Dialect:
    """Return how a file is written.

    Parameters
    ----------
    head : bytes
        Its first bytes, unpacked: `HEAD_BYTES`, or all.
    settings : InputConfig
        What the user says beats what is found.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        It has no header, or is none of these.
    """
    encoding, n_mark_bytes = find_encoding(head, settings, where=where)
    text = _decoded(head[n_mark_bytes:], encoding, where=where)
    has_cr = "\n" not in text and "\r" in text
    lines = re.split("\r\n|\n|\r", text)
    # The last one may be cut.
    lines = lines[:-1] if len(lines) > 1 and len(head) >= HEAD_BYTES else lines
    n_header_lines = next((i for i, line in enumerate(lines) if line.strip()), 0)
    directive = DIRECTIVE.match(lines[n_header_lines].strip('"'))
    n_header_lines += 1 if directive and len(lines) > n_header_lines + 1 else 0
    n_header_lines += _preamble(lines[n_header_lines:][:MAX_PREAMBLE])
    header = lines[n_header_lines]
    said = settings.csv_delimiter or (directive.group(1) if directive else "")
    delimiter = said or max(DELIMITERS, key=lambda one: _fitness(header, one))
    rows = [split_line(line, delimiter=delimiter) for line in lines[n_header_lines + 1 :][:100] if line.strip()]
    if settings.csv_names:
        return Dialect(encoding, n_mark_bytes, has_cr, delimiter, _told_names(settings, rows), n_header_lines)
    names = split_line(header, delimiter=delimiter)
    _check_header(names, where=where)
    names = _unique([name.strip() for name in names], rows, where=where)
    return Dialect(encoding, n_mark_bytes, has_cr, delimiter, tuple(names), n_header_lines + 1)


def find_encoding(head: bytes, settings: InputConfig, *, where: str) -> tuple[str, int]:
    """Return the encoding of a text file by its first bytes, and how many of these only mark it.

    Parameters
    ----------
    head : bytes
    settings : InputConfig
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        It is no text.
    """
    if head.startswith((b"PAR1", b"%PDF", b"\x89PNG", b"SQLite")):
        raise InputError("the file is no CSV", where=where, todo="give it the ending of its format, or remove it")
    marked = next(((name, len(mark)) for mark, name in MARKS.items() if head.startswith(mark)), None)
    if settings.encoding != "auto":
        same = marked is not None and codecs.lookup(settings.encoding).name.startswith(marked[0][:6])
        return settings.encoding, marked[1] if marked and same else 0
    if marked:
        return marked
    if head[1:400:2].count(0) > len(head[1:400:2]) // 2:
        return "utf-16-le", 0
    if head[:400:2].count(0) > len(head[:400:2]) // 2:
        return "utf-16-be", 0
    return "utf-8", 0


def has_decimal_comma(values: Sequence[str]) -> bool:
    """Return whether numbers have their decimals behind a comma."""
    said = [value.strip() for value in values]
    return any(re.fullmatch(r"[+-]?\d+,\d+", value) for value in said) and not any(
        re.fullmatch(r"[+-]?\d*\.\d+", value) and not re.fullmatch(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+", value)
        for value in said
    )


def _decoded(head: bytes, encoding: str, *, where: str) -> str:
    if encoding == "utf-8":
        # A character may be cut at the end of what was read.
        return b"".join(map(recode, re.split(rb"(?<=[\r\n])", head))).decode()
    try:
        return codecs.getincrementaldecoder(encoding)("replace").decode(head)
    except UnicodeError as error:
        raise InputError(
            f"the file is not {encoding}: {error}", where=where, todo="leave input.encoding out, or correct it"
        ) from None


def _fitness(header: str, delimiter: str) -> tuple[int, int]:
    """Return how well a delimiter fits a header: the columns that are known, then all."""
    names = split_line(header, delimiter=delimiter)
    return sum(known_as(name) is not None for name in names), len(names)


def _preamble(lines: Sequence[str]) -> int:
    """Return how many lines stand above the header, such as a title: the first one names no column."""
    known = [max(_fitness(line, one)[0] for one in DELIMITERS) for line in lines]
    return next((i for i, n in enumerate(known) if n >= MIN_KNOWN), 0) if known and not known[0] else 0


def _check_header(names: Sequence[str], *, where: str) -> None:
    """Refuse a file without a header: its first row names no column, and looks like one of a song."""
    values = [name.strip() for name in names]
    n_numbers = sum(bool(re.fullmatch(r"[+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?", value)) for value in values)
    if any(known_as(name) for name in names) or not n_numbers:
        return
    guessed = guess_names(values)
    raise InputError(
        f"the file has no header; its first row is {', '.join(values)[:120]}",
        where=where,
        todo=f"name the columns, after a look at this guess: {line_to_add('csv_names', list(guessed))}",
    )


# How values of columns look that stand in this order in most exports.
_ORDER = (
    "danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness", "instrumentalness",
    "liveness", "valence", "tempo",
)  # fmt: skip


def guess_names(values: Sequence[str]) -> tuple[str, ...]:
    """Return what the columns of a row without header may be: by their looks, and by the order that is usual.

    Parameters
    ----------
    values : sequence of str
        Of one row.
    """
    numbers = [_number(value) for value in values]
    names = [f"column_{i + 1}" for i in range(len(values))]
    first = next((i for i in range(len(values)) if _is_run(numbers[i : i + len(_ORDER)])), None)
    run = range(first, first + len(_ORDER)) if first is not None else range(0)
    for i in run:
        names[i] = _ORDER[i - run.start]
    texts = ["title", "artist", "album", "genre"]
    for i, (value, number) in enumerate(zip(values, numbers, strict=True)):
        if i in run:
            continue
        guess = _guess(value, number, names, is_before=first is None or i < run.start)
        guess = guess or (texts.pop(0) if number is None and value and texts else None)
        if guess and guess not in names:
            names[i] = guess
    return tuple(names)


def _guess(value: str, number: float | None, names: Sequence[str], *, is_before: bool) -> str | None:
    if re.fullmatch(r"(?:18|19|20)\d\d(?:-\d\d(?:-\d\d)?)", value):
        return "release_date"
    if number is not None:
        if number >= 10_000:
            return "duration_ms"
        return "popularity" if 0 <= number <= 100 and number == int(number) and is_before else None
    is_id = re.fullmatch(r"\S{16,}", value) and any(c.isdigit() for c in value)
    return "track_id" if "track_id" not in names and (is_id or value.startswith("spotify:")) else None


def _number(value: str) -> float | None:
    try:
        return float(value.replace(",", ".", 1))
    except ValueError:
        return None


def _is_run(numbers: Sequence[float | None]) -> bool:
    if len(numbers) < len(_ORDER) or any(number is None for number in numbers):
        return False
    of = dict(zip(_ORDER, numbers, strict=True))
    shares = [number for name, number in of.items() if name not in ("key", "loudness", "mode", "tempo")]
    return (
        all(0 <= share <= 1 for share in shares if share is not None)
        and of["key"] in range(-1, 12)
        and of["mode"] in (0, 1)
        and -100 <= (of["loudness"] or 0) <= 20
        and 0 <= (of["tempo"] or 0) <= 1000
    )


def _counts(values: Sequence[str]) -> bool:
    """Return whether values are the numbers of rows."""
    first = int(values[0]) if values[0].isdecimal() else 0
    return list(values) == [str(first + i) for i in range(len(values))]


def _told_names(settings: InputConfig, rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    names = list(settings.csv_names)
    n_fields = max([len(names), *(len(row) for row in rows[:1])])
    return tuple(names + [f"column_{i + 1}" for i in range(len(names), n_fields)])


def _unique(names: list[str], rows: Sequence[Sequence[str]], *, where: str) -> list[str]:
    """Return names that are all there and all different, one for each field of a row."""
    if rows and all(len(row) == len(names) + 1 for row in rows) and _counts([row[0] for row in rows]):
        # R writes the numbers of rows without a header of their own.
        names = ["", *names]
    found, seen = list[str](), dict[str, int]()
    for position, name in enumerate(names):
        name = name or f"Unnamed: {position}"
        if name in seen and known_as(name) is not None:
            raise InputError(
                f"two source columns for one name: {name!r} stands at positions {seen[name] + 1} and "
                f"{position + 1}",
                where=where,
                todo="rename or drop one of them",
            )
        seen.setdefault(name, position)
        while name in found:
            name += "'"
        found.append(name)
    return found
