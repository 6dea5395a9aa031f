"""Neighbors of items → lists of songs, in ranges of their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.arrays import NO_SONG, Floats, Ints
from musicrec.catalog.numbered import Numbered, each_part
from musicrec.lists.members import ALL, LISTED, Members
from musicrec.lists.nearest import Places, SongRows, choose_songs, concatenate_places, no_places, sort_candidates
from musicrec.messages import LIST_BLOCKS, WRITTEN_LISTS, as_row
from musicrec.neighbors.search.rules import ListRules
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, Read, each_block, each_number, joined
from musicrec.storage.array_files import ArrayFiles

# Items whose candidates a task holds at once, and songs whose lists it does.
CHUNK_ITEMS, CHUNK_SONGS = 65_536, 131_072
NO_SONGS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class RankSettings:
    """What a task needs to know; `members` is None where no two songs share an item."""

    k: int
    numbered: Numbered
    rules: ListRules
    members: Members | None


@dataclass(frozen=True)
class Ranked:
    """The lists `found` of `songs` (n,)."""

    songs: Ints
    found: Places


def as_list_blocks(
    units: DataFrame, *, read: Read, units_of: Sequence[int], settings: RankSettings, targets: Sequence[int]
) -> DataFrame:
    """Return `messages.LIST_BLOCKS`: the k nearest songs of each song, by range of their numbers.

    Parameters
    ----------
    units : DataFrame
        `id`, of `units_of`.
    read : callable
        Returns the `schemas.NEIGHBORS` of a unit of these numbers.
    units_of : sequence of int
    settings : RankSettings
    targets : sequence of int
        For each range a number that Spark's hash sends to its partition.
    """

    def rank(batches: Batches) -> Batches:
        for unit in each_number(batches):
            if unit == 0:
                # A range whose songs have no neighbors gets its file, too.
                for part in range(len(targets)):
                    yield _as_block(part, NO_SONGS, no_places(0, k=settings.k), targets)
            for lists in _gathered(_rank_unit(read(units_of[unit]), settings)):
                for part, rows in each_part(settings.numbered.range_of(lists.songs)):
                    yield _as_block(part, lists.songs[rows], lists.found.take(rows), targets)

    return units.mapInArrow(rank, LIST_BLOCKS)


def write_ranges(blocks: DataFrame, *, firsts: Ints, k: int, files: ArrayFiles) -> DataFrame:
    """Write the `places` and `scores` of each range of songs and return `messages.WRITTEN_LISTS`.

    Parameters
    ----------
    blocks : DataFrame
        `messages.LIST_BLOCKS`.
    firsts : int64 array, shape (n_ranges + 1,)
        The first number of each range.
    k : int
    files : ArrayFiles
    """

    def write(batches: Batches) -> Batches:
        for part, rows in each_block(batches):
            lists = no_places(int(firsts[part + 1] - firsts[part]), k=k)
            row = joined(LIST_BLOCKS, "songs", rows) - firsts[part]
            lists.places[row] = joined(LIST_BLOCKS, "places", rows).reshape(-1, k)
            lists.scores[row] = joined(LIST_BLOCKS, "scores", rows).reshape(-1, k)
            files.write(part, places=lists.places, scores=lists.scores)
            n_full = int((lists.places[:, -1] != NO_SONG).sum())
            yield as_row(WRITTEN_LISTS, piece=part, n_rows=len(row), n_full=n_full)

    return blocks.repartition(len(firsts) - 1, "target").mapInArrow(write, WRITTEN_LISTS)


def rank_items(
    items: Ints, facts: Ints, neighbors: SongRows, scores: Floats, settings: RankSettings
) -> Iterator[Ranked]:
    """Yield the lists of the songs of some items, of at most `CHUNK_SONGS` at once: an item may be of any number.

    Parameters
    ----------
    items : int64 array, shape (n,)
        Numbers of the songs that name the items.
    facts : int64 array, shape (n, n_facts)
        Theirs.
    neighbors : SongRows
        The nearest items of each.
    scores : float32 array, shape (n_neighbors,)
    settings : RankSettings
    """
    members = settings.members
    if members is None:
        candidates, asking = neighbors, SongRows(np.arange(len(items) + 1), items, facts)
    else:
        candidates, scores = _with_members(items, facts, neighbors, scores, members)
        asking = members.expand(items, facts, columns=ALL)
    candidates, scores = sort_candidates(candidates, scores)
    rows = np.repeat(np.arange(len(items)), np.diff(asking.starts))
    for first in range(0, len(rows), CHUNK_SONGS):
        some = slice(first, first + CHUNK_SONGS)
        found = choose_songs(
            candidates, scores, rows=rows[some], facts=asking.facts[some], k=settings.k, rules=settings.rules
        )
        yield Ranked(asking.songs[some], found)


def _with_members(
    items: Ints, facts: Ints, neighbors: SongRows, scores: Floats, members: Members
) -> tuple[SongRows, Floats]:
    """Return the songs of the neighbors in place of these, and an item's own: they are each other's nearest."""
    own_scores = members.self_scores(items)
    several = np.flatnonzero(~np.isnan(own_scores))
    row = np.concatenate([np.repeat(np.arange(len(items)), np.diff(neighbors.starts)), several])
    order = np.argsort(row, kind="stable")
    pairs = np.concatenate([neighbors.songs, items[several]])[order]
    of_pairs = np.concatenate([neighbors.facts, facts[several]])[order]
    expanded = members.expand(pairs, of_pairs, columns=LISTED)
    lengths = np.diff(expanded.starts)
    # Where the pairs of a row end, its songs do.
    ends = np.searchsorted(row[order], np.arange(len(items) + 1))
    starts = expanded.starts[ends]
    pair_scores = np.concatenate([scores, own_scores[several]])[order]
    return SongRows(starts, expanded.songs, expanded.facts), np.repeat(pair_scores, lengths)


def _rank_unit(table: pa.Table, settings: RankSettings) -> Iterator[Ranked]:
    whole = table.combine_chunks()
    for first in range(0, whole.num_rows, CHUNK_ITEMS):
        chunk = whole.slice(first, CHUNK_ITEMS).combine_chunks()
        listed = chunk["neighbor_keys"].combine_chunks()
        starts = np.concatenate([[0], np.cumsum(numbers(listed.value_lengths()), dtype=np.int64)])
        items, facts = settings.numbered.of_keys(numbers(chunk["item_key"]))
        neighbors = SongRows(starts, *settings.numbered.of_keys(numbers(listed.flatten())))
        scores = numbers(chunk["scores"].combine_chunks().flatten())
        yield from rank_items(items, facts, neighbors, scores, settings)


def _gathered(several: Iterable[Ranked]) -> Iterator[Ranked]:
    """Yield the lists of at least `CHUNK_SONGS` songs at once, but for the last."""
    held: list[Ranked] = []
    for lists in several:
        held.append(lists)
        if sum(len(each.songs) for each in held) >= CHUNK_SONGS:
            yield _concatenated(held)
            held = []
    if held:
        yield _concatenated(held)


def _concatenated(several: list[Ranked]) -> Ranked:
    found = concatenate_places([lists.found for lists in several])
    return Ranked(np.concatenate([lists.songs for lists in several]), found)


def _as_block(part: int, songs: Ints, found: Places, targets: Sequence[int]) -> pa.RecordBatch:
    return as_row(
        LIST_BLOCKS, target=targets[part], part=part, songs=songs, places=found.places, scores=found.scores
    )
