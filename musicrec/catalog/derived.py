"""Songs → the columns of tracks that follow from others: the keys of albums, and what texts say that songs are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Ints
from musicrec.catalog.flags import find_flags
from musicrec.catalog.folding import folded
from musicrec.catalog.hashes import hash_numbers, hash_texts
from musicrec.catalog.texts import as_texts, lowered, stripped
from musicrec.schemas import TRACKS
from musicrec.spark.arrow import numbers

_MIXING, _NO_YEAR = np.int64(0x9E3779B97F4A7C15 - 2**64), -1


def as_tracks_table(songs: pa.Table) -> pa.Table:
    """Return `schemas.TRACKS` of songs that have all of its columns but `messages.DERIVED`."""
    songs = songs.append_column("album_key", _album_keys(songs))
    flags = find_flags(*(songs[name].combine_chunks() for name in ("title", "album", "genre")))
    return songs.append_column("flags", pa.array(flags.astype(np.int32))).select(TRACKS.names)


def same_keys(columns: Sequence[pa.Array]) -> pa.Array:
    """Return a key of the values of columns, in any case and with any space around; an unknown one is a value."""
    told = [pc.fill_null(lowered(stripped(as_texts(column))), "") for column in columns]
    return pa.array(hash_texts(*told))


def _album_keys(songs: pa.Table) -> pa.Array:
    """Return a key for each artist's album, by title and year; NULL where no album is known.

    "Greatest Hits" of two artists are two albums, and so are the shares of two artists in a compilation: groups of
    a list lie within each other.
    """
    encoded = pc.dictionary_encode(songs["album"].combine_chunks())
    titles = folded(encoded.dictionary)
    of_title: Ints = hash_texts(titles)
    is_known = pc.not_equal(pc.utf8_trim_whitespace(titles), "")
    # What is folded to nothing, such as a picture, is no title.
    known = pc.if_else(is_known, pa.array(of_title), pa.scalar(None, pa.int64()))
    albums = pc.take(known, encoded.indices)
    artists = numbers(pc.fill_null(songs["artist_key"], 0))
    years = numbers(pc.fill_null(songs["release_year"], _NO_YEAR)).astype(np.int64)
    mixed = numbers(pc.fill_null(albums, 0)) ^ (artists * _MIXING) ^ years
    keys = pa.array(hash_numbers(np.ascontiguousarray(mixed), 0))
    return pc.if_else(pc.is_valid(albums), keys, pa.scalar(None, pa.int64()))
