"""Read and clean: the user's files → tracks and quarantine, with sums that agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession

from musicrec import schemas
from musicrec.config import InputConfig
from musicrec.errors import InputError, QualityError
from musicrec.pipeline.context import Context, log
from musicrec.songs import FEATURES, TRACK_COLUMNS, resolve_columns
from musicrec.stages import clean
from musicrec.storage import publish, tables


@dataclass(frozen=True)
class Catalog:
    """The cleaned songs."""

    tracks: DataFrame
    quarantine: DataFrame
    n_tracks: int


def read_source(session: SparkSession, settings: InputConfig) -> tuple[DataFrame, dict[str, str]]:
    """Return the rows of `input.tracks` and which source column serves which canonical name.

    Raises
    ------
    InputError
        The files cannot be read, or the columns that a song needs are not there.
    """
    if not settings.tracks:
        raise InputError("input.tracks is not set", todo="set it in [input] or with --set input.tracks=FILE")
    rows = tables.read_rows(
        session, settings.tracks, file_format=settings.format, multiline=settings.csv_multiline
    )
    names = [name for name in rows.columns if name not in (tables.MALFORMED, tables.SOURCE_FILE)]
    columns = resolve_columns(names, wanted=TRACK_COLUMNS, configured=settings.columns, where=settings.tracks)
    _check_columns(names, columns, settings=settings)
    return rows, columns


def read_relation(session: SparkSession, uri: str, *, owner: str, settings: InputConfig) -> DataFrame:
    """Return the `owner, track_id` rows of playlists or favorites.

    Raises
    ------
    InputError
        The files cannot be read, or one of the two columns is not there.
    """
    rows = tables.read_rows(session, uri, file_format=settings.format, multiline=settings.csv_multiline)
    names = [name for name in rows.columns if name not in (tables.MALFORMED, tables.SOURCE_FILE)]
    # input.columns and input.id_from are written for the songs; they count here where this file has such columns.
    if not set(settings.id_from) <= set(names):
        settings = settings.model_copy(update={"id_from": ()})
    configured = {name: source for name, source in settings.columns.items() if source in names}
    columns = resolve_columns(names, wanted=("track_id", owner), configured=configured, where=uri)
    missing = [name for name in (owner, "track_id") if name not in columns]
    if owner in missing or (missing and not settings.id_from):
        raise InputError(
            f"no column for {' and '.join(missing)}",
            where=f"{uri}: {', '.join(names)}",
            todo=f'map it with [input.columns], e.g. {missing[0]} = "name of the column"',
        )
    return clean.as_relation(rows, columns=columns, owner=owner, settings=settings)


def check_relations(session: SparkSession, settings: InputConfig) -> None:
    """Look at playlists and favorites, where they are given, before hours of work that need them.

    Raises
    ------
    InputError
        As `read_relation`.
    """
    for uri, owner in ((settings.playlists, "playlist_id"), (settings.favorites, "user_id")):
        if uri:
            with tables.input_errors(uri):
                read_relation(session, uri, owner=owner, settings=settings)


def ingest(context: Context) -> Catalog:
    """Clean the input into `work/`: every row ends as a track, a counted duplicate or in the quarantine.

    Raises
    ------
    InputError
        No rows, no usable song, or more quarantined rows than `input.max_quarantine_share`.
    QualityError
        The sums of what was written do not agree with the input.
    """
    settings = context.config.input
    with tables.input_errors(settings.tracks):
        rows, columns = read_source(context.session, settings)
        # Cached: the counts and both outputs come from one reading of the input.
        audited = clean.audit_rows(rows, columns=columns, settings=settings).persist()
        places = clean.count_places(audited).collect()
    counts = _as_counts(places)
    context.record["inputs"] = {
        "tracks": publish.without_secrets(settings.tracks),
        "columns": columns,
        "files": publish.without_secrets(sorted(rows.inputFiles())[:1000]),
    }
    context.record["counts"] = counts
    _check_collisions(places)
    quarantine = context.materialize(clean.keep_quarantine(audited), "quarantine", schema=schemas.QUARANTINE)
    _check_counts(counts, settings=settings, quarantine_path=context.run.table("quarantine"))
    tracks = context.materialize(clean.keep_tracks(audited), "tracks", schema=schemas.TRACKS)
    audited.unpersist()
    _check_sums(counts, n_tracks=tracks.count(), n_quarantined=quarantine.count())
    log.info(
        "             %(n_rows)d rows = %(n_tracks)d tracks + %(n_duplicates)d duplicates "
        "+ %(n_quarantined)d quarantined",
        counts,
    )
    return Catalog(tracks, quarantine, counts["n_tracks"])


def _check_columns(names: list[str], columns: dict[str, str], *, settings: InputConfig) -> None:
    where = f"{settings.tracks}: {', '.join(names)}"
    unknown = [name for name in settings.id_from if name not in names]
    if unknown:
        raise InputError(f"input.id_from names columns that are not there: {', '.join(unknown)}", where=where)
    if "track_id" not in columns and not settings.id_from:
        raise InputError(
            "no column for track_id",
            where=where,
            todo='map it with [input.columns] track_id = "...", or make ids: input.id_from = ["artist", "title"]',
        )
    absent = [name for name in FEATURES if name not in columns]
    if len(FEATURES) - len(absent) < settings.min_features:
        raise InputError(
            f"only {len(FEATURES) - len(absent)} of 12 audio features have a column, {settings.min_features} are "
            f"needed; missing: {', '.join(absent)}",
            where=where,
            todo="map them with [input.columns], or lower input.min_features",
        )


def _as_counts(places: list[Row]) -> dict[str, Any]:
    by_place: Counter[str] = Counter()
    for row in places:
        by_place[row["place"]] += row["n_rows"]
    reasons = {row["reason"]: row["n_rows"] for row in places if row["place"] == "quarantine"}
    return {
        "n_rows": sum(by_place.values()),
        "n_tracks": by_place["track"],
        "n_duplicates": by_place["duplicate"],
        "n_quarantined": by_place["quarantine"],
        "quarantine_reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    }


def _check_collisions(places: list[Row]) -> None:
    n_collisions = sum(row["n_collisions"] or 0 for row in places)
    if n_collisions:
        raise InputError(
            f"{n_collisions} different ids share a 64-bit hash", todo="rename one of them, e.g. with a prefix"
        )


def _check_counts(counts: dict[str, Any], *, settings: InputConfig, quarantine_path: str) -> None:
    reasons = ", ".join(f"{reason} {n}" for reason, n in list(counts["quarantine_reasons"].items())[:4])
    if not counts["n_rows"]:
        raise InputError("the input has no rows", where=settings.tracks, todo="check the export")
    share = counts["n_quarantined"] / counts["n_rows"]
    if share > settings.max_quarantine_share or not counts["n_tracks"]:
        raise InputError(
            f"{counts['n_quarantined']} of {counts['n_rows']} rows are no usable song ({share:.1%}; at most "
            f"{settings.max_quarantine_share:.1%} is allowed): {reasons}",
            where=f"{settings.tracks}; the rows with their reasons: {quarantine_path}",
            todo="correct the export, or raise input.max_quarantine_share",
        )


def _check_sums(counts: dict[str, Any], *, n_tracks: int, n_quarantined: int) -> None:
    total = n_tracks + n_quarantined + counts["n_duplicates"]
    if total != counts["n_rows"]:
        raise QualityError(
            f"{counts['n_rows']} rows came in, but {n_tracks} tracks, {n_quarantined} quarantined rows and "
            f"{counts['n_duplicates']} duplicates were written",
            todo="the input changed while it was read, or this is a bug: run again",
        )
