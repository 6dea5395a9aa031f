"""Features: tracks → model inputs, one vector per song, with the names of the features that were missing."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from musicrec.arrays import Doubles
from musicrec.catalog.clean import Catalog
from musicrec.context import Context
from musicrec.encoder.learning.inputs import Encodings, encode
from musicrec.messages import WRITTEN
from musicrec.schemas import FEATURE_VECTORS
from musicrec.songs import FEATURES, RAW_INPUTS
from musicrec.spark.arrow import list_column, matrix_column, numbers
from musicrec.spark.tasks import Read, Write, rewrite_pieces
from musicrec.storage import datasets

TRACK_INPUTS = ["track_key", "track_id", "recording_key", *RAW_INPUTS]


def write_features(context: Context, catalog: Catalog, encodings: Encodings) -> list[int]:
    """Write `schemas.FEATURE_VECTORS` of all songs; return the numbers of the pieces.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    encodings : Encodings
        Fitted on a sample.
    """
    with context.stage("features", n_rows=catalog.n_tracks):
        tracks, vectors = context.files(datasets.TRACKS), context.files(datasets.FEATURE_VECTORS)
        pieces = tracks.pieces()
        write_feature_pieces(
            context.numbers(len(pieces)),
            encodings=encodings,
            read=lambda number: tracks.read_piece(pieces[number], columns=TRACK_INPUTS),
            write=vectors.write,
        ).toArrow()
        return vectors.pieces()


def write_feature_pieces(pieces: DataFrame, *, encodings: Encodings, read: Read, write: Write) -> DataFrame:
    """Write `schemas.FEATURE_VECTORS` of songs and return `messages.WRITTEN`.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the numbers of pieces of `schemas.TRACKS`.
    encodings : Encodings
    read, write : callable
        As for `rewrite_pieces`.
    """

    def encode_piece(piece: pa.Table) -> pa.Table:
        raw = raw_inputs(piece)
        keys = [piece.column(name) for name in ("track_key", "track_id", "recording_key")]
        columns = [*keys, _missing_names(raw), matrix_column(encode(raw, encodings=encodings))]
        return pa.Table.from_arrays(columns, names=FEATURE_VECTORS.names)

    return pieces.mapInArrow(rewrite_pieces(lambda: encode_piece, read, write), WRITTEN)


def raw_inputs(batch: pa.RecordBatch | pa.Table) -> Doubles:
    """Return `songs.RAW_INPUTS` (n, 15) of a batch; NULL becomes NaN, a date a decimal year."""
    columns = [_as_numbers(name, batch.column(name)) for name in RAW_INPUTS] if batch.num_rows else []
    if not columns:
        return np.empty((0, len(RAW_INPUTS)))
    return np.stack(columns, axis=1)


def _as_numbers(name: str, column: pa.Array | pa.ChunkedArray) -> Doubles:
    kinds = {"release_date": _decimal_years, "genre": _codes}
    return kinds.get(name, _floats)(column)


def _codes(column: pa.Array | pa.ChunkedArray) -> Doubles:
    """Return a number for each text that is the same for the same one in any case: 48 bits of its hash."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = pc.dictionary_encode(pc.utf8_lower(whole))
    digests = [hashlib.blake2b(text.encode(), digest_size=6).digest() for text in encoded.dictionary.to_pylist()]
    codes = np.array([int.from_bytes(digest) for digest in digests] or [0], dtype=np.float64)
    known = encoded.is_valid().to_numpy(zero_copy_only=False)
    indices = numbers(pc.fill_null(encoded.indices, 0))
    return np.where(known, codes[indices], np.nan)


def _decimal_years(column: pa.Array | pa.ChunkedArray) -> Doubles:
    """Return years with a fraction; where only the year or the month is known, its middle."""
    year, month, day = (_part(column, start, stop) for start, stop in ((0, 4), (5, 7), (8, 10)))
    of_month = np.where(np.isnan(day), 0.5, (day - 1) / 31)
    of_year = np.where(np.isnan(month), 0.5, (month - 1 + of_month) / 12)
    # The 99th of the 99th month is a typing error, no year of its own.
    date: Doubles = year + np.clip(of_year, 0.0, 1.0)
    return date


def _part(column: pa.Array | pa.ChunkedArray, start: int, stop: int) -> Doubles:
    digits = pc.utf8_slice_codeunits(column, start=start, stop=stop)
    known = pc.if_else(pc.equal(digits, ""), None, digits)
    return _floats(pc.cast(known, pa.float64()))


def _floats(column: pa.Array | pa.ChunkedArray) -> Doubles:
    values: Doubles = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _missing_names(raw: Doubles) -> pa.ListArray:
    missing = np.isnan(raw[:, : len(FEATURES)])
    names = np.array(FEATURES, dtype=object)[np.nonzero(missing)[1]]
    return list_column(names, missing.sum(axis=1)) if len(names) else _empty_lists(len(raw))


def _empty_lists(n: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.zeros(n + 1, dtype=np.int32)), pa.array([], type=pa.string()))
