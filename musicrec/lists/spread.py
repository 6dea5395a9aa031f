"""Spread: lists → lists in which songs that none holds get a place, and in how many of them songs stand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from musicrec.arrays import Ints, is_drawn
from musicrec.catalog.numbered import Numbered, each_part
from musicrec.context import Context, log
from musicrec.lists import spread_tasks
from musicrec.lists.list_files import ListFiles, OccurrenceFiles, RangeFiles
from musicrec.lists.places import (
    Counts,
    Histogram,
    add_counts,
    changed_histogram,
    choose_places,
    count_changes,
    is_among,
    measure_occurrence,
)
from musicrec.neighbors.search.rules import ListRules, make_rules
from musicrec.schemas import OCCURRENCES
from musicrec.spark.arrow import numbers
from musicrec.spark.partitions import partition_targets
from musicrec.storage import datasets
from musicrec.storage.datasets import Dataset
from musicrec.storage.rows import RowFiles

# Forgotten songs that get a place: the driver holds about a kilobyte of each.
MAX_FORGOTTEN = 2_000_000


@dataclass(frozen=True)
class Spread:
    """The lists of what is published, in how many of them songs stand, and figures of that, before and after.

    No list may hold `n_barred` of the songs.
    """

    lists: ListFiles
    occurrences: OccurrenceFiles
    figures: dict[str, Any]
    n_barred: int


@dataclass(frozen=True)
class _Counted:
    """The counts of each range of numbers in `files`, and the histogram of all."""

    files: RowFiles
    parts: list[int]
    histogram: Histogram
    n_barred: int

    @property
    def n_forgotten(self) -> int:
        """Songs in no list, though one may hold them."""
        return int(self.histogram.n_songs[self.histogram.n_lists == 0].sum()) - self.n_barred


@dataclass(frozen=True)
class _Places:
    """Songs with their new places, the counts of the songs that these change, and the histogram then."""

    guests: RangeFiles
    changed: RangeFiles
    histogram: Histogram


def write_spread(context: Context, lists: ListFiles) -> Spread:
    """Give songs that no list holds a place, where `lists.spread` is on; write in how many lists songs stand.

    Parameters
    ----------
    context : Context
    lists : ListFiles
        As `rank.write_lists` has written them.
    """
    n_songs = int(lists.numbered.firsts[-1])
    with context.stage("spread", n_rows=n_songs):
        counted = _count(context, lists)
        found = {"before": measure_occurrence(counted.histogram, n_songs=n_songs)}
        occurrences = OccurrenceFiles(counted.files)
        if context.config.lists.spread:
            found["after"] = found["before"]
            if counted.n_forgotten:
                places = _find_places(context, lists, counted)
                found["after"] = measure_occurrence(places.histogram, n_songs=n_songs)
                lists = lists.with_guests(places.guests)
                occurrences = OccurrenceFiles(counted.files, places.changed)
        for name, occurrence in found.items():
            log.info(
                "%s spreading %.2f %% of the songs in no list, skewness %.2f",
                name, 100 * occurrence.forgotten_share, occurrence.skewness,
            )  # fmt: skip
        figures = {name: asdict(occurrence) for name, occurrence in found.items()}
        return Spread(lists, occurrences, figures, counted.n_barred)


def _count(context: Context, lists: ListFiles) -> _Counted:
    written, numbered = context.files(datasets.OCCURRENCES), lists.numbered
    tallies = spread_tasks.as_tallies(
        context.numbers(numbered.n_ranges), lists=lists, targets=partition_targets(numbered.n_ranges)
    )
    rules = make_rules(context.config.lists)
    found = spread_tasks.write_occurrences(tallies, numbered=numbered, rules=rules, write=written.write).toArrow()
    n_barred = sum(found["n_barred"].to_pylist())
    return _Counted(written, sorted(found["part"].to_pylist()), spread_tasks.gather_counted(found), n_barred)


def _find_places(context: Context, lists: ListFiles, counted: _Counted) -> _Places:
    rules = make_rules(context.config.lists)
    offers = spread_tasks.gather_offers(
        spread_tasks.as_offers(
            context.numbers(lists.numbered.n_ranges),
            read_forgotten=partial(
                _read_forgotten,
                OccurrenceFiles(counted.files),
                lists.numbered,
                rules,
                _drawn_share(counted.n_forgotten),
            ),
            lists=lists,
            rules=rules,
        ).toArrow()
    )
    counts = _counts_of(counted, np.unique(offers.removed))
    chosen = offers.take(choose_places(offers, counts.of(offers.removed)))
    change = count_changes(chosen)
    # The guests are not among them: they stand in no list yet.
    before = counts.of(change.songs)
    after = before + change.n_lists
    changed = pa.table([change.songs, lists.numbered.keys(change.songs), after], names=OCCURRENCES.names)
    return _Places(
        _write_by_range(context, datasets.PLACES, spread_tasks.make_places(chosen), lists.numbered),
        _write_by_range(context, datasets.CHANGED, changed, lists.numbered),
        changed_histogram(counted.histogram, before=before, after=after),
    )


def _drawn_share(n_forgotten: int) -> float:
    """Return the share of the songs in no list that get a place: all, or as many as the driver can hold."""
    if n_forgotten <= MAX_FORGOTTEN:
        return 1.0
    log.warning("%d songs in no list are too many: about %d get no place", n_forgotten,
                n_forgotten - MAX_FORGOTTEN)  # fmt: skip
    return MAX_FORGOTTEN / n_forgotten


def _read_forgotten(
    occurrences: OccurrenceFiles, numbered: Numbered, rules: ListRules, share: float, part: int
) -> Ints:
    """Return a share of the songs of a range that stand in no list, though one may hold them, rising."""
    songs: Ints = numbered.firsts[part] + np.flatnonzero(occurrences.range(part) == 0)
    songs = songs[~rules.are_barred(numbered.facts(songs))]
    return songs[is_drawn(songs, share=share, seed=0)]


def _write_by_range(context: Context, dataset: Dataset, rows: pa.Table, numbered: Numbered) -> RangeFiles:
    """Write rows of the driver, a few of most ranges, by the number of the song in their first column."""
    files, parts = context.files(dataset), numbered.range_of(numbers(rows.column(0)))
    for part, some in each_part(parts):
        files.write(part, rows.take(pa.array(some)))
    return RangeFiles(files, frozenset(np.unique(parts).tolist()))


def _counts_of(counted: _Counted, songs: Ints) -> Counts:
    """Return the counts of a few songs, rising; read here, because a stage of Spark takes longer."""
    kept = []
    for part in counted.parts:
        table = counted.files.read_piece(part)
        found = is_among(numbers(table["song"]), songs)
        kept.append(Counts(*(numbers(table[name])[found] for name in ("song", "n_lists"))))
    return add_counts(kept)
