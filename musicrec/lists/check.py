"""Check: what is about to be published, read back. A status per song, and what is wrong with its list."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.catalog.clean import Catalog
from musicrec.context import Context
from musicrec.errors import QualityError
from musicrec.lists.sort import count_files
from musicrec.schemas import STATUS
from musicrec.storage import datasets


def write_status(context: Context, catalog: Catalog, recommendations: DataFrame) -> dict[str, int]:
    """Read back what was written, check it, write `schemas.STATUS` of each song and return the counts.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    recommendations : DataFrame
        `schemas.RECOMMENDATIONS`, from their files.

    Raises
    ------
    QualityError
        A list breaks a promise: names the first of them.
    """
    with context.stage("check", n_rows=catalog.n_tracks):
        checked = as_checked_lists(recommendations, k=context.config.neighbors.k)
        status = as_status(
            catalog.tracks, checked=checked, quarantine=catalog.quarantine, n_tracks=catalog.n_tracks
        ).persist()
        _check_problems(status, recommendations, catalog)
        n_files = count_files(catalog.n_tracks)
        ordered = status.drop("problem").repartitionByRange(n_files, "track_id").sortWithinPartitions("track_id")
        written = context.write(ordered, datasets.STATUS)
        rows = written.groupBy("status").agg(F.count("*").alias("n"), F.sum("n_recommendations").alias("n_listed"))
        found = {row["status"]: row.asDict() for row in rows.collect()}
        status.unpersist()
        counts = {f"n_{name}": found.get(name, {}).get("n", 0) for name in ("recommended", "not_recommended")}
        if sum(counts.values()) != catalog.n_tracks:
            raise QualityError(f"{catalog.n_tracks} songs, but a status for {sum(counts.values())}")
        return {**counts, "n_recommendations": sum(row["n_listed"] for row in found.values())}


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
    """Return `schemas.STATUS` and `problem`: what became of each song of the input that has an id.

    Parameters
    ----------
    tracks : DataFrame
        `schemas.TRACKS`, `n_tracks` of them.
    checked : DataFrame
        What `as_checked_lists` returns.
    quarantine : DataFrame
        `schemas.QUARANTINE`.
    n_tracks : int
    """
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


def _check_problems(status: DataFrame, recommendations: DataFrame, catalog: Catalog) -> None:
    problems = (
        status.where("problem IS NOT NULL")
        .groupBy("problem")
        .agg(F.count("*").alias("n"), F.min("track_id").alias("example"))
    )
    found = [f"{row['problem']} ({row['n']} songs, e.g. {row['example']})" for row in problems.collect()]
    n_unknown = keep_unknown(recommendations, tracks=catalog.tracks).count()
    found += [f"{n_unknown} recommended ids are no song of the catalog"] if n_unknown else []
    if found:
        raise QualityError("the lists are not fit to publish: " + "; ".join(found[:3]))
