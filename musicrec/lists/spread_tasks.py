"""Lists → in how many of them songs stand, and places for those that stand in none (`places.py`).

Tasks read keys, in a few passes over the lists' files; of texts only the ids of songs in no list move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from musicrec.arrays import Ints
from musicrec.lists.places import (
    NOTHING,
    Counts,
    Histogram,
    Offers,
    Room,
    SongLists,
    add_counts,
    add_histograms,
    as_histogram,
    count_places,
    find_offers,
    find_room,
)
from musicrec.schemas import COUNTED, OCCURRENCES, OFFERS, PLACES, ROOM, TALLIES, as_row, blob_of
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, Read, Write, each_number

# Rows of a block at most: a row of Spark stays at a megabyte.
_MAX_BLOCK_ROWS = 65_536
# Row groups that are counted together: most songs stand in several, and fewer counts of them are sent.
BUNDLED_GROUPS = 4
# What tasks read of a place, by its path in the file; counting needs no more than the first.
COUNTED_COLUMNS = ["track_key", "list.list.element.track_key"]
ROOM_COLUMNS = [
    *("track_key", "recording_key"),
    *(f"list.list.element.{name}" for name in ("negative_score", "recording_key", "track_key")),
]
OFFERED_COLUMNS = [*ROOM_COLUMNS, "track_id"]
ASKING_COLUMNS = ["host", "recording_key"]
NO_OCCURRENCES = pa.table([NOTHING, NOTHING], names=OCCURRENCES.names)


def as_tallies(bundles: DataFrame, *, n_groups: int, targets: Sequence[int], read: Read) -> DataFrame:
    """Return `schemas.TALLIES`: in how many lists of a bundle songs stand, 0 where only their own is in it.

    Parameters
    ----------
    bundles : DataFrame
        `id`, the numbers of bundles of `BUNDLED_GROUPS` row groups of `schemas.LISTS`, a partition each.
    n_groups : int
        Row groups of all bundles.
    targets : sequence of int
        For each range of keys a number that Spark's hash sends to its partition.
    read : callable
        Returns `COUNTED_COLUMNS` of a row group.
    """
    # A key is a hash: equal ranges hold about as many songs.
    bounds = np.linspace(-(2.0**63), 2.0**63, len(targets) + 1)[1:-1].astype(np.int64)

    def tally(bundle: int) -> Iterator[pa.RecordBatch]:
        groups = range(bundle * BUNDLED_GROUPS, min((bundle + 1) * BUNDLED_GROUPS, n_groups))
        counts = add_counts([_tally(read(group)) for group in groups])
        ends = [0, *np.searchsorted(counts.songs, bounds).tolist(), len(counts.songs)]
        for part, target in enumerate(targets):
            for first in range(ends[part], ends[part + 1], _MAX_BLOCK_ROWS):
                some = slice(first, min(first + _MAX_BLOCK_ROWS, ends[part + 1]))
                yield as_row(
                    TALLIES, target=target, part=part, songs=counts.songs[some], n_lists=counts.n_lists[some]
                )

    return bundles.mapInArrow(_each(tally), TALLIES)


def write_occurrences(tallies: DataFrame, *, n_parts: int, write: Write) -> DataFrame:
    """Write `schemas.OCCURRENCES` of each range of keys and return `schemas.COUNTED`.

    Parameters
    ----------
    tallies : DataFrame
        `schemas.TALLIES`.
    n_parts : int
        Ranges of keys.
    write : callable
        Stores the rows of a range.
    """

    def count(batches: Batches) -> Iterator[pa.RecordBatch]:
        held: dict[int, list[Counts]] = {}
        for batch in batches:
            for row in batch.to_pylist():
                held.setdefault(row["part"], []).append(Counts(*_numbers_of(TALLIES, row, "songs", "n_lists")))
        for part in sorted(held):
            counts = add_counts(held.pop(part))
            write(part, pa.table([counts.songs, counts.n_lists], names=OCCURRENCES.names))
            histogram = as_histogram(counts.n_lists)
            forgotten = counts.songs[counts.n_lists == 0]
            yield as_row(
                COUNTED, part=part, forgotten=forgotten, n_lists=histogram.n_lists, n_songs=histogram.n_songs
            )

    return tallies.repartition(n_parts, "target").mapInArrow(count, COUNTED)


def gather_counted(counted: pa.Table) -> tuple[Ints, Histogram]:
    """Return the songs that stand in no list, rising, and the histogram of all, from `schemas.COUNTED`."""
    rows = counted.sort_by("part").to_pylist()
    forgotten = np.concatenate([NOTHING, *[_numbers_of(COUNTED, row, "forgotten")[0] for row in rows]])
    histogram = add_histograms([Histogram(*_numbers_of(COUNTED, row, "n_lists", "n_songs")) for row in rows])
    return forgotten, histogram


def as_offers(groups: DataFrame, *, forgotten: Ints, read: Read) -> DataFrame:
    """Return `schemas.OFFERS` of the forgotten songs, given `OFFERED_COLUMNS` of each row group.

    Parameters
    ----------
    groups : DataFrame
        `id`, the numbers of row groups of `schemas.LISTS`.
    forgotten : int64 array, shape (n,)
        Keys, rising.
    read : callable
        Returns `OFFERED_COLUMNS` of a row group.
    """

    def offer(table: pa.Table) -> Iterator[pa.RecordBatch]:
        found = find_offers(as_song_lists(table), forgotten)
        guests = pa.array(found.guests)
        ids = table["track_id"].combine_chunks().take(pc.index_in(guests, table["track_key"].combine_chunks()))
        columns = [guests, ids, *map(pa.array, (found.recordings, found.scores, found.hosts))]
        yield pa.RecordBatch.from_arrays(columns, names=OFFERS.names)

    return groups.mapInArrow(_each(lambda group: offer(read(group))), OFFERS)


def gather_offers(offers: pa.Table) -> Offers:
    """Return the arrays of `schemas.OFFERS`, row by row."""
    columns = (numbers(offers[name]) for name in ("guest", "recording_key", "score", "host"))
    return Offers(*columns)


def as_room(groups: DataFrame, *, read_offers: Callable[[], pa.Table], k: int, read: Read) -> DataFrame:
    """Return `schemas.ROOM` of the offers.

    Parameters
    ----------
    groups : DataFrame
        `id`, the numbers of row groups of `schemas.LISTS`.
    read_offers : callable
        Returns `ASKING_COLUMNS` of all offers, by host: they are too many to travel with each task.
    k : int
    read : callable
        Returns `ROOM_COLUMNS` of a row group.
    """

    def make_room(table: pa.Table) -> Iterator[pa.RecordBatch]:
        offers = read_offers()
        room = find_room(as_song_lists(table), *(numbers(offers[name]) for name in ASKING_COLUMNS), k=k)
        columns = [pa.array(each) for each in (room.offers, room.has_room, room.removed)]
        yield pa.RecordBatch.from_arrays(columns, names=ROOM.names)

    return groups.mapInArrow(_each(lambda group: make_room(read(group))), ROOM)


def gather_room(room: pa.Table) -> Room:
    """Return the arrays of `schemas.ROOM`, by offer."""
    table = room.sort_by("offer")
    columns = (numbers(table[name]) for name in ROOM.names)
    return Room(*columns)


def make_places(offers: pa.Table, room: Room, chosen: Ints) -> pa.Table:
    """Return `schemas.PLACES` of some rows of `room`, given `schemas.OFFERS` as they were asked for it.

    Parameters
    ----------
    offers : pyarrow.Table
        `schemas.OFFERS`.
    room : Room
    chosen : int64 array, shape (n,)
        Rows of `room`.
    """
    rows = offers.take(pa.array(room.offers[chosen]))
    columns = {
        "host": rows["host"],
        "removed": pa.array(room.removed[chosen], mask=room.has_room[chosen]),
        "guest": rows["guest"],
        "guest_id": rows["guest_id"],
        "recording_key": rows["recording_key"],
        "negative_score": pc.negate(rows["score"]),
    }
    return pa.table(columns).select(PLACES.names)


def as_spread_lists(lists: DataFrame, *, places: DataFrame) -> DataFrame:
    """Return `schemas.LISTS` with the guests of `schemas.PLACES`, which are few, best first."""
    joined = lists.join(
        F.broadcast(places.withColumnRenamed("recording_key", "guest_recording")),
        on=F.col("track_key") == F.col("host"),
        how="left",
    )
    guest = F.struct(
        "negative_score",
        F.col("guest_id").alias("track_id"),
        F.col("guest_recording").alias("recording_key"),
        F.col("guest").alias("track_key"),
    )
    stay = F.filter("list", lambda place: ~place["track_key"].eqNullSafe(F.col("removed")))
    with_guest = F.sort_array(F.concat(stay, F.array(guest)))
    now = F.when(F.col("guest").isNull(), F.col("list")).otherwise(with_guest)
    return joined.select("track_key", "track_id", "recording_key", now.alias("list"))


def as_changed(occurrences: DataFrame, *, changed: DataFrame) -> DataFrame:
    """Return `schemas.OCCURRENCES` with the numbers of `changed`, of the same schema, where it has the song."""
    new = changed.withColumnRenamed("n_lists", "now")
    joined = occurrences.join(F.broadcast(new), on="track_key", how="left")
    return joined.select("track_key", F.coalesce("now", "n_lists").alias("n_lists"))


def as_song_lists(table: pa.Table) -> SongLists:
    """Return the arrays of `ROOM_COLUMNS`."""
    places = _places(table)
    lengths = table["list"].combine_chunks().value_lengths()
    return SongLists(
        numbers(table["track_key"]),
        numbers(table["recording_key"]),
        np.concatenate([[0], np.cumsum(numbers(lengths), dtype=np.int64)]),
        numbers(places.field("track_key")),
        numbers(places.field("recording_key")),
        -numbers(places.field("negative_score")),
    )


def _each(make: Callable[[int], Iterator[pa.RecordBatch]]) -> Callable[[Batches], Batches]:
    def make_batches(batches: Batches) -> Batches:
        for number in each_number(batches):
            yield from make(number)

    return make_batches


def _tally(table: pa.Table) -> Counts:
    return count_places(numbers(table["track_key"]), numbers(_places(table).field("track_key")))


def _places(table: pa.Table) -> pa.StructArray:
    return table["list"].combine_chunks().flatten()


def _numbers_of(schema: StructType, row: dict[str, Any], *names: str) -> list[Ints]:
    return [blob_of(schema, name, row[name]) for name in names]
