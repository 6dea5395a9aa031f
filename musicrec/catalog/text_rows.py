"""CSV and JSON as rows that tasks read: of local files a piece each, of others what Spark brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.catalog.columns import MALFORMED, SOURCE_FILE, plain_name
from musicrec.catalog.contents import Batch, Content, content_of
from musicrec.catalog.csv_files import CsvFile
from musicrec.catalog.csv_records import FALLBACK, is_utf8
from musicrec.catalog.dialect import HEAD_BYTES
from musicrec.catalog.given_rows import GivenRows, in_order
from musicrec.catalog.text_files import TextFile, names_of, open_text, sample_of
from musicrec.config import InputConfig
from musicrec.errors import InputError
from musicrec.messages import SOURCE_KEYS
from musicrec.spark.partitions import default_partitions
from musicrec.spark.tasks import Batches, each_number
from musicrec.storage import byte_files

# Of a piece at least, and of a task at most where there is more than enough for all.
MIN_BYTES, TASK_BYTES = 8 * 2**20, 64 * 2**20
# Files of which the first rows are looked at.
MAX_SAMPLED = 200
# Spark brings a file in one row.
MAX_CONTENT = 2**30
# And to the driver so much, or one file.
MAX_BROUGHT = 64 * 2**20


@dataclass(frozen=True)
class _Source:
    """A file, its columns by the names that all files share, and what the way to it says of all its rows."""

    file: TextFile
    own_names: Mapping[str, str]
    constants: Mapping[str, str]

    def batches(self, columns: Sequence[str], *, first: int, last: int | None) -> Batches:
        """Yield the wanted columns of a piece of the file."""
        for batch in self.file.read([self.own_names.get(name, name) for name in columns], first=first, last=last):
            yield from self._shared(batch, columns)

    def sample(self, columns: Sequence[str]) -> pa.Table:
        """Return the wanted columns of the first rows."""
        none = pa.table([pa.array([], type=pa.string())] * len(columns), names=_positions(columns))
        found = self._shared(sample_of(self.file), columns)
        return pa.concat_tables([none, *(pa.Table.from_batches([batch]) for batch in found)]).rename_columns(
            columns
        )

    def _shared(self, batch: Batch, columns: Sequence[str]) -> Batches:
        shared = {own: name for name, own in self.own_names.items()}
        table = batch.table.rename_columns([shared.get(name, name) for name in batch.table.column_names])
        for name, value in self.constants.items():
            table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), len(table)))
        yield from in_order(table, columns, uri=self.file.content.uri, malformed=batch.malformed)


def _positions(columns: Sequence[str]) -> list[str]:
    return [f"column{i}" for i in range(len(columns))]


def as_text_rows(
    session: SparkSession, paths: Sequence[byte_files.InputFile], kind: str, *, root: str, settings: InputConfig
) -> GivenRows:
    """Return the rows of files that tasks open themselves.

    Parameters
    ----------
    session : SparkSession
    paths : sequence of str or StoredFile
    kind : {"csv", "jsonl"}
    root : str
        The path that the user gave: directories below it such as day=1 are columns.
    settings : InputConfig

    Raises
    ------
    InputError
        A file is not what it should be.
    """
    files = [open_text(content_of(path), kind, settings) for path in paths]
    constants = [byte_files.named_values(path, root) for path in paths]
    sizes = [byte_files.size_of(path) for path in paths]
    cut = _cut(sizes, files, n_tasks=default_partitions(session))
    n_tasks = max(1, min(len(cut), max(default_partitions(session), sum(sizes) // TASK_BYTES)))
    numbers = session.range(0, len(cut), 1, n_tasks)
    names = list(map(names_of, files)) if kind == "csv" else _json_names(numbers, files, cut)
    shared, own_names = unite_names(names)
    sources = [_Source(*some) for some in zip(files, own_names, constants, strict=True)]

    def read(batches: Batches, columns: Sequence[str]) -> Batches:
        for number in each_number(batches):
            which, first, last = cut[number]
            yield from sources[which].batches(columns, first=first, last=last)

    added = list(dict.fromkeys(name for some in constants for name in some if name not in shared))
    names_of_all = [*shared, *added]
    sampled = [*names_of_all, MALFORMED, SOURCE_FILE]
    sample = pa.concat_tables([source.sample(sampled) for source in sources[:MAX_SAMPLED]])
    by_file = {file.content.uri: [*some, *added] for file, some in zip(files, own_names, strict=True)}
    uris = [file.content.uri for file in files]
    return GivenRows(names_of_all, uris, numbers, read, sample, by_file, _said(files))


def as_remote_rows(uris: Sequence[str], kind: str, *, contents: DataFrame, settings: InputConfig) -> GivenRows:
    """Return the rows of files that only Spark can read.

    Parameters
    ----------
    uris : sequence of str
    kind : {"csv", "jsonl"}
    contents : DataFrame
        `path, length, content` of each, as Spark's `binaryFile`.
    settings : InputConfig

    Raises
    ------
    InputError
        A file is not what it should be.
    """
    # Spark reads no content for it.
    sizes = sorted((row["length"], row["path"]) for row in contents.select("length", "path").collect())
    if sizes[-1][0] > MAX_CONTENT:
        raise InputError(
            f"a file of text is larger than {MAX_CONTENT >> 30} GiB, which Spark cannot bring in one piece",
            where=sizes[-1][1], todo="write smaller files, or Parquet",
        )  # fmt: skip
    given = contents.select("path", "content")
    looked_at = given.mapInArrow(_keys_of(kind, settings), SOURCE_KEYS).collect()
    by_file = {row["path"]: list(row["names"]) for row in sorted(looked_at, key=lambda row: row["path"])}
    shared, _ = unite_names(list(by_file.values()))

    def read(batches: Batches, columns: Sequence[str]) -> Batches:
        for file in _brought(batches, kind, settings):
            # As all files are united, so is each.
            own = unite_names([shared, names_of(file)])[1][1] if isinstance(file, CsvFile) else {}
            yield from _Source(file, own, {}).batches(columns, first=0, last=None)

    few = given.where(F.col("path").isin(_smallest(sizes))).collect()
    some = [open_text(_held(row["path"], bytes(row["content"])), kind, settings) for row in few]
    sources = [_Source(file, unite_names([shared, names_of(file)])[1][1], {}) for file in some]
    sample = pa.concat_tables([source.sample([*shared, MALFORMED, SOURCE_FILE]) for source in sources])
    return GivenRows(shared, list(uris), given, read, sample, by_file, _said(some))


def _smallest(sizes: Sequence[tuple[int, str]]) -> list[str]:
    """Return the files, given by size, that the driver looks at: they come to it whole."""
    paths, n_bytes = list[str](), 0
    for size, path in sizes[:MAX_SAMPLED]:
        n_bytes += size
        if paths and n_bytes > MAX_BROUGHT:
            break
        paths.append(path)
    return paths


def unite_names(several: Sequence[Sequence[str]]) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of all files, and of each file its own names by these.

    Files that write a name in another way have the same column: "Energy" and "energy".
    """
    shared, by_plain, own_names = list[str](), dict[str, str](), list[dict[str, str]]()
    for names in several:
        own: dict[str, str] = {}
        for name in names:
            free = f"{name}'" if name in (MALFORMED, SOURCE_FILE) else name
            same = by_plain.get(plain_name(name), free)
            same = free if free in shared or same in own else same
            own[same] = name
            if same not in shared:
                shared.append(same)
                by_plain.setdefault(plain_name(name), same)
        own_names.append(own)
    return shared, own_names


