"""In how many lists songs stand → popular ones beside others."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def count_occurrences(occurrences: DataFrame, *, tracks: DataFrame) -> DataFrame:
    """Return `tenth, n_lists, n_songs`: how many songs of a tenth of the popularity scale stand in so many lists.

    Parameters
    ----------
    occurrences : DataFrame
        `schemas.OCCURRENCES`.
    tracks : DataFrame
        `schemas.TRACKS`; popularity 0..10 is tenth 0, NULL stays NULL.
    """
    # `least` alone would take 9 for an unknown one.
    known = F.col("popularity").isNotNull()
    tenth = F.when(known, F.least(F.floor(F.col("popularity") / 10), F.lit(9))).alias("tenth")
    songs = tracks.select("track_key", tenth).join(occurrences, on="track_key", how="left")
    n_lists = F.coalesce("n_lists", F.lit(0)).alias("n_lists")
    return songs.groupBy("tenth", n_lists).agg(F.count("*").alias("n_songs"))
