"""Samples by hash: the same songs for the same seed, whatever the partitions, the launcher or a retry."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def keep_sample(rows: DataFrame, *, key: str, n_rows: int, sample_size: int, seed: int) -> DataFrame:
    """Return about `sample_size` of `n_rows` rows; all of them where there are no more.

    Parameters
    ----------
    rows : DataFrame
    key : str
        Column of 64-bit keys, unique; a row's key and the seed alone decide whether it is drawn.
    n_rows, sample_size : int
    seed : int
    """
    return rows.where(_is_drawn(key, share=sample_size / max(n_rows, 1), seed=seed))


def keep_songs(
    tracks: DataFrame, whole: DataFrame, *, n_tracks: int, n_whole: int, sample_size: int, seed: int
) -> DataFrame:
    """Return about `sample_size` of `n_tracks` tracks: those of `whole`, and of the others as many as are wanted.

    Parameters
    ----------
    tracks : DataFrame
        With a `track_key`.
    whole : DataFrame
        `track_key`, `n_whole` of the tracks, few enough for the memory of each executor.
    n_tracks, n_whole, sample_size : int
    seed : int
    """
    share = (sample_size - n_whole) / max(n_tracks - n_whole, 1)
    marked = F.broadcast(whole.select("track_key", F.lit(True).alias("is_whole")))
    kept = F.col("is_whole").isNotNull() | _is_drawn("track_key", share=share, seed=seed)
    return tracks.join(marked, on="track_key", how="left").where(kept).drop("is_whole")


def keep_playlists(memberships: DataFrame, *, share: float, seed: int) -> DataFrame:
    """Return a share of the playlists of `train.as_memberships`, with all songs of each."""
    return memberships.where(_is_drawn("playlist_key", share=share, seed=seed))


def _is_drawn(key: str, *, share: float, seed: int) -> Column:
    if share >= 1.0:
        return F.lit(True)
    # Hashes are spread evenly over the signed 64-bit numbers.
    return F.xxhash64(key, F.lit(seed)) < int(share * 2**64) - 2**63
