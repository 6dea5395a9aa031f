"""Pack: vectors → pieces on disk. Each is decoded and looked at once, and mapped into memory from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pyspark.sql import DataFrame

from musicrec.arrays import Floats, Ints, Reals, is_drawn
from musicrec.context import Context
from musicrec.messages import PIECES, as_row, blob_of
from musicrec.neighbors.item_files import ItemFiles
from musicrec.neighbors.plan import sample_share
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import squared_lengths
from musicrec.neighbors.search.spaces import as_stored
from musicrec.neighbors.search.warm import warm_up
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, each_number, numbered_pieces
from musicrec.storage import datasets

# Shorter vectors have no direction that single precision tells.
MIN_LENGTH = 1e-10
EMBEDDED = ["track_key", "facts", "embedding"]


@dataclass(frozen=True)
class VectorPieces:
    """Vectors in files that tasks read themselves.

    Attributes
    ----------
    n : int
        How many files, or parts of them, there are.
    read : callable
        Yields the rows of one in pieces, `track_key, facts, embedding`, each with a number of its own.
    """

    n: int
    read: Callable[[int], Iterable[tuple[int, pa.Table]]]


@dataclass(frozen=True)
class PackedSongs:
    """Vectors on disk as they came.

    Attributes
    ----------
    files : ItemFiles
    pieces : list of int
        The numbers of the files.
    n_songs : int
    sample_keys : int64 array, shape (n,)
        Of the songs that leaders come from, rising.
    sample : float32 array, shape (n, d)
        Their vectors.
    survey : dict
        What was found: `n_rows`, `n_without_key`, `n_empty`, `n_not_finite`, `n_zero`, `min_dim`, `max_dim`,
        `max_norm`, and `is_half` where all values are exact in half precision.
    """

    files: ItemFiles
    pieces: list[int]
    n_songs: int
    sample_keys: Ints
    sample: Floats
    survey: dict[str, Any]


def write_packed(context: Context, vectors: DataFrame | VectorPieces, *, n_rows: int) -> PackedSongs:
    """Write the vectors in pieces, as a stage of its own, and return them.

    Parameters
    ----------
    context, vectors, n_rows
        As for `pack_vectors`.
    """
    with context.stage("pack", n_rows=n_rows):
        return pack_vectors(context, vectors, n_rows=n_rows)


def pack_vectors(context: Context, vectors: DataFrame | VectorPieces, *, n_rows: int) -> PackedSongs:
    """Write the vectors in pieces and return them.

    Parameters
    ----------
    context : Context
    vectors : DataFrame or VectorPieces
        `track_key, facts, embedding`; vectors of any length. Those that are not fit are counted, and in no
        piece.
    n_rows : int
        Rows of `vectors`.
    """
    settings, seed = context.config.neighbors, context.config.model.seed
    files = ItemFiles(context.run.place(datasets.PACKED))
    share = sample_share(settings, n_songs=n_rows)
    if isinstance(vectors, VectorPieces):
        numbers_of, read = context.numbers(vectors.n), vectors.read
        pack = _packer(lambda batches: _read_pieces(batches, read), share, seed, files.write)
        found = numbers_of.mapInArrow(pack, PIECES).toArrow()
    else:
        found = write_pieces(vectors, share=share, seed=seed, write=files.write).toArrow()
    survey = _total(found)
    written = sorted(number for number in found["piece"].to_pylist() if number is not None)
    is_whole = survey["min_dim"] == survey["max_dim"]
    no_sample = np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=np.float32)
    keys, sample = _sample_of(found) if written and is_whole else no_sample
    return PackedSongs(files, written, survey["n_rows"], keys, sample, survey)


def write_pieces(vectors: DataFrame, *, share: float, seed: int, write: Callable[[int, Items], None]) -> DataFrame:
    """Write the vectors in pieces and return `messages.PIECES`: what is in each of them, and a sample.

    Parameters
    ----------
    vectors : DataFrame
        `track_key, facts` (array<bigint>), `embedding` (array<float>); what is not fit is counted and not written.
    share : float
        Of the songs that are drawn by the hash of their keys.
    seed : int
    write : callable
        Stores a piece; a second attempt of a task calls it again with the same songs.
    """
    columns = vectors.select(*EMBEDDED)
    return columns.mapInArrow(_packer(numbered_pieces, share, seed, write), PIECES)


def _read_pieces(
    batches: Batches, read: Callable[[int], Iterable[tuple[int, pa.Table]]]
) -> Iterator[tuple[int, pa.Table]]:
    for number in each_number(batches):
        yield from read(number)


def _total(pieces: pa.Table) -> dict[str, Any]:
    """Return the one row, without pieces and samples, that `messages.PIECES` add up to."""
    counts = ("n_rows", "n_without_key", "n_empty", "n_not_finite", "n_zero")
    return {
        **{name: sum(pieces[name].to_pylist()) for name in counts},
        "min_dim": min(pieces["min_dim"].to_pylist(), default=0),
        "max_dim": max(pieces["max_dim"].to_pylist(), default=0),
        "max_norm": max(pieces["max_norm"].to_pylist(), default=0.0),
        "is_half": all(pieces["is_half"].to_pylist()),
    }


def _sample_of(pieces: pa.Table) -> tuple[Ints, Floats]:
    """Return the keys (n,), rising, and the vectors (n, d) of the samples of `messages.PIECES`."""
    keys = blob_of(PIECES, "keys", b"".join(pieces["keys"].to_pylist()))
    values = blob_of(PIECES, "vectors", b"".join(pieces["vectors"].to_pylist()))
    order = np.argsort(keys, kind="stable")
    return keys[order], values.reshape(len(keys), -1)[order]


def _packer(
    pieces: Callable[[Batches], Iterator[tuple[int, pa.Table]]],
    share: float,
    seed: int,
    write: Callable[[int, Items], None],
) -> Callable[[Batches], Batches]:
    def pack_batches(batches: Batches) -> Batches:
        warm_up()
        for piece, table in pieces(batches):
            column = table.column("embedding").combine_chunks()
            lengths = numbers(pa.compute.fill_null(pa.compute.list_value_length(column), 0)).astype(np.int64)
            values = _values_of(column)
            shape = (len(lengths), int(lengths.max(initial=0)))
            keys = table.column("track_key")
            halves = _as_halves(values)
            found = _survey(keys, values, lengths, is_half=halves is not None)
            if keys.null_count or values.size != shape[0] * shape[1] or found["n_not_finite"]:
                yield as_row(PIECES, **found)
                continue
            vectors = (values if halves is None else halves).reshape(shape)
            facts = numbers(table.column("facts").combine_chunks().flatten()).reshape(len(lengths), -1)
            items = Items(numbers(keys), facts, vectors)
            write(piece, items)
            drawn = items.take(np.flatnonzero(is_drawn(items.keys, share=share, seed=seed)))
            yield as_row(PIECES, **{**found, "piece": piece, "keys": drawn.keys, "vectors": drawn.vectors})

    return pack_batches


def _values_of(column: pa.Array) -> Floats:
    """Return the numbers of all vectors, one after the other; a missing number is none."""
    values = column.flatten()
    # Vectors are most of what there is: no copy where none is needed.
    known = pa.compute.fill_null(values, float("nan")) if values.null_count else values
    found: Floats = numbers(known).astype(np.float32, copy=False)
    return found


def _as_halves(values: Floats) -> Reals | None:
    """Return numbers in half precision, None where that is not exact."""
    with np.errstate(over="ignore"):
        halves, same = as_stored(values, "<f2")
    return halves if bool((same == values).all()) else None


def _survey(keys: pa.ChunkedArray, values: Floats, lengths: Ints, *, is_half: bool) -> dict[str, Any]:
    filled = lengths > 0
    squares = np.zeros(len(lengths))
    if len(lengths) and values.size == len(lengths) * lengths.max():
        squares = squared_lengths(values.reshape(len(lengths), -1))
    elif filled.any():
        squares[filled] = np.add.reduceat(values.astype(np.float64) ** 2, (np.cumsum(lengths) - lengths)[filled])
    # Squares of single precision do not overflow double: their sum is finite where all are.
    finite = np.isfinite(squares)
    return {
        "piece": None,
        "n_rows": len(lengths),
        "n_without_key": keys.null_count,
        "n_empty": int((~filled).sum()),
        "min_dim": int(lengths.min(initial=np.iinfo(np.int64).max)),
        "max_dim": int(lengths.max(initial=0)),
        "n_not_finite": int((~finite).sum()),
        "n_zero": int(((squares < MIN_LENGTH**2) & filled).sum()),
        "max_norm": float(np.sqrt(squares[finite].max(initial=0.0))),
        "is_half": is_half,
        "keys": [],
        "vectors": [],
    }
