"""Favorites + lists → the top-k of each listener, by agreement.

Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): a song scores 1 / (constant + rank) for
each favorite that lists it. The mean of the favorites' vectors would land between their styles, where
nobody's music is.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from musicrec.schemas import USER_RECOMMENDATIONS

# A vote of rank 1 counts this much; more favorites than the base no listener has.
SHARE_UNIT = 10**9
VOTE_BASE = 2**40


def keep_known(favorites: DataFrame, *, tracks: DataFrame) -> DataFrame:
    """Return the distinct `user_id, track_id, recording_key` of songs that the catalog has."""
    known = tracks.select("track_id", "recording_key")
    distinct = favorites.where("user_id IS NOT NULL AND track_id IS NOT NULL").distinct()
    return distinct.join(known, on="track_id", how="inner").select("user_id", "track_id", "recording_key")


def as_user_recommendations(favorites: DataFrame, *, lists: DataFrame, k: int, rank_constant: int) -> DataFrame:
    """Return `schemas.USER_RECOMMENDATIONS`.

    Parameters
    ----------
    favorites : DataFrame
        What `keep_known` returns.
    lists : DataFrame
        `schemas.LISTS`.
    k : int
    rank_constant : int
        Larger weighs agreement over rank.

    Notes
    -----
    The score lies in (0, 1]: 1 would be first in the list of every favorite. `because_of` is the favorite
    that ranks the song highest. Favorites and other releases of them are left out, and of one recording the
    best release is listed.
    """
    numbered = _numbered(favorites)
    fused = _fuse(numbered, lists=lists, rank_constant=rank_constant)
    n_favorites = favorites.groupBy("user_id").agg(F.count("*").alias("n_favorites"))
    scored = fused.join(n_favorites, on="user_id", how="inner").withColumn(
        "score", F.round(F.col("share") / SHARE_UNIT / F.col("n_favorites"), 6).cast("float")
    )
    best = _top_k(_drop_owned(scored, favorites=favorites), k=k)
    names = numbered.select("user_id", "number", F.col("track_id").alias("because_of"))
    return (
        best.withColumn("number", F.pmod("first_vote", F.lit(VOTE_BASE)))
        .join(names, on=["user_id", "number"], how="inner")
        .select(*USER_RECOMMENDATIONS.names)
    )


def _numbered(favorites: DataFrame) -> DataFrame:
    listener = Window.partitionBy("user_id").orderBy("track_id")
    return favorites.withColumn("number", F.row_number().over(listener).cast("long"))


def _fuse(favorites: DataFrame, *, lists: DataFrame, rank_constant: int) -> DataFrame:
    """Return `user_id, track_id, recording_key, share, first_vote`, one row per listener and candidate.

    All in whole numbers: a sum of floats would depend on its order, and numbers aggregate without a sort.
    """
    votes = favorites.join(lists, on="track_id", how="inner").select(
        "user_id", "number", F.posexplode("list").alias("position", "place")
    )
    rank = F.col("position") + 1
    share = F.lit(float(SHARE_UNIT * (rank_constant + 1))) / (rank + rank_constant)
    return (
        votes.select(
            "user_id",
            F.col("place.track_id").alias("track_id"),
            F.col("place.recording_key").alias("recording_key"),
            F.round(share).cast("long").alias("share"),
            (rank.cast("long") * VOTE_BASE + F.col("number")).alias("vote"),
        )
        .groupBy("user_id", "track_id", "recording_key")
        .agg(F.sum("share").alias("share"), F.min("vote").alias("first_vote"))
    )


def _drop_owned(scored: DataFrame, *, favorites: DataFrame) -> DataFrame:
    # Where releases are told apart, a list's recording_key is the track's own key.
    recordings = favorites.select("user_id", "recording_key")
    tracks = favorites.select("user_id", F.xxhash64("track_id").alias("recording_key"))
    owned = recordings.union(tracks).distinct()
    return scored.join(owned, on=["user_id", "recording_key"], how="left_anti")


def _top_k(scored: DataFrame, *, k: int) -> DataFrame:
    order = (F.col("score").desc(), F.col("track_id"))
    releases = Window.partitionBy("user_id", "recording_key").orderBy(*order)
    best = scored.withColumn("release", F.row_number().over(releases)).where("release = 1")
    listener = Window.partitionBy("user_id").orderBy(*order)
    ranked = best.withColumn("rank", F.row_number().over(listener)).where(F.col("rank") <= k)
    return ranked.withColumn("rank", F.col("rank").cast("int"))
