"""Favorites + lists → the top-k of each listener, by agreement.

Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): a song scores 1 / (constant + rank) for
each favorite that lists it. The mean of the favorites' vectors would land between their styles, where
nobody's music is.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from musicrec.schemas import USER_RECOMMENDATIONS


def keep_known(favorites: DataFrame, *, tracks: DataFrame) -> DataFrame:
    """Return the distinct `user_id, track_id, recording_key` of songs that the catalog has."""
    known = tracks.select("track_id", "recording_key")
    distinct = favorites.where("user_id IS NOT NULL AND track_id IS NOT NULL").distinct()
    return distinct.join(known, on="track_id", how="inner").select("user_id", "track_id", "recording_key")


def as_user_recommendations(
    favorites: DataFrame, *, recommendations: DataFrame, tracks: DataFrame, k: int, rank_constant: int
) -> DataFrame:
    """Return `schemas.USER_RECOMMENDATIONS`.

    Parameters
    ----------
    favorites : DataFrame
        What `keep_known` returns.
    recommendations : DataFrame
        `schemas.RECOMMENDATIONS`.
    tracks : DataFrame
        `track_id, recording_key` of the catalog.
    k : int
    rank_constant : int
        Larger weighs agreement over rank.

    Notes
    -----
    The score lies in (0, 1]: 1 would be first in the list of every favorite. `because_of` is the favorite
    that ranks the song highest. Favorites and other releases of them are left out, and of one recording the
    best release is listed.
    """
    share = F.lit(float(rank_constant + 1)) / (F.lit(rank_constant) + F.col("rank"))
    votes = favorites.join(recommendations, on="track_id", how="inner").select(
        "user_id",
        F.col("track_id").alias("favorite_id"),
        F.col("recommended_track_id").alias("track_id"),
        "rank",
        share.alias("share"),
    )
    n_favorites = favorites.groupBy("user_id").agg(F.count("*").alias("n_favorites"))
    fused = votes.groupBy("user_id", "track_id").agg(
        # Summed in a fixed order: a float sum depends on it.
        F.aggregate(F.sort_array(F.collect_list("share")), F.lit(0.0), lambda a, b: a + b).alias("sum"),
        F.min(F.struct("rank", "favorite_id"))["favorite_id"].alias("because_of"),
    )
    scored = fused.join(n_favorites, on="user_id", how="inner").withColumn(
        "score", F.round(F.col("sum") / F.col("n_favorites"), 6).cast("float")
    )
    return _top_k(_drop_owned(scored, favorites=favorites, tracks=tracks), k=k)


def _drop_owned(scored: DataFrame, *, favorites: DataFrame, tracks: DataFrame) -> DataFrame:
    recordings = tracks.select("track_id", "recording_key")
    owned = favorites.select("user_id", "recording_key").distinct()
    return scored.join(recordings, on="track_id", how="inner").join(
        owned, on=["user_id", "recording_key"], how="left_anti"
    )


def _top_k(scored: DataFrame, *, k: int) -> DataFrame:
    order = (F.col("score").desc(), F.col("track_id"))
    releases = Window.partitionBy("user_id", "recording_key").orderBy(*order)
    best = scored.withColumn("release", F.row_number().over(releases)).where("release = 1")
    listener = Window.partitionBy("user_id").orderBy(*order)
    ranked = best.withColumn("rank", F.row_number().over(listener)).where(F.col("rank") <= k)
    return ranked.withColumn("rank", F.col("rank").cast("int")).select(*USER_RECOMMENDATIONS.names)
