"""A sample of songs and what they share → what the encoder learns from.

Which songs are alike is told by playlists where they are given (the best teacher: Alonso-Jimenez et al.,
ICASSP 2023, arXiv 2304.12257), else by artist and genre, else by nothing: then a song is compared with
disturbed copies of itself.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Bools, Ints
from musicrec.catalog.hashes import hash_numbers, hash_texts
from musicrec.catalog.relations import Relation
from musicrec.catalog.texts import lowered
from musicrec.config import ModelConfig
from musicrec.messages import MEMBERSHIPS
from musicrec.songs import RAW_INPUTS
from musicrec.spark.arrow import bools, gather_batches, numbers
from musicrec.spark.tasks import PIECE_ROWS, Batches

N_FOLDS = 10_000
# What labels are made of.
GROUP_COLUMNS = ["track_key", "recording_key", "work_key", "artist_key", "album_key", "same_key"]
LABEL_COLUMNS = [*GROUP_COLUMNS, "flags", "explicit", "title", "album", "release_year", *RAW_INPUTS]


def label_songs(tracks: pa.Table, *, seed: int) -> pa.Table:
    """Return keys, features and labels of songs by rising key, and the fold 0..1 of each one's artist.

    All songs of an artist share a fold, so that a split by it keeps whole artists apart; a song without an
    artist is its own.

    Parameters
    ----------
    tracks : pyarrow.Table
        `LABEL_COLUMNS` of `schemas.TRACKS`.
    seed : int
    """
    folds = hash_numbers(artists_of(tracks), seed) % N_FOLDS / N_FOLDS
    columns = {"genre_key": hash_known(tracks["genre"]), "fold": pa.array(folds)}
    table = pa.table({**{name: tracks[name] for name in LABEL_COLUMNS}, **columns})
    return table.sort_by("track_key")


def hash_known(texts: pa.ChunkedArray) -> pa.Int64Array:
    """Return the hash of each text in lower case, NULL where there is none."""
    whole = texts.combine_chunks()
    known = bools(whole.is_valid())
    keys = np.zeros(len(whole), dtype=np.int64)
    keys[known] = hash_texts(lowered(pc.drop_null(whole)))
    return pa.array(keys, mask=~known)


def as_memberships(batches: Batches) -> Batches:
    """Yield `MEMBERSHIPS` of the texts `playlist_id, track_id`; one may stand several times."""
    for batch in batches:
        playlists, songs = batch.columns
        yield pa.RecordBatch.from_arrays(
            [pa.array(hash_texts(songs)), pa.array(hash_texts(playlists))], names=MEMBERSHIPS.names
        )


def collect_memberships(playlists: Relation, *, songs: Ints) -> pa.Table:
    """Return the different memberships of songs that the driver holds, as `sort_by_key`.

    Parameters
    ----------
    playlists : Relation
    songs : int64 array, shape (n,)
        Keys.
    """

    def keep(batches: Batches) -> Batches:
        # A list of plays names a song as often as it was played.
        for table in gather_batches(as_memberships(batches), n_rows=PIECE_ROWS):
            known = table.filter(pa.array(np.isin(numbers(table["track_key"]), songs)))
            yield from known.group_by(known.column_names).aggregate([]).to_batches()

    found = playlists.map(keep, MEMBERSHIPS).toArrow()
    return sort_by_key(found.group_by(found.column_names).aggregate([]))


def sort_by_key(table: pa.Table) -> pa.Table:
    """Return the rows by rising `track_key`, then by all columns: Spark returns them in any order."""
    return table.sort_by(
        [("track_key", "ascending"), *[(n, "ascending") for n in table.column_names if n != "track_key"]]
    )


def artists_of(labeled: pa.Table) -> Ints:
    """Return the key of each song's artist; a song without one is its own."""
    return numbers(pc.coalesce(labeled["artist_key"], labeled["track_key"]))


def is_validation(labeled: pa.Table, *, settings: ModelConfig) -> Bools:
    """Return which songs (n,) decide when training stops."""
    validation: Bools = numbers(labeled.column("fold")) < settings.expert.validation_share
    return validation


def is_at_gate(labeled: pa.Table, *, settings: ModelConfig) -> Bools:
    """Return which songs (n,) judge the trained encoder: other artists' than those that decide when to stop."""
    fold = numbers(labeled.column("fold"))
    at_gate: Bools = fold >= 1.0 - settings.expert.gate_share
    return at_gate
