"""Lists → in how many of them songs stand, and places for those that stand in none (`places.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from musicrec.arrays import NO_SONG, Ints
from musicrec.catalog.numbered import Numbered
from musicrec.lists.list_files import ListFiles
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
    is_among,
)
from musicrec.messages import COUNTED, ROOM, TALLIES, as_row, blob_of
from musicrec.schemas import OCCURRENCES, OFFERS, PLACES
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import MAX_BLOCK_ROWS, Batches, Write, each_block, each_number

# What tasks read of the offers of all songs.
ASKING_COLUMNS = ["host", "recording_key"]


def as_tallies(ranges: DataFrame, *, lists: ListFiles, targets: Sequence[int]) -> DataFrame:
    """Return `messages.TALLIES`: in how many lists of a range songs stand, 0 where only their own is in it.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the numbers of the ranges, a partition each.
    lists : ListFiles
    targets : sequence of int
        For each range a number that Spark's hash sends to its partition.
    """

    def tally(part: int) -> Iterator[pa.RecordBatch]:
        found = as_song_lists(lists, part)
        counts = count_places(found.songs, found.places)
        ends = np.searchsorted(counts.songs, lists.numbered.firsts).tolist()
        for owner, target in enumerate(targets):
            for first in range(ends[owner], ends[owner + 1], MAX_BLOCK_ROWS):
                some = slice(first, min(first + MAX_BLOCK_ROWS, ends[owner + 1]))
                yield as_row(
                    TALLIES, target=target, part=owner, songs=counts.songs[some], n_lists=counts.n_lists[some]
                )

    return ranges.mapInArrow(_each(tally), TALLIES)


def write_occurrences(tallies: DataFrame, *, numbered: Numbered, write: Write) -> DataFrame:
    """Write `schemas.OCCURRENCES` of each range and return `messages.COUNTED`.

    Parameters
    ----------
    tallies : DataFrame
        `messages.TALLIES`.
    numbered : Numbered
    write : callable
        Stores the rows of a range.
    """

    def count(batches: Batches) -> Iterator[pa.RecordBatch]:
        for part, rows in each_block(batches):
            counts = add_counts([Counts(*_numbers_of(TALLIES, row, "songs", "n_lists")) for row in rows])
            keys = numbered.keys(counts.songs)
            write(part, pa.table([counts.songs, keys, counts.n_lists], names=OCCURRENCES.names))
            histogram = as_histogram(counts.n_lists)
            forgotten = counts.songs[counts.n_lists == 0]
            yield as_row(
                COUNTED, part=part, forgotten=forgotten, n_lists=histogram.n_lists, n_songs=histogram.n_songs
            )

    return tallies.repartition(numbered.n_ranges, "target").mapInArrow(count, COUNTED)


def gather_counted(counted: pa.Table) -> tuple[Ints, Histogram]:
    """Return the songs that stand in no list, rising, and the histogram of all, from `messages.COUNTED`."""
    rows = counted.sort_by("part").to_pylist()
    forgotten = np.concatenate([NOTHING, *[_numbers_of(COUNTED, row, "forgotten")[0] for row in rows]])
    histogram = add_histograms([Histogram(*_numbers_of(COUNTED, row, "n_lists", "n_songs")) for row in rows])
    return forgotten, histogram


def as_offers(ranges: DataFrame, *, forgotten: Ints, lists: ListFiles) -> DataFrame:
    """Return `schemas.OFFERS` of the forgotten songs.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the numbers of the ranges.
    forgotten : int64 array, shape (n,)
        Numbers, rising.
    lists : ListFiles
    """

    def offer(part: int) -> Iterator[pa.RecordBatch]:
        found = find_offers(as_song_lists(lists, part, of=forgotten), forgotten)
        columns = map(pa.array, (found.guests, found.recordings, found.scores, found.hosts))
        yield pa.RecordBatch.from_arrays(list(columns), names=OFFERS.names)

    return ranges.mapInArrow(_each(offer), OFFERS)


def gather_offers(offers: pa.Table) -> Offers:
    """Return the arrays of `schemas.OFFERS`, row by row."""
    columns = (numbers(offers[name]) for name in ("guest", "recording_key", "score", "host"))
    return Offers(*columns)


def as_room(ranges: DataFrame, *, read_offers: Callable[[], pa.Table], lists: ListFiles) -> DataFrame:
    """Return `messages.ROOM` of the offers.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the numbers of the ranges.
    read_offers : callable
        Returns `ASKING_COLUMNS` of all offers, by host: they are too many to travel with each task.
    lists : ListFiles
    """

    def make_room(part: int) -> Iterator[pa.RecordBatch]:
        offers = read_offers()
        hosts, recordings = (numbers(offers[name]) for name in ASKING_COLUMNS)
        room = find_room(as_song_lists(lists, part, of=hosts), hosts, recordings, k=lists.k)
        columns = [pa.array(each) for each in (room.offers, room.has_room, room.removed)]
        yield pa.RecordBatch.from_arrays(columns, names=ROOM.names)

    return ranges.mapInArrow(_each(make_room), ROOM)


def gather_room(room: pa.Table) -> Room:
    """Return the arrays of `messages.ROOM`, by offer."""
    table = room.sort_by("offer")
    columns = (numbers(table[name]) for name in ROOM.names)
    return Room(*columns)


def make_places(offers: Offers, room: Room, chosen: Ints) -> pa.Table:
    """Return `schemas.PLACES` of some rows of `room`, by host.

    Parameters
    ----------
    offers : Offers
    room : Room
    chosen : int64 array, shape (n,)
        Rows of `room`.
    """
    rows = offers.take(room.offers[chosen])
    removed = np.where(room.has_room[chosen], NO_SONG, room.removed[chosen])
    order = np.argsort(rows.hosts)
    columns = (each[order] for each in (rows.hosts, removed, rows.guests, rows.scores))
    return pa.Table.from_arrays([pa.array(column) for column in columns], names=PLACES.names)


def as_song_lists(lists: ListFiles, part: int, *, of: Ints | None = None) -> SongLists:
    """Return the lists of a range, or those of some of its songs, with the recordings of all places.

    Parameters
    ----------
    lists : ListFiles
    part : int
    of : int64 array, shape (n,), optional
        Numbers, rising, of other ranges too.
    """
    songs = np.arange(*lists.numbered.firsts[part : part + 2])
    if of is not None:
        songs = songs[is_among(songs, of)]
    found = lists.range(part) if of is None else lists.of(songs)
    is_taken = found.places != NO_SONG
    places = found.places[is_taken].astype(np.int64)
    nothing = np.empty(0, dtype=np.int64)
    # Recordings are looked up for few lists only.
    recordings, of_places = (nothing, nothing) if of is None else map(lists.numbered.recordings, (songs, places))
    starts = np.concatenate([[0], np.cumsum(is_taken.sum(axis=1))])
    return SongLists(songs, recordings, starts, places, of_places, found.scores[is_taken])


def _each(make: Callable[[int], Iterator[pa.RecordBatch]]) -> Callable[[Batches], Batches]:
    def make_batches(batches: Batches) -> Batches:
        for number in each_number(batches):
            yield from make(number)

    return make_batches


def _numbers_of(schema: StructType, row: dict[str, Any], *names: str) -> list[Ints]:
    return [blob_of(schema, name, row[name]) for name in names]
