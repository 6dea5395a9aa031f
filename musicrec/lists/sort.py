"""Rank, favorites and the checks on what was written: neighbors → what is published."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec import schemas
from musicrec.errors import QualityError
from musicrec.pipeline.context import Context, log
from musicrec.pipeline.ingest import Catalog, read_relation
from musicrec.pipeline.neighbors import Joined
from musicrec.stages import check, favorites, rank
from musicrec.storage import publish, tables

# Rows of a published file: a few dozen MB, which query engines read in one go.
ROWS_PER_FILE = 1_000_000


def rank_lists(context: Context, joined: Joined) -> DataFrame:
    """Return `schemas.LISTS`: the k nearest songs of each song."""
    best = rank.keep_best(rank.as_lists(joined.members, neighbors=joined.neighbors), k=context.config.neighbors.k)
    return context.materialize(best, "lists", schema=schemas.LISTS)


def publish_lists(context: Context, catalog: Catalog, lists: DataFrame) -> DataFrame:
    """Return `schemas.RECOMMENDATIONS` as they will be published: sorted by track_id, rank."""
    # Sorted as whole lists, a tenth of the rows; from files, because range partitioning reads its input twice.
    n_files = max(1, -(-catalog.n_tracks * context.config.neighbors.k // ROWS_PER_FILE))
    ordered = lists.repartitionByRange(n_files, "track_id").sortWithinPartitions("track_id")
    rows = rank.as_recommendations(ordered)
    return _stage(context, rows, "recommendations", schemas.RECOMMENDATIONS)


def rank_favorites(context: Context, catalog: Catalog, lists: DataFrame) -> DataFrame | None:
    """Return `schemas.USER_RECOMMENDATIONS` as they will be published, None without favorites."""
    settings = context.config
    if not settings.input.favorites:
        return None
    with tables.input_errors(settings.input.favorites):
        rows = read_relation(context.session, settings.input.favorites, owner="user_id", settings=settings.input)
        named = favorites.keep_named(rows).persist()
        known = favorites.keep_known(named, tracks=catalog.tracks).persist()
        counts = _count_favorites(named, known)
    fused = favorites.as_fused_lists(known, lists=lists, rank_constant=settings.favorites.rank_constant)
    best = rank.keep_best(fused, k=settings.favorites.k)
    listed = favorites.as_user_recommendations(best, favorites=known)
    n_files = max(1, -(-counts["n_users"] * settings.favorites.k // ROWS_PER_FILE))
    ordered = listed.repartitionByRange(n_files, "user_id").sortWithinPartitions("user_id", "rank")
    written = _stage(context, ordered, "user_recommendations", schemas.USER_RECOMMENDATIONS)
    counts["n_users_with_recommendations"] = written.select("user_id").distinct().count()
    context.record["inputs"]["favorites"] = publish.without_secrets(settings.input.favorites)
    context.record["favorites"] = counts
    log.info("             %(n_users)d listeners, %(n_unknown)d of %(n_favorites)d favorites unknown", counts)
    named.unpersist()
    known.unpersist()
    return written


def check_lists(context: Context, catalog: Catalog, recommendations: DataFrame) -> dict[str, int]:
    """Read back what was written, check it, write the status of each song and return the counts.

    Raises
    ------
    QualityError
        A list breaks a promise: names the first of them.
    """
    checked = check.as_checked_lists(recommendations, k=context.config.neighbors.k)
    status = check.as_status(
        catalog.tracks, checked=checked, quarantine=catalog.quarantine, n_tracks=catalog.n_tracks
    ).persist()
    _check_problems(status, recommendations, catalog)
    n_files = max(1, -(-catalog.n_tracks // ROWS_PER_FILE))
    ordered = status.drop("problem").repartitionByRange(n_files, "track_id").sortWithinPartitions("track_id")
    written = _stage(context, ordered, "status", schemas.STATUS)
    rows = written.groupBy("status").agg(F.count("*").alias("n"), F.sum("n_recommendations").alias("n_listed"))
    found = {row["status"]: row.asDict() for row in rows.collect()}
    status.unpersist()
    counts = {f"n_{name}": found.get(name, {}).get("n", 0) for name in ("recommended", "not_recommended")}
    if sum(counts.values()) != catalog.n_tracks:
        raise QualityError(f"{catalog.n_tracks} songs, but a status for {sum(counts.values())}")
    return {**counts, "n_recommendations": sum(row["n_listed"] for row in found.values())}


def _check_problems(status: DataFrame, recommendations: DataFrame, catalog: Catalog) -> None:
    problems = (
        status.where("problem IS NOT NULL")
        .groupBy("problem")
        .agg(F.count("*").alias("n"), F.min("track_id").alias("example"))
    )
    found = [f"{row['problem']} ({row['n']} songs, e.g. {row['example']})" for row in problems.collect()]
    n_unknown = check.keep_unknown(recommendations, tracks=catalog.tracks).count()
    found += [f"{n_unknown} recommended ids are no song of the catalog"] if n_unknown else []
    if found:
        raise QualityError("the lists are not fit to publish: " + "; ".join(found[:3]))


def _stage(context: Context, rows: DataFrame, name: str, schema: Any) -> DataFrame:
    path = publish.staged_path(context.run, name)
    tables.write_table(rows, path, schema=schema)
    return tables.read_table(context.session, path, schema=schema)


def _count_favorites(named: DataFrame, known: DataFrame) -> dict[str, int]:
    n_favorites, n_known = named.count(), known.count()
    return {
        "n_favorites": n_favorites,
        "n_unknown": n_favorites - n_known,
        "n_users": named.select("user_id").distinct().count(),
    }
