"""A sample of songs and what they share → what the encoder learns from.

Which songs are alike is told by playlists where they are given (the best teacher: Alonso-Jimenez et al.,
ICASSP 2023, arXiv 2304.12257), else by artist and genre, else by nothing: then a song is compared with
disturbed copies of itself.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.arrays import Bools, Ints
from musicrec.config import ModelConfig
from musicrec.songs import RAW_INPUTS
from musicrec.spark.arrow import numbers

N_FOLDS = 10_000


def as_labeled(tracks: DataFrame, *, seed: int) -> DataFrame:
    """Return keys, features and labels of songs, and the fold 0..1 of each one's artist.

    All songs of an artist share a fold, so that a split by it keeps whole artists apart; a song without an
    artist is its own.
    """
    artist = F.xxhash64(F.lower("artist"))
    whose = F.coalesce(F.when(F.col("artist").isNotNull(), artist), F.col("track_key"))
    return tracks.select(
        "track_key",
        "recording_key",
        F.when(F.col("artist").isNotNull(), artist).alias("artist_key"),
        F.when(F.col("genre").isNotNull(), F.xxhash64(F.lower("genre"))).alias("genre_key"),
        (F.pmod(F.xxhash64(whose, F.lit(seed)), F.lit(N_FOLDS)) / N_FOLDS).alias("fold"),
        *RAW_INPUTS,
    )


def as_memberships(playlists: DataFrame) -> DataFrame:
    """Return the distinct `track_key, playlist_key` of rows `playlist_id, track_id`."""
    rows = playlists.where("playlist_id IS NOT NULL AND track_id IS NOT NULL")
    keys = F.xxhash64("track_id").alias("track_key"), F.xxhash64("playlist_id").alias("playlist_key")
    return rows.select(*keys).distinct()


def keep_memberships(memberships: DataFrame, *, songs: DataFrame) -> DataFrame:
    """Return the memberships of the given songs."""
    return memberships.join(songs.select("track_key"), on="track_key", how="left_semi")


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
