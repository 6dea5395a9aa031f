"""Columns of tracks as numbers: what encodings make a song's model inputs of."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Doubles, Ints
from musicrec.catalog.folding import folded
from musicrec.catalog.names import are_various
from musicrec.catalog.numbered import text_arrays
from musicrec.encoder.learning.artists import NO_ARTIST
from musicrec.encoder.learning.song_inputs import NO_FLAGS, RawSongs
from musicrec.encoder.learning.texts import Texts
from musicrec.songs import RAW_INPUTS
from musicrec.spark.arrow import numbers
from musicrec.traits import BY_GENRE

TRACK_KEYS = ["track_key", "track_id", "recording_key", "work_key"]
TEXT_INPUTS = ["title", "album"]


def input_columns(*, with_texts: bool) -> list[str]:
    """Return the columns of `schemas.TRACKS` that inputs are made of."""
    return ["artist_key", *RAW_INPUTS, *([*TEXT_INPUTS, "flags"] if with_texts else [])]


def raw_songs(batch: pa.RecordBatch | pa.Table, *, with_texts: bool) -> RawSongs:
    """Return what `input_columns` say of the songs of a batch."""
    artists = numbers(pc.fill_null(batch.column("artist_key"), NO_ARTIST))
    # What various ones sing has nothing in common.
    artists = np.where(are_various(artists), NO_ARTIST, artists)
    texts = tuple(_folded(batch.column(name)) for name in TEXT_INPUTS) if with_texts else ()
    return RawSongs(raw_inputs(batch), artists, texts, _named_flags(batch) if with_texts else NO_FLAGS)


def raw_inputs(batch: pa.RecordBatch | pa.Table) -> Doubles:
    """Return `songs.RAW_INPUTS` (n, 15) of a batch; NULL becomes NaN, a date a decimal year."""
    columns = [_as_numbers(name, batch.column(name)) for name in RAW_INPUTS] if batch.num_rows else []
    if not columns:
        return np.empty((0, len(RAW_INPUTS)))
    return np.stack(columns, axis=1)


def _named_flags(batch: pa.RecordBatch | pa.Table) -> Ints:
    """Return the flags of songs (n,) that titles and albums tell: the genre is an input of its own, or none."""
    flags = numbers(batch.column("flags")).astype(np.int64)
    named: Ints = flags & ~(flags // BY_GENRE)
    return named


def _folded(column: pa.Array | pa.ChunkedArray) -> Texts:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return Texts(*text_arrays(folded(pc.fill_null(whole, ""))))


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
