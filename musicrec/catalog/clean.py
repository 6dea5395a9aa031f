"""Clean: the user's songs → tracks and quarantine, with sums that agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, Row

from musicrec.catalog.audit import audit_rows, count_verdicts, keep_quarantine, keep_tracks
from musicrec.catalog.sources import read_source
from musicrec.config import InputConfig
from musicrec.context import Context, log
from musicrec.errors import InputError, QualityError
from musicrec.spark.failures import input_errors
from musicrec.storage import datasets


@dataclass(frozen=True)
class Catalog:
    """The cleaned songs.

    Attributes
    ----------
    tracks, quarantine : DataFrame
        `schemas.TRACKS` and `schemas.QUARANTINE`.
    n_tracks : int
    counts : dict
        Rows by what became of them.
    columns : dict
        Canonical name -> source name.
    files : list of str
        The files that were read, the first thousand.
    """

    tracks: DataFrame
    quarantine: DataFrame
    n_tracks: int
    counts: dict[str, Any]
    columns: dict[str, str]
    files: list[str]


def write_catalog(context: Context) -> Catalog:
    """Clean the input into `work/`: every row ends as a track, a counted duplicate or in the quarantine.

    Raises
    ------
    InputError
        No rows, no usable song, or more quarantined rows than `input.max_quarantine_share`.
    QualityError
        The sums of what was written do not agree with the input.
    """
    settings = context.config.input
    with context.stage("clean"):
        with input_errors(settings.tracks):
            rows, columns = read_source(context.session, settings)
            # Cached: the counts and both outputs come from one reading of the input.
            audited = audit_rows(rows, columns=columns, settings=settings).persist()
            verdicts = count_verdicts(audited).collect()
        counts = _as_counts(verdicts)
        _check_collisions(verdicts)
        quarantine = context.write(keep_quarantine(audited), datasets.QUARANTINE)
        _check_counts(counts, settings=settings, quarantine_path=context.run.path(datasets.QUARANTINE))
        tracks = context.write(keep_tracks(audited), datasets.TRACKS)
        audited.unpersist()
        _check_sums(counts, n_tracks=tracks.count(), n_quarantined=quarantine.count())
        log.info(
            "%(n_rows)d rows = %(n_tracks)d tracks + %(n_duplicates)d duplicates + %(n_quarantined)d quarantined",
            counts,
        )
        files = sorted(rows.inputFiles())[:1000]
        return Catalog(tracks, quarantine, counts["n_tracks"], counts, columns, files)


def _as_counts(verdicts: list[Row]) -> dict[str, Any]:
    by_verdict: Counter[str] = Counter()
    for row in verdicts:
        by_verdict[row["verdict"]] += row["n_rows"]
    reasons = {row["reason"]: row["n_rows"] for row in verdicts if row["verdict"] == "quarantine"}
    return {
        "n_rows": sum(by_verdict.values()),
        "n_tracks": by_verdict["track"],
        "n_duplicates": by_verdict["duplicate"],
        "n_quarantined": by_verdict["quarantine"],
        "quarantine_reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    }


def _check_collisions(verdicts: list[Row]) -> None:
    n_collisions = sum(row["n_collisions"] or 0 for row in verdicts)
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
