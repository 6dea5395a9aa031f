"""Clean: the user's songs → tracks and quarantine, with sums that agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.arrays import Ints
from musicrec.catalog import clean_tasks, recording_tasks
from musicrec.catalog.audit import ANY_YEAR
from musicrec.catalog.clean_tasks import rules_of
from musicrec.catalog.commonest import count_of_recording, measure_catalog
from musicrec.catalog.facts import counts_various
from musicrec.catalog.number import Ordered, choose_borders
from musicrec.catalog.recording_tasks import Pieces, Releases
from musicrec.catalog.refusals import check_counts
from musicrec.catalog.sources import read_source
from musicrec.context import Context, log
from musicrec.errors import QualityError, shorten
from musicrec.spark.arrow import numbers
from musicrec.spark.failures import input_errors
from musicrec.storage import datasets
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.arrow_files import ArrowFiles

NONE_BARRED = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Catalog:
    """The cleaned songs.

    Attributes
    ----------
    quarantine : DataFrame
        `schemas.QUARANTINE`.
    n_tracks : int
    counts : dict
        Rows by what became of them.
    columns : dict
        Canonical name -> source name.
    files : list of str
        The files that were read, the first thousand.
    ordered : Ordered
        The songs by their ids.
    is_one_recording : bool
        All of them are, or one work where a list holds each once.
    """

    quarantine: DataFrame
    n_tracks: int
    counts: dict[str, Any]
    columns: dict[str, str]
    files: list[str]
    ordered: Ordered
    is_one_recording: bool = False


def write_catalog(context: Context, *, barred: Ints = NONE_BARRED, newest_year: int = ANY_YEAR) -> Catalog:
    """Clean the input into `work/`: every row ends as a track, a counted duplicate or in the quarantine.

    Parameters
    ----------
    context : Context
    barred : int64 array, shape (n,)
        The keys of songs that no list holds, rising.
    newest_year : int
        No song is from after it.

    Raises
    ------
    InputError
        No rows, no usable song, or more quarantined rows than `input.max_quarantine_share`.
    QualityError
        The sums of what was written do not agree with the input, or it is no catalog by the gates of `[gates]`.
    """
    settings = context.config.input
    with context.stage("clean"):
        songs, names = ArrowFiles(context.run.place(datasets.SONGS)), context.arrays(datasets.NAMES)
        quarantine = context.files(datasets.QUARANTINE)
        with input_errors(settings.tracks):
            source = read_source(context.session, settings, lists=context.config.lists)
            for sentence in source.said:
                log.info(sentence)
            rules = rules_of(source, newest_year=newest_year)
            audited = clean_tasks.write_audited(
                source, rules, songs=songs, names=names, quarantine=quarantine
            ).toArrow()
        counts = _as_counts(audited)
        if not counts["n_quarantined"]:
            quarantine.write(0, clean_tasks.NO_QUARANTINE)
        check_counts(counts, source, told=f"the rows with their reasons: {quarantine.store.uri}")
        _tell_malformed(context, counts)
        ordered, written = _write_tracks(context, songs, names, audited, barred)
        counts["n_duplicates"] += sum(written["n_duplicates"].to_pylist())
        counts["n_tracks"] = int(ordered.firsts[-1])
        _check_sums(counts, n_tracks=counts["n_tracks"], n_quarantined=quarantine.count())
        log.info(
            "%(n_rows)d rows = %(n_tracks)d tracks + %(n_duplicates)d duplicates + %(n_quarantined)d quarantined",
            counts,
        )
        _tell_missing(counts)
        _judge(context, audited, written, source.meaning.columns)
        return Catalog(
            quarantine=context.read(datasets.QUARANTINE),
            n_tracks=counts["n_tracks"],
            counts=counts,
            columns=source.meaning.serving,
            files=list(source.rows.files[:1000]),
            ordered=ordered,
            is_one_recording=count_of_recording(written) == counts["n_tracks"],
        )


def _judge(context: Context, audited: pa.Table, written: pa.Table, columns: Collection[str]) -> None:
    listed_once = context.config.lists.listed_once
    measured = measure_catalog(
        audited, written, columns=columns, published=context.published, listed_once=listed_once
    )
    context.judge(measured)


def _write_tracks(
    context: Context, songs: ArrowFiles, names: ArrayFiles, audited: pa.Table, barred: Ints
) -> tuple[Ordered, pa.Table]:
    """Write the songs by range of ids; return them in order, and `messages.WRITTEN_TRACKS`."""
    filled = [row["piece"] for row in audited.sort_by("piece").to_pylist() if row["n_songs"]]
    ids, keys = clean_tasks.gather_drawn(audited)
    n_songs = sum(audited["n_songs"].to_pylist())
    first_ids = choose_borders(ids, n_songs=n_songs, k=context.config.neighbors.k)
    files, n_ranges = context.arrays(datasets.NUMBERED), len(first_ids) + 1
    pieces = Pieces(filled, songs, names)
    # What recordings and works are found by takes a quarter of what songs do.
    releases = Releases(context.arrays(datasets.RELEASES), n_parts=min(n_ranges, max(4, n_ranges // 4)))
    recording_tasks.write_releases(
        context.numbers(releases.n_parts),
        pieces,
        n_parts=releases.n_parts,
        first_ids=first_ids,
        files=releases.files,
    ).toArrow()
    written = clean_tasks.write_tracks(
        context.numbers(n_ranges),
        pieces,
        releases,
        first_ids=first_ids,
        tracks=context.files(datasets.TRACKS),
        numbered=files,
        rules=context.config.lists,
        barred=barred,
        with_various=counts_various(sum(audited["n_various"].to_pylist()), n_songs),
    ).toArrow()
    for dataset in (datasets.SONGS, datasets.NAMES, datasets.RELEASES):
        context.run.work.delete_all(dataset.name)
    firsts = np.concatenate([[0], np.cumsum(numbers(written.sort_by("piece")["n_rows"]))])
    return Ordered(files, firsts, first_ids, keys), written


def _as_counts(audited: pa.Table) -> dict[str, Any]:
    """Return what the rows are; songs of which several have one id count once for each piece."""
    reasons, missing = Counter[str](), Counter[str]()
    for row in audited.to_pylist():
        reasons.update(dict(zip(row["reasons"], row["n_refused"], strict=True)))
        missing.update(dict(zip(row["missing"], row["n_missing"], strict=True)))
    return {
        "n_rows": sum(audited["n_rows"].to_pylist()),
        "n_tracks": sum(audited["n_songs"].to_pylist()),
        "n_duplicates": sum(audited["n_duplicates"].to_pylist()),
        "n_quarantined": reasons.total(),
        "quarantine_reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        **({"invalid_values": dict(sorted(missing.items()))} if missing else {}),
    }


def _tell_malformed(context: Context, counts: dict[str, Any]) -> None:
    """Name some of the rows that could not be read: they are lost until somebody looks at them."""
    n = counts["quarantine_reasons"].get("malformed_row", 0)
    if n:
        malformed = context.read(datasets.QUARANTINE).where("reason = 'malformed_row'")
        for first in malformed.orderBy("source_file", F.length("row"), "row").limit(1).collect():
            file, told = first["source_file"].rsplit("/", 1)[-1], shorten(first["row"], length=120)
            log.warning("%d %s could not be read, such as %s, %s", n, "row" if n == 1 else "rows", file, told)


def _tell_missing(counts: dict[str, Any]) -> None:
    if found := counts.get("invalid_values"):
        told = ", ".join(f"{reason} {n}" for reason, n in list(found.items())[:4])
        log.warning("%d values break their rule and count as missing: %s", sum(found.values()), told)


def _check_sums(counts: dict[str, Any], *, n_tracks: int, n_quarantined: int) -> None:
    total = n_tracks + n_quarantined + counts["n_duplicates"]
    if total != counts["n_rows"]:
        raise QualityError(
            f"{counts['n_rows']} rows came in, but {n_tracks} tracks, {n_quarantined} quarantined rows and "
            f"{counts['n_duplicates']} duplicates were written",
            todo="the input changed while it was read, or this is a bug: run again",
        )
