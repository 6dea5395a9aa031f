"""What is about to be published, read back and checked: a status per song, and what is wrong with its list."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.schemas import STATUS


def as_checked_lists(recommendations: DataFrame, *, k: int) -> DataFrame:
    """Return `track_id, n_recommendations, problem`, one row per song with a list; NULL is no problem."""
    place = F.struct("rank", "score", F.col("recommended_track_id").alias("other"))
    lists = recommendations.groupBy("track_id").agg(F.sort_array(F.collect_list(place)).alias("list"))
    falling = F.transform("list", lambda p: -p["score"])
    others = F.col("list.other")
    problem = (
        F.when(F.col("list.rank") != F.sequence(F.lit(1), F.size("list")), "ranks are not 1..n")
        .when(F.size("list") > k, "more than k recommendations")
        .when(F.array_contains(others, F.col("track_id")), "recommends itself")
        .when(F.size(F.array_distinct(others)) != F.size("list"), "recommends a song twice")
        .when(F.exists("list", lambda p: _is_no_cosine(p["score"])), "a score is no cosine")
        .when(F.sort_array(falling) != falling, "scores rise")
    )
    return lists.select("track_id", F.size("list").alias("n_recommendations"), problem.alias("problem"))


def keep_unknown(recommendations: DataFrame, *, tracks: DataFrame) -> DataFrame:
    """Return the distinct recommended ids that are no song of the catalog."""
    listed = recommendations.select(F.col("recommended_track_id").alias("track_id")).distinct()
    return listed.join(tracks.select("track_id"), on="track_id", how="left_anti")


def as_status(tracks: DataFrame, *, checked: DataFrame, quarantine: DataFrame, n_tracks: int) -> DataFrame:
    """Return `schemas.STATUS` and `problem`: what became of each song of the input that has an id."""
    alone = "no_other_song" if n_tracks == 1 else "no_neighbor_found"
    n = F.coalesce("n_recommendations", F.lit(0))
    songs = (
        tracks.select("track_id")
        .join(checked, on="track_id", how="full_outer")
        .select(
            "track_id",
            F.when(n > 0, "recommended").otherwise("not_recommended").alias("status"),
            F.when(n == 0, alone).alias("reason"),
            n.cast("int").alias("n_recommendations"),
            "problem",
        )
    )
    refused = quarantine.where("track_id IS NOT NULL").groupBy("track_id").agg(F.min("reason").alias("reason"))
    lost = refused.join(tracks.select("track_id"), on="track_id", how="left_anti").select(
        "track_id",
        F.lit("quarantined").alias("status"),
        "reason",
        F.lit(0).alias("n_recommendations"),
        F.lit(None).cast("string").alias("problem"),
    )
    return songs.unionByName(lost).select(*STATUS.names, "problem")


def _is_no_cosine(score: Column) -> Column:
    return score.isNull() | F.isnan(score) | (F.abs(score) > 1.0)
