"""Published lists → in how many of them songs stand, popular ones and others."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def count_occurrences(recommendations: DataFrame, *, tracks: DataFrame) -> DataFrame:
    """Return `tenth, n_lists, n_songs`: how many songs of a tenth of the popularity scale stand in so many lists.

    Parameters
    ----------
    recommendations : DataFrame
        `schemas.RECOMMENDATIONS`.
    tracks : DataFrame
        `schemas.TRACKS`; popularity 0..10 is tenth 0, NULL stays NULL.
    """
    # A song's key is the hash of its id: whole numbers are counted in half of the time of texts.
    listed = recommendations.groupBy(F.xxhash64("recommended_track_id").alias("track_key"))
    counts = listed.agg(F.count("*").alias("n_lists"))
    # `least` alone would take 9 for an unknown one.
    known = F.col("popularity").isNotNull()
    tenth = F.when(known, F.least(F.floor(F.col("popularity") / 10), F.lit(9))).alias("tenth")
    songs = tracks.select("track_key", tenth).join(counts, on="track_key", how="left")
    n_lists = F.coalesce("n_lists", F.lit(0)).alias("n_lists")
    return songs.groupBy("tenth", n_lists).agg(F.count("*").alias("n_songs"))
