"""Rank: neighbors of items → the top-k of each song, in a total order: score down, then id up."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.context import Context
from musicrec.lists.members import as_members
from musicrec.neighbors.cells import Cells
from musicrec.schemas import LISTS, RECOMMENDATIONS
from musicrec.storage import datasets

# Looking for releases of one recording is quadratic; hardly a list needs more than this for its k places.
CANDIDATES_PER_PLACE = 5


def write_lists(context: Context, embeddings: DataFrame, cells: Cells) -> DataFrame:
    """Write `schemas.LISTS`, the k nearest songs of each song, and return it; as `rank_songs`.

    Parameters
    ----------
    context : Context
    embeddings : DataFrame
        `schemas.EMBEDDINGS`, those of the cells.
    cells : Cells
    """
    with context.stage("rank", n_rows=cells.n_songs):
        return context.write(rank_songs(context, embeddings, cells), datasets.LISTS)


def rank_songs(context: Context, embeddings: DataFrame, cells: Cells) -> DataFrame:
    """Return `schemas.LISTS`: the k nearest songs of each song, by the neighbors that the join has written.

    Parameters
    ----------
    context : Context
    embeddings : DataFrame
        `schemas.EMBEDDINGS`, those of the cells.
    cells : Cells
    """
    settings = context.config.neighbors
    members = as_members(
        embeddings,
        one_per_recording=settings.one_per_recording,
        repeated=context.read(datasets.REPEATED) if cells.n_repeated else None,
        k=settings.k,
    )
    return keep_best(as_lists(members, neighbors=context.read(datasets.NEIGHBORS)), k=settings.k)


def as_lists(members: DataFrame, *, neighbors: DataFrame) -> DataFrame:
    """Return `schemas.LISTS`, one row per song that has a neighbor, with all of its neighbors.

    Parameters
    ----------
    members : DataFrame
        `schemas.MEMBERS`.
    neighbors : DataFrame
        `schemas.NEIGHBORS`.

    Notes
    -----
    A list never holds the song's own recording.
    """
    own = ("track_key", "track_id", "recording_key")
    songs = members.select("item_key", *own)
    listed = members.where("position IS NOT NULL").select(
        F.col("item_key").alias("neighbor_key"),
        F.col("track_id").alias("listed_id"),
        F.col("recording_key").alias("listed_recording"),
        F.col("track_key").alias("listed_key"),
    )
    pairs = _pairs(neighbors, members=members)
    candidates = pairs.join(listed, on="neighbor_key", how="inner")
    # The queries last: an item's songs are few, its candidates many.
    lists = candidates.join(songs, on="item_key", how="inner")
    place = F.struct(
        (-F.col("score")).alias("negative_score"),
        F.col("listed_id").alias("track_id"),
        F.col("listed_recording").alias("recording_key"),
        F.col("listed_key").alias("track_key"),
    )
    # item_key first: the rows lie together by it already, so nothing is shuffled again.
    return (
        lists.where("listed_recording != recording_key")
        .groupBy("item_key", *own)
        .agg(F.sort_array(F.collect_list(place)).alias("list"))
        .select(*LISTS.names)
    )


def keep_best(lists: DataFrame, *, k: int) -> DataFrame:
    """Return the rows with `list` cut to its first k places, of each recording the first.

    Parameters
    ----------
    lists : DataFrame
        A column `list` of structs, best first, with a `recording_key`.
    k : int
    """
    head = _first_of_recording(F.slice("list", 1, CANDIDATES_PER_PLACE * k))
    # Bound as one element of an array: an expression that stands twice would be computed twice.
    bound = F.transform(F.array(F.struct(head.alias("head"), "list")), lambda row: _enough(row, k=k))
    return lists.withColumn("list", F.slice(bound[0], 1, k))


def as_recommendations(lists: DataFrame) -> DataFrame:
    """Return `schemas.RECOMMENDATIONS`; rows keep the order of `lists`."""
    places = lists.select("track_id", F.posexplode("list").alias("position", "place"))
    return places.select(
        "track_id",
        (F.col("position") + 1).cast("int").alias("rank"),
        F.col("place.track_id").alias("recommended_track_id"),
        (-F.col("place.negative_score")).alias("score"),
    ).select(*RECOMMENDATIONS.names)


def _enough(row: Column, *, k: int) -> Column:
    seen_all = F.size(row["list"]) <= CANDIDATES_PER_PLACE * k
    return F.when(seen_all | (F.size(row["head"]) >= k), row["head"]).otherwise(_first_of_recording(row["list"]))


def _first_of_recording(places: Column) -> Column:
    bound = F.array(F.struct(places.alias("places"), places["recording_key"].alias("recordings")))
    return F.transform(
        bound,
        lambda row: F.filter(
            row["places"],
            lambda place, i: F.array_position(row["recordings"], place["recording_key"]) == i + 1,
        ),
    )[0]


def _pairs(neighbors: DataFrame, *, members: DataFrame) -> DataFrame:
    pairs = neighbors.select(
        "item_key", F.inline(F.arrays_zip("neighbor_keys", "scores")).alias("neighbor_key", "score")
    )
    # Songs of one item are each other's nearest.
    shared = members.where("n_members > 1 AND track_key = item_key")
    within = shared.select("item_key", F.col("item_key").alias("neighbor_key"), F.col("self_score").alias("score"))
    return pairs.unionByName(within)
