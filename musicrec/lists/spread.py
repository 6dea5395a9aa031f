"""Places for songs that no list holds: lists → lists, and in how many of them songs stand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from musicrec import schemas
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
from musicrec.spark.arrow import numbers
from musicrec.spark.partitions import partition_targets
from musicrec.storage import tables
from musicrec.storage.rows import RowFiles, TableFiles

# Forgotten songs that get a place: the driver holds about a kilobyte of each.
MAX_FORGOTTEN = 2_000_000
# Songs of a range of keys: its task holds their counts in each piece, 60 bytes for each place at most.
MAX_RANGE_SONGS = 250_000


@dataclass(frozen=True)
class Spread:
    """`schemas.LISTS` and `schemas.OCCURRENCES` of what is published."""

    lists: DataFrame
    occurrences: DataFrame


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


def spread_lists(context: Context, catalog: Catalog, lists: DataFrame) -> Spread:
    """Give songs that no list holds a place, where `neighbors.spread` is on; record how songs occur.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    lists : DataFrame
        `schemas.LISTS`, as `rank_lists` has written them.
    """
    files = TableFiles.find(Path(context.run.table("lists")))
    n_songs = catalog.n_tracks
    counted = _count(context, files, n_songs=n_songs)
    record = {"before": measure_occurrence(counted.histogram, n_songs=n_songs)}
    if not counted.parts:
        counted.files.write(0, spread_tasks.NO_OCCURRENCES)
    occurrences = tables.read_table(context.session, str(counted.files.directory), schema=schemas.OCCURRENCES)
    if context.config.neighbors.spread:
        record["after"] = record["before"]
        if len(counted.forgotten):
            found = _find_places(context, files, counted)
            record["after"] = measure_occurrence(found.histogram, n_songs=n_songs)
            lists = spread_tasks.as_spread_lists(lists, places=found.places)
            occurrences = spread_tasks.as_changed(occurrences, changed=found.changed)
    context.record["occurrence"] = {name: asdict(occurrence) for name, occurrence in record.items()}
    for name, occurrence in record.items():
        log.info(
            "             %s spreading %.2f %% of the songs in no list, k-occurrence skewness %.2f",
            name, 100 * occurrence.forgotten_share, occurrence.skewness,
        )  # fmt: skip
    return Spread(lists, occurrences)


def _count(context: Context, files: TableFiles, *, n_songs: int) -> _Counted:
    n_parts = max(1, -(-n_songs // MAX_RANGE_SONGS))
    written, n_pieces = context.files("occurrences"), len(files.pieces)
    tallies = spread_tasks.as_tallies(
        context.tasks(-(-n_pieces // spread_tasks.TALLIED_PIECES)),
        n_pieces=n_pieces,
        targets=partition_targets(n_parts),
        read=partial(files.read_piece, columns=spread_tasks.COUNTED_COLUMNS),
    )
    found = spread_tasks.as_counted(tallies, n_parts=n_parts, write=written.write).toArrow()
    forgotten, histogram = spread_tasks.gather_counted(found)
    return _Counted(written, sorted(found["part"].to_pylist()), forgotten, histogram)


def _find_places(context: Context, files: TableFiles, counted: _Counted) -> _Places:
    pieces = context.tasks(len(files.pieces))
    # Keys are hashes: the first are a fair draw.
    forgotten = counted.forgotten[:MAX_FORGOTTEN]
    if len(forgotten) < len(counted.forgotten):
        log.warning("             %d songs in no list are too many: %d get no place", len(counted.forgotten),
                    len(counted.forgotten) - len(forgotten))  # fmt: skip
    offered = (
        spread_tasks.as_offers(
            pieces, forgotten=forgotten, read=partial(files.read_piece, columns=spread_tasks.OFFERED_COLUMNS)
        )
        .toArrow()
        .sort_by([("host", "ascending"), ("guest", "ascending")])
    )
    offers, stored = spread_tasks.gather_offers(offered), context.files("offers")
    stored.write(0, offered)
    room = spread_tasks.gather_room(
        spread_tasks.as_room(
            pieces,
            read_offers=partial(stored.read_piece, 0, columns=spread_tasks.ASKING_COLUMNS),
            k=context.config.neighbors.k,
            read=partial(files.read_piece, columns=spread_tasks.ROOM_COLUMNS),
        ).toArrow()
    )
    counts = _counts_of(counted, np.unique(room.removed))
    chosen = choose_places(offers, room, counts.of(room.removed))
    change = count_changes(offers, room, chosen)
    # The guests are not among them: they stand in no list yet.
    before = counts.of(change.songs)
    after = before + change.n_lists
    changed = pa.table([change.songs, after], names=schemas.OCCURRENCES.names)
    return _Places(
        _written(context, "places", spread_tasks.make_places(offered, room, chosen), schemas.PLACES),
        _written(context, "changed", changed, schemas.OCCURRENCES),
        changed_histogram(counted.histogram, before=before, after=after),
    )


def _counts_of(counted: _Counted, songs: Ints) -> Counts:
    """Return the counts of a few songs, rising; read here, because a stage of Spark takes longer."""
    kept = []
    for part in counted.parts:
        table = counted.files.read_piece(part)
        found = is_among(numbers(table["track_key"]), songs)
        kept.append(Counts(*(numbers(table[name])[found] for name in schemas.OCCURRENCES.names)))
    return add_counts(kept)


def _written(context: Context, name: str, rows: pa.Table, schema: StructType) -> DataFrame:
    """Return rows of the driver as a table; in a file, so that no plan holds them."""
    files = context.files(name)
    files.write(0, rows)
    return tables.read_table(context.session, str(files.directory), schema=schema)
