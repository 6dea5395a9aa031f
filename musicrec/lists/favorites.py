"""Favorites: what listeners like + lists → the top-k of each listener, by agreement.

Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): a song scores 1 / (constant + rank) for
each favorite that lists it. The mean of the favorites' vectors would land between their styles, where
nobody's music is.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from musicrec.catalog.clean import Catalog
from musicrec.catalog.sources import read_relation
from musicrec.context import Context, log
from musicrec.lists.rank import keep_best
from musicrec.lists.sort import count_files
from musicrec.schemas import USER_RECOMMENDATIONS
from musicrec.spark.failures import input_errors
from musicrec.storage import datasets

# A vote of rank 1 counts this much; more favorites than the base no listener has.
SHARE_UNIT = 10**9
VOTE_BASE = 2**40


def write_user_recommendations(context: Context, catalog: Catalog, lists: DataFrame) -> dict[str, int] | None:
    """Write `schemas.USER_RECOMMENDATIONS` as they will be published; return counts, None without favorites.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    lists : DataFrame
        `schemas.LISTS`.

    Raises
    ------
    InputError
        The favorites cannot be read.
    """
    config = context.config
    if not config.input.favorites:
        return None
    with context.stage("favorites"):
        with input_errors(config.input.favorites):
            rows = read_relation(context.session, config.input.favorites, owner="user_id", settings=config.input)
            named = keep_named(rows).persist()
            known = keep_known(named, tracks=catalog.tracks).persist()
            counts = _count_favorites(named, known)
        fused = as_fused_lists(known, lists=lists, rank_constant=config.favorites.expert.rank_constant)
        listed = as_user_recommendations(keep_best(fused, k=config.favorites.k), favorites=known)
        n_files = count_files(counts["n_users"] * config.favorites.k)
        ordered = listed.repartitionByRange(n_files, "user_id").sortWithinPartitions("user_id", "rank")
        written = context.write(ordered, datasets.USER_RECOMMENDATIONS)
        counts["n_users_with_recommendations"] = written.select("user_id").distinct().count()
        log.info("%(n_users)d listeners, %(n_unknown)d of %(n_favorites)d favorites unknown", counts)
        named.unpersist()
        known.unpersist()
        return counts


def keep_named(favorites: DataFrame) -> DataFrame:
    """Return the distinct rows that name a listener and a song."""
    return favorites.where("user_id IS NOT NULL AND track_id IS NOT NULL").distinct()


def keep_known(named: DataFrame, *, tracks: DataFrame) -> DataFrame:
    """Return the `user_id, track_id, recording_key` of those songs of `keep_named` that the catalog has."""
    known = tracks.select("track_id", "recording_key")
    return named.join(known, on="track_id", how="inner").select("user_id", "track_id", "recording_key")


def as_fused_lists(favorites: DataFrame, *, lists: DataFrame, rank_constant: int) -> DataFrame:
    """Return `user_id, n_favorites, list`, one row per listener.

    Parameters
    ----------
    favorites : DataFrame
        What `keep_known` returns.
    lists : DataFrame
        `schemas.LISTS`.
    rank_constant : int
        Larger weighs agreement over rank.

    Returns
    -------
    DataFrame
        `list` holds (-share, track_id, recording_key, first_vote), best first, then by id. Favorites and
        other releases of them are left out.
    """
    votes = _votes(_numbered(favorites), lists=lists, rank_constant=rank_constant)
    fused = votes.transform(_fuse).join(_owned(favorites), on="user_id", how="inner")
    strange = F.filter("list", lambda place: ~F.array_contains("owned", place["recording_key"]))
    return fused.select("user_id", "n_favorites", strange.alias("list"))


def as_user_recommendations(lists: DataFrame, *, favorites: DataFrame) -> DataFrame:
    """Return `schemas.USER_RECOMMENDATIONS`: the fused lists, a row per place.

    Notes
    -----
    The score lies in (0, 1]: 1 would be first in the list of every favorite. `because_of` is the favorite
    that ranks the song highest.
    """
    places = lists.select("user_id", "n_favorites", F.posexplode("list").alias("position", "place"))
    names = _numbered(favorites).select("user_id", "number", F.col("track_id").alias("because_of"))
    share = -F.col("place.negative_share") / SHARE_UNIT / F.col("n_favorites")
    return (
        places.withColumn("number", F.pmod("place.first_vote", F.lit(VOTE_BASE)))
        .join(names, on=["user_id", "number"], how="inner")
        .select(
            "user_id",
            (F.col("position") + 1).cast("int").alias("rank"),
            F.col("place.track_id").alias("track_id"),
            F.round(share, 6).cast("float").alias("score"),
            "because_of",
        )
        .select(*USER_RECOMMENDATIONS.names)
    )


def _numbered(favorites: DataFrame) -> DataFrame:
    listener = Window.partitionBy("user_id").orderBy("track_id")
    return favorites.withColumn("number", F.row_number().over(listener).cast("long"))


def _votes(favorites: DataFrame, *, lists: DataFrame, rank_constant: int) -> DataFrame:
    """Return one row per favorite and listed song: its share, and its rank and favorite in one number.

    Whole numbers: a sum of floats would depend on its order, and numbers aggregate without a sort.
    """
    places = favorites.join(lists, on="track_id", how="inner").select(
        "user_id", "number", F.posexplode("list").alias("position", "place")
    )
    rank = F.col("position") + 1
    share = F.lit(float(SHARE_UNIT * (rank_constant + 1))) / (rank + rank_constant)
    return places.select(
        "user_id",
        F.col("place.track_id").alias("track_id"),
        F.col("place.recording_key").alias("recording_key"),
        F.round(share).cast("long").alias("share"),
        (rank.cast("long") * VOTE_BASE + F.col("number")).alias("vote"),
    )


def _fuse(votes: DataFrame) -> DataFrame:
    """Return `user_id, list`, one row per listener: candidates by share down, then id up."""
    # By listener at once: both aggregations and the join that follows then need no other shuffle.
    fused = (
        votes.repartition("user_id")
        .groupBy("user_id", "track_id", "recording_key")
        .agg((-F.sum("share")).alias("negative_share"), F.min("vote").alias("first_vote"))
    )
    place = F.struct("negative_share", "track_id", "recording_key", "first_vote")
    return fused.groupBy("user_id").agg(F.sort_array(F.collect_list(place)).alias("list"))


def _owned(favorites: DataFrame) -> DataFrame:
    # Where releases are told apart, a list's recording_key is the track's own key.
    keys = F.array_union(F.collect_set("recording_key"), F.collect_set(F.xxhash64("track_id")))
    return favorites.groupBy("user_id").agg(keys.alias("owned"), F.count("*").alias("n_favorites"))


def _count_favorites(named: DataFrame, known: DataFrame) -> dict[str, int]:
    n_favorites, n_known = named.count(), known.count()
    return {
        "n_favorites": n_favorites,
        "n_unknown": n_favorites - n_known,
        "n_users": named.select("user_id").distinct().count(),
    }
