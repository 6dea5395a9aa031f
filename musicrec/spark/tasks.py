"""What a task does with its partition, piece by piece: arrays become files without passing through the JVM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from musicrec.messages import RECORDED, WRITTEN, as_row, blob_of
from musicrec.spark.arrow import gather_batches, numbers
from musicrec.storage.rows import FileRecord

Batches = Iterator[pa.RecordBatch]
Read = Callable[[int], pa.Table]
Write = Callable[[int, pa.Table], None]
Record = Callable[[int, pa.Table], FileRecord]

PIECE_ROWS = 131_072
# Rows of a block at most: a row of Spark stays at a few megabytes.
MAX_BLOCK_ROWS = 65_536
# More pieces than this no partition has: that many rows are more than a task's memory.
MAX_PIECES = 2**16


def by_position(rows: DataFrame) -> DataFrame:
    """Return the rows with names of columns that say nothing but their position.

    `mapInArrow` looks columns up by their names, and a user's may hold dots and quotes.
    """
    return rows.toDF(*(f"column{i}" for i in range(len(rows.columns))))


def each_number(batches: Batches) -> Iterator[int]:
    """Yield the numbers that a task was given: `id` of `Context.numbers`."""
    for batch in batches:
        yield from numbers(batch.column("id")).tolist()


def each_block(batches: Batches) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield the blocks that the shuffle brought to a task, as dicts, by their `part`.

    A partition has one part, or few: of these all blocks are held meanwhile.
    """
    held: dict[int, list[dict[str, Any]]] = {}
    for batch in batches:
        for row in batch.to_pylist():
            held.setdefault(row["part"], []).append(row)
    for part in sorted(held):
        yield part, held.pop(part)


def each_part_of(batches: Batches) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows that the shuffle brought to a task by their `part`, of which it has one, or few."""
    held = [batch for batch in batches if batch.num_rows]
    if held:
        table = pa.Table.from_batches(held).combine_chunks()
        for part in sorted(pc.unique(table["part"]).to_pylist()):
            yield part, table.filter(pc.equal(table["part"], part)).combine_chunks()


def joined(schema: StructType, name: str, blocks: list[dict[str, Any]]) -> NDArray[Any]:
    """Return the numbers in a column of several blocks, one after the other.

    Parameters
    ----------
    schema : StructType
    name : str
        Of the column.
    blocks : list of dict
        As `each_block` yields them.
    """
    return np.concatenate([blob_of(schema, name, block[name]) for block in blocks])


def numbered_pieces(batches: Batches) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of a task in pieces, with numbers that no other task has and a second attempt repeats."""
    context = TaskContext.get()
    first = (context.partitionId() if context else 0) * MAX_PIECES
    for i, table in enumerate(gather_batches(batches, n_rows=PIECE_ROWS)):
        yield first + i, table


def read_pieces(
    numbers_of_pieces: DataFrame, pieces: Sequence[int], *, read: Read, schema: StructType
) -> DataFrame:
    """Return the rows of files that tasks have written; tasks read them again.

    Parameters
    ----------
    numbers_of_pieces : DataFrame
        `id`, of `pieces`.
    pieces : sequence of int
        The numbers that `read` knows them by.
    read : callable
    schema : StructType
        Of the rows.
    """

    def read_batches(batches: Batches) -> Batches:
        for number in each_number(batches):
            yield from read(pieces[number]).select(schema.names).to_batches(PIECE_ROWS)

    return numbers_of_pieces.mapInArrow(read_batches, schema)


def take_rows(
    numbers_of_pieces: DataFrame,
    wanted: Sequence[tuple[int, NDArray[np.int64]]],
    *,
    read: Read,
    schema: StructType,
) -> DataFrame:
    """Return some rows of files that tasks have written, in this order; tasks read them.

    Parameters
    ----------
    numbers_of_pieces : DataFrame
        `id`, of `wanted`.
    wanted : sequence of (int, int64 array)
        The number that `read` knows a piece by, and rows of it.
    read : callable
    schema : StructType
        Of the rows.
    """

    def take_batches(batches: Batches) -> Batches:
        for number in each_number(batches):
            piece, rows = wanted[number]
            yield from read(piece).select(schema.names).take(pa.array(rows)).to_batches()

    return numbers_of_pieces.mapInArrow(take_batches, schema)


def write_each_piece(make: Read, write: Write) -> Callable[[Batches], Batches]:
    """Return what a task runs on `id`, numbers of pieces: it writes each, and yields `messages.WRITTEN`.

    Parameters
    ----------
    make : callable
        Returns the rows of a piece.
    write : callable
        Stores the rows of a piece; a second attempt of a task calls it again with the same rows.
    """

    def write_batches(batches: Batches) -> Batches:
        for piece in each_number(batches):
            rows = make(piece)
            write(piece, rows)
            yield as_row(WRITTEN, piece=piece, n_rows=rows.num_rows)

    return write_batches


def write_recorded_pieces(make: Read, write: Record) -> Callable[[Batches], Batches]:
    """Return the same for files that will be published: it yields `messages.RECORDED`.

    Parameters
    ----------
    make, write : callable
        As there; what is written is returned, too.
    """

    def write_batches(batches: Batches) -> Batches:
        for piece in each_number(batches):
            yield as_row(RECORDED, **asdict(write(piece, make(piece))))

    return write_batches


def records_in(messages: pa.Table) -> list[FileRecord]:
    """Return the records of files that messages have, `messages.RECORDED` among others, by their paths."""
    rows = messages.select(RECORDED.names).to_pylist()
    return sorted((FileRecord(**row) for row in rows), key=lambda record: record.path)
