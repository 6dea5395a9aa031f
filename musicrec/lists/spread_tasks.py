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
    N_ASKED,
    Counts,
    Histogram,
    Offers,
    SongLists,
    add_counts,
    add_histograms,
    as_histogram,
    best_offers,
    count_places,
    find_offers,
    find_wishes,
)
from musicrec.messages import COUNTED, OFFERS, TALLIES, as_row, blob_of
from musicrec.neighbors.search.rules import ListRules
from musicrec.schemas import OCCURRENCES, PLACES
from musicrec.spark.arrow import bools, numbers
from musicrec.spark.tasks import MAX_BLOCK_ROWS, Batches, Write, each_block, each_number

# Places of the lists that forgotten songs ask: a task holds so many at once.
ASKED_PLACES = 1_600_000


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
        places = lists.range(part).places
        songs = np.arange(*lists.numbered.firsts[part : part + 2])
        counts = count_places(songs, places[places != NO_SONG].astype(np.int64))
        ends = np.searchsorted(counts.songs, lists.numbered.firsts).tolist()
        for owner, target in enumerate(targets):
            for first in range(ends[owner], ends[owner + 1], MAX_BLOCK_ROWS):
                some = slice(first, min(first + MAX_BLOCK_ROWS, ends[owner + 1]))
                yield as_row(
                    TALLIES, target=target, part=owner, songs=counts.songs[some], n_lists=counts.n_lists[some]
                )

    return ranges.mapInArrow(_each(tally), TALLIES)


def write_occurrences(tallies: DataFrame, *, numbered: Numbered, rules: ListRules, write: Write) -> DataFrame:
    """Write `schemas.OCCURRENCES` of each range and return `messages.COUNTED`.

    Parameters
    ----------
    tallies : DataFrame
        `messages.TALLIES`.
    numbered : Numbered
    rules : ListRules
    write : callable
        Stores the rows of a range.
    """

    def count(batches: Batches) -> Iterator[pa.RecordBatch]:
        for part, rows in each_block(batches):
            counts = add_counts([Counts(*_numbers_of(TALLIES, row, "songs", "n_lists")) for row in rows])
            keys = numbered.keys(counts.songs)
            write(part, pa.table([counts.songs, keys, counts.n_lists], names=OCCURRENCES.names))
            histogram = as_histogram(counts.n_lists)
            n_barred = int(rules.are_barred(numbered.facts(counts.songs)).sum())
            yield as_row(
                COUNTED, part=part, n_lists=histogram.n_lists, n_songs=histogram.n_songs, n_barred=n_barred
            )

    return tallies.repartition(numbered.n_ranges, "target").mapInArrow(count, COUNTED)


def gather_counted(counted: pa.Table) -> Histogram:
    """Return in how many lists the songs of all ranges stand, from `messages.COUNTED`."""
    rows = counted.to_pylist()
    return add_histograms([Histogram(*_numbers_of(COUNTED, row, "n_lists", "n_songs")) for row in rows])


def as_offers(
    ranges: DataFrame, *, read_forgotten: Callable[[int], Ints], lists: ListFiles, rules: ListRules
) -> DataFrame:
    """Return `messages.OFFERS` of forgotten songs, of each range no more than can be chosen.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the numbers of the ranges.
    read_forgotten : callable
        Returns the songs of a range that are to get a place, rising.
    lists : ListFiles
    rules : ListRules
        That they keep.
    """
    return ranges.mapInArrow(_each(lambda part: offers_of(read_forgotten(part), lists, rules)), OFFERS)


def offers_of(forgotten: Ints, lists: ListFiles, rules: ListRules) -> Batches:
    """Yield the `messages.OFFERS` of songs, of some at a time: of those wishes are held.

    Parameters
    ----------
    forgotten : int64 array, shape (n,)
        Numbers of the songs.
    lists : ListFiles
    rules : ListRules
    """
    n_rows = max(1, ASKED_PLACES // (N_ASKED * lists.k))
    for first in range(0, len(forgotten), n_rows):
        some = forgotten[first : first + n_rows]
        wishes = find_wishes(as_song_lists(lists, some, k=N_ASKED), some)
        hosts = as_song_lists(lists, np.unique(wishes.hosts))
        offers = best_offers(find_offers(wishes, hosts, k=lists.k, rules=rules))
        columns = (offers.guests, offers.scores, offers.hosts, offers.has_room, offers.removed)
        yield pa.RecordBatch.from_arrays(list(map(pa.array, columns)), names=OFFERS.names)


def gather_offers(offers: pa.Table) -> Offers:
    """Return the offers of all ranges that can be chosen, from `messages.OFFERS`."""
    guests, scores, hosts, removed = (numbers(offers[name]) for name in ("guest", "score", "host", "removed"))
    return best_offers(Offers(guests, scores, hosts, bools(offers["has_room"]), removed))


def make_places(chosen: Offers) -> pa.Table:
    """Return `schemas.PLACES` of the offers that get their place, by host."""
    order = np.argsort(chosen.hosts)
    columns = (each[order] for each in (chosen.hosts, chosen.removed, chosen.guests, chosen.scores))
    return pa.Table.from_arrays([pa.array(column) for column in columns], names=PLACES.names)


def as_song_lists(lists: ListFiles, songs: Ints, *, k: int | None = None) -> SongLists:
    """Return lists with the facts of their places.

    Parameters
    ----------
    lists : ListFiles
    songs : int64 array, shape (n,)
        Numbers.
    k : int, optional
        Only the first k places of each.
    """
    found = lists.of(songs).first(k or lists.k)
    is_taken = found.places != NO_SONG
    places = found.places[is_taken].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(is_taken.sum(axis=1))])
    facts, of_places = map(lists.numbered.facts, (songs, places))
    return SongLists(songs, facts, starts, places, of_places, found.scores[is_taken])


def _each(make: Callable[[int], Iterator[pa.RecordBatch]]) -> Callable[[Batches], Batches]:
    def make_batches(batches: Batches) -> Batches:
        for number in each_number(batches):
            yield from make(number)

    return make_batches


def _numbers_of(schema: StructType, row: dict[str, Any], *names: str) -> list[Ints]:
    return [blob_of(schema, name, row[name]) for name in names]
