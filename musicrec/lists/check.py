"""Check: what is about to be published, read back. A status per song, and what is wrong with its list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pyspark.sql import functions as F

from musicrec.catalog.clean import Catalog
from musicrec.catalog.numbered import Numbered
from musicrec.config_lists import ListsConfig
from musicrec.context import Context, log
from musicrec.errors import QualityError
from musicrec.gates import Measured
from musicrec.lists import check_tasks
from musicrec.lists.check_tasks import Why, Written
from musicrec.lists.list_files import ListFiles
from musicrec.lists.short_tasks import count_facts
from musicrec.neighbors.search.rules import make_rules
from musicrec.spark.partitions import partition_targets
from musicrec.spark.tasks import records_in
from musicrec.storage import datasets
from musicrec.storage.rows import FileRecord, RowFiles


def write_status(context: Context, catalog: Catalog, lists: ListFiles) -> tuple[dict[str, Any], list[FileRecord]]:
    """Read the recommendations back, check them, write `schemas.STATUS`; return counts and the files' records.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    lists : ListFiles
        Of which `schemas.RECOMMENDATIONS` were made.

    Raises
    ------
    QualityError
        A list breaks a promise: names the first of them. Or more songs have no list than `[gates]` allows.
    """
    with context.stage("check", n_rows=catalog.n_tracks):
        written = Written(
            recommendations=context.files(datasets.RECOMMENDATIONS),
            status=context.files(datasets.STATUS),
            refused=_write_refused(context, catalog, lists.numbered),
        )
        rows = check_tasks.write_checked(
            context.numbers(lists.numbered.n_ranges), lists=lists, why=_why(context, catalog, lists),
            written=written,
        ).toArrow()  # fmt: skip
        checked = rows.to_pylist()
        _check_problems(checked)
        counts: dict[str, Any] = {name: sum(row[name] for row in checked) for name in check_tasks.COUNTS}
        counts["short_list_rules"] = dict(_tallied(checked, "why_short").most_common())
        n_songs = counts["n_recommended"] + counts["n_not_recommended"]
        if n_songs != catalog.n_tracks:
            raise QualityError(f"{catalog.n_tracks} songs, but a status for {n_songs}")
        if n_short := counts["n_short_lists"]:
            rules = "; ".join(f"{rule} {n}" for rule, n in list(counts["short_list_rules"].items())[:4])
            log.warning(
                "%d lists have fewer than %d songs (%s); their reasons stand in status", n_short, lists.k, rules
            )
        share = counts["n_not_recommended"] / n_songs
        told = f"{share:.1%} of {n_songs} songs have no list{_commonest_reason(checked)}"
        context.judge([Measured("max_unlisted", share, n_songs, told)])
        return counts, records_in(rows)


def _why(context: Context, catalog: Catalog, lists: ListFiles) -> Why:
    """Return what tells why lists are short; songs are counted only where some may be."""
    settings = context.config.lists
    rules, of_all = make_rules(settings), _why_no_list(catalog, settings)
    tallies = count_facts(context, lists.numbered, rules, k=lists.k) if lists.is_any_short and not of_all else []
    return Why(of_all, settings, rules, tallies)


def _commonest_reason(checked: Sequence[dict[str, Any]]) -> str:
    """Return why most of the songs without a list have none, as the end of a sentence."""
    n_songs = _tallied(checked, "why_none")
    return f": {min(n_songs, key=lambda reason: (-n_songs[reason], reason))}" if n_songs else ""


def _tallied(checked: Sequence[dict[str, Any]], name: str) -> Counter[str]:
    """Return how many songs all ranges have of each reason of a column."""
    n_songs = Counter[str]()
    for row in checked:
        n_songs.update(dict(zip(row[name], row[f"n_{name}"], strict=True)))
    return Counter(dict(sorted(n_songs.items())))


def _why_no_list(catalog: Catalog, settings: ListsConfig) -> str:
    """Return why no song has a list; empty where some have one."""
    if catalog.n_tracks == 1:
        return "no_other_song"
    reasons = {"work_key": "no_other_work", "recording_key": "no_other_recording"}
    return reasons.get(settings.listed_once if catalog.is_one_recording else "", "")


def _write_refused(context: Context, catalog: Catalog, numbered: Numbered) -> tuple[RowFiles, frozenset[int]]:
    """Write the ids of the quarantine by range of songs; return the files, and the ranges that have any."""
    files = context.files(datasets.REFUSED)
    if not catalog.counts["n_quarantined"]:
        return files, frozenset()
    named = catalog.quarantine.where("track_id IS NOT NULL")
    refused = named.groupBy("track_id").agg(F.min("reason").alias("reason"))
    targets = partition_targets(numbered.n_ranges)
    written = check_tasks.write_refused(refused, numbered=numbered, targets=targets, files=files).toArrow()
    return files, frozenset(written["piece"].to_pylist())


def _check_problems(checked: Sequence[dict[str, Any]]) -> None:
    n_songs, examples = Counter[str](), dict[str, str]()
    for row in checked:
        for problem, n, example in zip(row["problems"], row["n_songs"], row["examples"], strict=True):
            n_songs[problem] += n
            examples[problem] = min(example, examples.get(problem, example))
    found = [f"{problem} ({n_songs[problem]} songs, e.g. {examples[problem]})" for problem in n_songs]
    if found:
        raise QualityError("the lists are not fit to publish: " + "; ".join(found[:3]))