def _cut(sizes: Sequence[int], files: Sequence[TextFile], *, n_tasks: int) -> list[tuple[int, int, int | None]]:
    """Return the pieces of all files: which file, and from where to where."""
    piece = min(TASK_BYTES, max(MIN_BYTES, sum(sizes) // n_tasks))
    found = list[tuple[int, int, int | None]]()
    for which, (file, size) in enumerate(zip(files, sizes, strict=True)):
        firsts = list(range(0, size, piece)) if file.can_be_cut else [0]
        found += [(which, first, last) for first, last in zip(firsts, [*firsts[1:], None], strict=True)]
    return found


def _json_names(
    numbers: DataFrame, files: Sequence[TextFile], cut: Sequence[tuple[int, int, int | None]]
) -> list[list[str]]:
    """Return the keys of all rows of each file: one that only the last row has is a column, too."""

    def look(batches: Batches) -> Batches:
        for number in each_number(batches):
            which, first, last = cut[number]
            yield _as_keys(str(which), _all_keys(files[which], first=first, last=last), piece=number)

    keys: list[dict[str, None]] = [{} for _ in files]
    for row in sorted(numbers.mapInArrow(look, SOURCE_KEYS).collect(), key=lambda row: row["piece"]):
        keys[int(row["path"])].update(dict.fromkeys(row["names"]))
    if not any(keys):
        raise InputError(
            "no line holds a JSON object",
            where=files[0].content.uri,
            todo="write one song per line as a JSON object",
        )  # fmt: skip
    return [list(some) for some in keys]


def _keys_of(kind: str, settings: InputConfig) -> Callable[[Batches], Batches]:
    def look(batches: Batches) -> Batches:
        for file in _brought(batches, kind, settings):
            yield _as_keys(file.content.uri, _all_keys(file), piece=0)

    return look


def _all_keys(file: TextFile, *, first: int = 0, last: int | None = None) -> list[str]:
    if isinstance(file, CsvFile):
        return names_of(file)
    return list(dict.fromkeys(key for rows, _ in file.rows(first=first, last=last) for row in rows for key in row))


def _as_keys(path: str, names: Sequence[str], *, piece: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"path": path, "piece": piece, "names": list(names)}], schema=_KEYS)


_KEYS = pa.schema({"path": pa.string(), "piece": pa.int64(), "names": pa.list_(pa.string())})


def _brought(batches: Batches, kind: str, settings: InputConfig) -> Iterator[TextFile]:
    for batch in batches:
        for path, content in zip(batch.column(0), batch.column(1), strict=True):
            held = content.as_buffer().to_pybytes() if content.is_valid else b""
            if held:
                yield open_text(_held(path.as_py(), held), kind, settings)


def _held(uri: str, content: bytes) -> Content:
    unpacked = byte_files.unpacked(content, where=uri)
    return Content(uri, lambda first, last: iter([unpacked[first:last]]), False)


def _said(files: Sequence[TextFile]) -> list[str]:
    """Return what was understood of how files are written, a sentence for all that are alike."""
    found = dict[str, str]()
    for file in files:
        if isinstance(file, CsvFile):
            parts = []
            if file.dialect.delimiter != ",":
                parts.append({"\t": "tab"}.get(file.dialect.delimiter, file.dialect.delimiter) + "-separated")
            if file.dialect.encoding != "utf-8":
                parts.append(file.dialect.encoding)
            if file.dialect.is_plain and not is_utf8(file.content.head(HEAD_BYTES)):
                parts.append(f"{FALLBACK} where it is no UTF-8")
            if file.dialect.has_cr:
                parts.append("lines that end with CR")
            if parts:
                found.setdefault(", ".join(parts), file.content.uri)
    return [f"read as {parts}: {uri.rsplit('/', 1)[-1]}" for parts, uri in found.items()]
