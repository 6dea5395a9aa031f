"""Lists → in how many of them songs stand, and places for those that stand in none (`algorithms/spreading.py`).

Tasks read keys, in a few passes over the lists' files; of texts only the ids of songs in no list move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

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
from musicrec.schemas import COUNTED, OCCURRENCES, OFFERS, PLACES, ROOM, TALLIES
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, Read, Write

# Rows of a block at most: a row of Spark stays at a megabyte.
_MAX_BLOCK_ROWS = 65_536
# Pieces that are counted together: most songs stand in several, and what counts of them must be sent gets less.
TALLIED_PIECES = 4
# What tasks read of a place, by its path in the file; counting needs no more than the first.
COUNTED_COLUMNS = ["track_key", "list.list.element.track_key"]
ROOM_COLUMNS = [
    *("track_key", "recording_key"),
    *(f"list.list.element.{name}" for name in ("negative_score", "recording_key", "track_key")),
]
OFFERED_COLUMNS = [*ROOM_COLUMNS, "track_id"]
ASKING_COLUMNS = ["host", "recording_key"]
NO_OCCURRENCES = pa.table([NOTHING, NOTHING], names=OCCURRENCES.names)


def as_tallies(groups: DataFrame, *, n_pieces: int, targets: Sequence[int], read: Read) -> DataFrame:
    """Return `schemas.TALLIES`: in how many lists of a group songs stand, 0 where only their own is in it.

    Parameters
    ----------
    groups : DataFrame
        `id`, the numbers of groups of `TALLIED_PIECES` pieces of `schemas.LISTS`, a partition each.
    n_pieces : int
        Of all groups.
    targets : sequence of int
        For each range of keys a number that Spark's hash sends to its partition.
    read : callable
        Returns `COUNTED_COLUMNS` of a piece.
    """
    # A key is a hash: equal ranges hold about as many songs.
    bounds = np.linspace(-(2.0**63), 2.0**63, len(targets) + 1)[1:-1].astype(np.int64)

    def tally(group: int) -> Iterator[pa.RecordBatch]:
        pieces = range(group * TALLIED_PIECES, min((group + 1) * TALLIED_PIECES, n_pieces))
        counts = add_counts([_tally(read(piece)) for piece in pieces])
        ends = [0, *np.searchsorted(counts.songs, bounds).tolist(), len(counts.songs)]
        for part, target in enumerate(targets):
            for first in range(ends[part], ends[part + 1], _MAX_BLOCK_ROWS):
                some = slice(first, min(first + _MAX_BLOCK_ROWS, ends[part + 1]))
                yield _batch(TALLIES.names, target, part, counts.songs[some], counts.n_lists[some])

    return groups.mapInArrow(_each(tally), TALLIES)


def as_counted(tallies: DataFrame, *, n_parts: int, write: Write) -> DataFrame:
    """Write `schemas.OCCURRENCES` of each range of keys and return `schemas.COUNTED`."""

    def count(batches: Batches) -> Iterator[pa.RecordBatch]:
        held: dict[int, list[Counts]] = {}
        for batch in batches:
            for row in batch.to_pylist():
                held.setdefault(row["part"], []).append(Counts(_keys(row["songs"]), _keys(row["n_lists"])))
        for part in sorted(held):
            counts = add_counts(held.pop(part))
            write(part, pa.table([counts.songs, counts.n_lists], names=OCCURRENCES.names))
            histogram = as_histogram(counts.n_lists)
            forgotten = counts.songs[counts.n_lists == 0]
            yield _batch(COUNTED.names, part, forgotten, histogram.n_lists, histogram.n_songs)

    return tallies.repartition(n_parts, "target").mapInArrow(count, COUNTED)


def gather_counted(counted: pa.Table) -> tuple[Ints, Histogram]:
    """Return the songs that stand in no list, rising, and the histogram of all, from `schemas.COUNTED`."""
    rows = counted.sort_by("part").to_pylist()
    forgotten = np.concatenate([NOTHING, *[_keys(row["forgotten"]) for row in rows]])
    histogram = add_histograms([Histogram(_keys(row["n_lists"]), _keys(row["n_songs"])) for row in rows])
    return forgotten, histogram


def as_offers(pieces: DataFrame, *, forgotten: Ints, read: Read) -> DataFrame:
    """Return `schemas.OFFERS` of the forgotten songs, given `OFFERED_COLUMNS` of each piece."""

    def offer(table: pa.Table) -> Iterator[pa.RecordBatch]:
        found = find_offers(as_song_lists(table), forgotten)
        guests = pa.array(found.guests)
        ids = table["track_id"].combine_chunks().take(pc.index_in(guests, table["track_key"].combine_chunks()))
        columns = [guests, ids, *map(pa.array, (found.recordings, found.scores, found.hosts))]
        yield pa.RecordBatch.from_arrays(columns, names=OFFERS.names)

    return pieces.mapInArrow(_each(lambda piece: offer(read(piece))), OFFERS)


def gather_offers(offers: pa.Table) -> Offers:
    """Return the arrays of `schemas.OFFERS`, row by row."""
    columns = (numbers(offers[name]) for name in ("guest", "recording_key", "score", "host"))
    return Offers(*columns)


def as_room(pieces: DataFrame, *, read_offers: Callable[[], pa.Table], k: int, read: Read) -> DataFrame:
    """Return `schemas.ROOM` of the offers.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the numbers of pieces of `schemas.LISTS`.
    read_offers : callable
        Returns `ASKING_COLUMNS` of all offers, by host: they are too many to travel with each task.
    k : int
    read : callable
        Returns `ROOM_COLUMNS` of a piece.
    """

    def make_room(table: pa.Table) -> Iterator[pa.RecordBatch]:
        offers = read_offers()
        room = find_room(as_song_lists(table), *(numbers(offers[name]) for name in ASKING_COLUMNS), k=k)
        columns = [pa.array(each) for each in (room.offers, room.has_room, room.removed)]
        yield pa.RecordBatch.from_arrays(columns, names=ROOM.names)

    return pieces.mapInArrow(_each(lambda piece: make_room(read(piece))), ROOM)


def gather_room(room: pa.Table) -> Room:
    """Return the arrays of `schemas.ROOM`, by offer."""
    table = room.sort_by("offer")
    columns = (numbers(table[name]) for name in ROOM.names)
    return Room(*columns)


def make_places(offers: pa.Table, room: Room, chosen: Ints) -> pa.Table:
    """Return `schemas.PLACES` of some rows of `room`, given `schemas.OFFERS` as they were asked for it."""
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
        for batch in batches:
            for number in numbers(batch.column("id")).tolist():
                yield from make(number)

    return make_batches


def _tally(table: pa.Table) -> Counts:
    return count_places(numbers(table["track_key"]), numbers(_places(table).field("track_key")))


def _places(table: pa.Table) -> pa.StructArray:
    return table["list"].combine_chunks().flatten()


def _batch(names: Sequence[str], *values: int | Ints) -> pa.RecordBatch:
    """Return one row of numbers and of blobs."""
    columns = [
        pa.array([value], type=pa.int32()) if isinstance(value, int) else pa.array([value.tobytes()])
        for value in values
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _keys(blob: bytes) -> Ints:
    return np.frombuffer(blob, dtype=np.int64)
