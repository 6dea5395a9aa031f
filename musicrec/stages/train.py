"""A sample of songs and what they share → what the encoder learns from.

Which songs are alike is told by playlists where they are given (the best teacher: Alonso-Jimenez et al.,
ICASSP 2023, arXiv 2304.12257), else by artist and genre, else by nothing: then a song is compared with
disturbed copies of itself.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.algorithms.batches import Positives, TrainingSet
from musicrec.algorithms.encodings import InputLayout
from musicrec.arrow import numbers
from musicrec.songs import RAW_INPUTS

N_FOLDS = 10_000
ARTIST_WEIGHT, GENRE_WEIGHT = 1.0, 0.3


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


def as_memberships(playlists: DataFrame, *, songs: DataFrame) -> DataFrame:
    """Return the distinct `track_key, playlist_key` of the given songs."""
    rows = playlists.where("playlist_id IS NOT NULL AND track_id IS NOT NULL")
    hashed = rows.select(
        F.xxhash64("track_id").alias("track_key"), F.xxhash64("playlist_id").alias("playlist_key")
    )
    return hashed.distinct().join(songs.select("track_key"), on="track_key", how="left_semi")


def sort_by_key(table: pa.Table) -> pa.Table:
    """Return the rows by rising `track_key`, then by all columns: Spark returns them in any order."""
    return table.sort_by(
        [("track_key", "ascending"), *[(n, "ascending") for n in table.column_names if n != "track_key"]]
    )


def as_training_set(
    labeled: pa.Table,
    inputs: NDArray[np.float32],
    *,
    layout: InputLayout,
    memberships: pa.Table | None,
    objective: str,
    holdout_share: float,
) -> tuple[TrainingSet, str]:
    """Return what to learn from, and the objective that the data allow.

    Parameters
    ----------
    labeled : pyarrow.Table
        `as_labeled` of the sample, by rising track_key.
    inputs : float32 array, shape (n, n_inputs)
        Its model inputs.
    layout : InputLayout
    memberships : pyarrow.Table, optional
        `as_memberships` of the sample.
    objective : {"auto", "playlists", "labels", "self_supervised"}
        "auto" takes the first that has songs to compare.
    holdout_share : float
        Of the artists, 0..1.

    Returns
    -------
    TrainingSet, str
    """
    keys = numbers(labeled.column("track_key"))
    by_playlists = (_playlist_positives(keys, memberships),) if memberships is not None else ()
    by_labels = tuple(
        _label_positives(kind, weight, labeled.column(f"{kind}_key"))
        for kind, weight in (("artist", ARTIST_WEIGHT), ("genre", GENRE_WEIGHT))
    )
    offers = {"playlists": by_playlists, "labels": by_labels, "self_supervised": ()}
    usable = {name: tuple(p for p in offer if _has_pairs(p)) for name, offer in offers.items()}
    wanted = list(offers) if objective == "auto" else [objective]
    chosen = next((name for name in wanted if usable[name]), "self_supervised")
    held_out = numbers(labeled.column("fold")) < holdout_share
    songs = TrainingSet(
        inputs=inputs,
        layout=layout,
        recordings=numbers(labeled.column("recording_key")),
        artists=artists_of(labeled),
        held_out=held_out,
        positives=usable[chosen],
    )
    return songs, chosen


def artists_of(labeled: pa.Table) -> NDArray[np.int64]:
    """Return the key of each song's artist; a song without one is its own."""
    return numbers(pc.coalesce(labeled["artist_key"], labeled["track_key"]))


def _playlist_positives(keys: NDArray[np.int64], memberships: pa.Table) -> Positives:
    song = np.searchsorted(keys, numbers(memberships.column("track_key")))
    return _positives("playlists", 1.0, song, numbers(memberships.column("playlist_key")))


def _label_positives(kind: str, weight: float, column: pa.ChunkedArray) -> Positives:
    known = column.is_valid().to_numpy()
    return _positives(kind, weight, np.flatnonzero(known), numbers(column.drop_null()))


def _positives(kind: str, weight: float, song: NDArray[np.int64], group: NDArray[np.int64]) -> Positives:
    order = np.lexsort((group, song))
    return Positives(kind, weight, song[order], group[order])


def _has_pairs(positives: Positives) -> bool:
    return bool(len(positives.group) > len(np.unique(positives.group)))
