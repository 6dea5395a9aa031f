"""Neighbors of items → the top-k of each song, in a total order: score down, then id up."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.schemas import RECOMMENDATIONS


def as_lists(members: DataFrame, *, neighbors: DataFrame, k: int) -> DataFrame:
    """Return `track_id, list`, one row per song that has a neighbor; `list` holds (-score, track_id).

    Parameters
    ----------
    members : DataFrame
        `schemas.MEMBERS`.
    neighbors : DataFrame
        `schemas.NEIGHBORS`.
    k : int

    Notes
    -----
    A list never holds the song's own recording, and any other recording once.
    """
    songs = members.select("item_key", "track_key", "track_id", "recording_key")
    listed = members.where("position IS NOT NULL").select(
        F.col("item_key").alias("neighbor_key"),
        F.col("track_id").alias("listed_id"),
        F.col("recording_key").alias("listed_recording"),
    )
    pairs = _pairs(neighbors, members=members)
    candidates = pairs.join(listed, on="neighbor_key", how="inner")
    # The queries last: an item's songs are few, its candidates many.
    lists = candidates.join(songs, on="item_key", how="inner")
    place = F.struct(
        (-F.col("score")).alias("negative_score"),
        F.col("listed_id").alias("track_id"),
        F.col("listed_recording").alias("recording_key"),
    )
    # item_key first: the rows lie together by it already, so nothing is shuffled again.
    return (
        lists.where("listed_recording != recording_key")
        .groupBy("item_key", "track_key", "track_id")
        .agg(F.sort_array(F.collect_list(place)).alias("list"))
        .select("track_id", _best_places(F.col("list"), k=k).alias("list"))
    )


def as_recommendations(lists: DataFrame) -> DataFrame:
    """Return `schemas.RECOMMENDATIONS`; rows keep the order of `lists`."""
    places = lists.select("track_id", F.posexplode("list").alias("position", "place"))
    return places.select(
        "track_id",
        (F.col("position") + 1).cast("int").alias("rank"),
        F.col("place.track_id").alias("recommended_track_id"),
        (-F.col("place.negative_score")).alias("score"),
    ).select(*RECOMMENDATIONS.names)


def _best_places(places: Column, *, k: int) -> Column:
    # Bound as one element of an array: a lambda evaluates what it refers to outside again at each step.
    bound = F.array(F.struct(places.alias("places"), places["recording_key"].alias("recordings")))
    return F.transform(bound, lambda b: F.slice(_first_of_recording(b), 1, k))[0]


def _first_of_recording(bound: Column) -> Column:
    recordings = bound["recordings"]
    return F.filter(
        bound["places"], lambda place, i: F.array_position(recordings, place["recording_key"]) == i + 1
    )


def _pairs(neighbors: DataFrame, *, members: DataFrame) -> DataFrame:
    pairs = neighbors.select(
        "item_key", F.inline(F.arrays_zip("neighbor_keys", "scores")).alias("neighbor_key", "score")
    )
    # Songs of one item are each other's nearest.
    shared = members.where("n_members > 1 AND track_key = item_key")
    within = shared.select(
        "item_key", F.col("item_key").alias("neighbor_key"), F.lit(1.0).cast("float").alias("score")
    )
    return pairs.unionByName(within)
