"""Spread: lists → lists in which songs that none holds get a place, and in how many of them songs stand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.arrays import Ints
from musicrec.catalog.clean import Catalog
from musicrec.context import Context, log
from musicrec.lists import spread_tasks
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
from musicrec.schemas import OCCURRENCES
from musicrec.spark.arrow import numbers
from musicrec.spark.partitions import partition_targets
from musicrec.storage import datasets
from musicrec.storage.datasets import Dataset
from musicrec.storage.rows import RowFiles, TableFiles

# Forgotten songs that get a place: the driver holds about a kilobyte of each.
MAX_FORGOTTEN = 2_000_000
# Songs of a range of keys: its task holds their counts in each row group, 60 bytes for each place at most.
MAX_RANGE_SONGS = 250_000


@dataclass(frozen=True)
class Spread:
    """`schemas.LISTS` and `schemas.OCCURRENCES` of what is published, and how songs occur, before and after."""

    lists: DataFrame
    occurrences: DataFrame
    figures: dict[str, Any]


@dataclass(frozen=True)
class _Counted:
    """The counts of each range of keys in `files`, the songs in no list, rising, and the histogram of all."""

    files: RowFiles
    parts: list[int]
    forgotten: Ints
    histogram: Histogram


@dataclass(frozen=True)
class _Places:
    """`schemas.PLACES`, the counts of the songs that they change, and the histogram then."""

    places: DataFrame
    changed: DataFrame
    histogram: Histogram


def write_spread(context: Context, catalog: Catalog, lists: DataFrame) -> Spread:
    """Give songs that no list holds a place, where `neighbors.spread` is on; write in how many lists songs stand.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    lists : DataFrame
        `schemas.LISTS`, as `rank.write_lists` has written them.
    """
    with context.stage("spread", n_rows=catalog.n_tracks):
        groups, n_songs = context.groups(datasets.LISTS), catalog.n_tracks
        counted = _count(context, groups, n_songs=n_songs)
        found = {"before": measure_occurrence(counted.histogram, n_songs=n_songs)}
        if not counted.parts:
            counted.files.write(0, spread_tasks.NO_OCCURRENCES)
        occurrences = context.read(datasets.OCCURRENCES)
        if context.config.neighbors.spread:
            found["after"] = found["before"]
            if len(counted.forgotten):
                places = _find_places(context, groups, counted)
                found["after"] = measure_occurrence(places.histogram, n_songs=n_songs)
                lists = spread_tasks.as_spread_lists(lists, places=places.places)
                occurrences = spread_tasks.as_changed(occurrences, changed=places.changed)
        for name, occurrence in found.items():
            log.info(
                "%s spreading %.2f %% of the songs in no list, skewness %.2f",
                name, 100 * occurrence.forgotten_share, occurrence.skewness,
            )  # fmt: skip
        figures = {name: asdict(occurrence) for name, occurrence in found.items()}
        return Spread(lists, occurrences, figures)


def _count(context: Context, groups: TableFiles, *, n_songs: int) -> _Counted:
    n_parts = max(1, -(-n_songs // MAX_RANGE_SONGS))
    written, n_groups = context.files(datasets.OCCURRENCES), len(groups.groups)
    tallies = spread_tasks.as_tallies(
        context.numbers(-(-n_groups // spread_tasks.BUNDLED_GROUPS)),
        n_groups=n_groups,
        targets=partition_targets(n_parts),
        read=partial(groups.read_group, columns=spread_tasks.COUNTED_COLUMNS),
    )
    found = spread_tasks.write_occurrences(tallies, n_parts=n_parts, write=written.write).toArrow()
    forgotten, histogram = spread_tasks.gather_counted(found)
    return _Counted(written, sorted(found["part"].to_pylist()), forgotten, histogram)


def _find_places(context: Context, groups: TableFiles, counted: _Counted) -> _Places:
    group_numbers = context.numbers(len(groups.groups))
    # Keys are hashes: the first are a fair draw.
    forgotten = counted.forgotten[:MAX_FORGOTTEN]
    if len(forgotten) < len(counted.forgotten):
        log.warning("%d songs in no list are too many: %d get no place", len(counted.forgotten),
                    len(counted.forgotten) - len(forgotten))  # fmt: skip
    offered = (
        spread_tasks.as_offers(
            group_numbers,
            forgotten=forgotten,
            read=partial(groups.read_group, columns=spread_tasks.OFFERED_COLUMNS),
        )
        .toArrow()
        .sort_by([("host", "ascending"), ("guest", "ascending")])
    )
    offers, stored = spread_tasks.gather_offers(offered), context.files(datasets.OFFERS)
    stored.write(0, offered)
    room = spread_tasks.gather_room(
        spread_tasks.as_room(
            group_numbers,
            read_offers=partial(stored.read_piece, 0, columns=spread_tasks.ASKING_COLUMNS),
            k=context.config.neighbors.k,
            read=partial(groups.read_group, columns=spread_tasks.ROOM_COLUMNS),
        ).toArrow()
    )
    counts = _counts_of(counted, np.unique(room.removed))
    chosen = choose_places(offers, room, counts.of(room.removed))
    change = count_changes(offers, room, chosen)
    # The guests are not among them: they stand in no list yet.
    before = counts.of(change.songs)
    after = before + change.n_lists
    changed = pa.table([change.songs, after], names=OCCURRENCES.names)
    return _Places(
        _write_rows(context, datasets.PLACES, spread_tasks.make_places(offered, room, chosen)),
        _write_rows(context, datasets.CHANGED, changed),
        changed_histogram(counted.histogram, before=before, after=after),
    )


def _counts_of(counted: _Counted, songs: Ints) -> Counts:
    """Return the counts of a few songs, rising; read here, because a stage of Spark takes longer."""
    kept = []
    for part in counted.parts:
        table = counted.files.read_piece(part)
        found = is_among(numbers(table["track_key"]), songs)
        kept.append(Counts(*(numbers(table[name])[found] for name in OCCURRENCES.names)))
    return add_counts(kept)


def _write_rows(context: Context, dataset: Dataset, rows: pa.Table) -> DataFrame:
    """Write rows of the driver and return them as a table; from a file, so that no plan holds them."""
    context.files(dataset).write(0, rows)
    return context.read(dataset)
