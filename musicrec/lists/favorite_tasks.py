"""Rows of favorites → ranges of listeners → their lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from musicrec.arrays import NO_SONG, Ints
from musicrec.catalog.hashes import hash_texts
from musicrec.catalog.numbered import Numbered, cut_by
from musicrec.catalog.relations import Relation
from musicrec.lists.fusion import Favorites, Fused, fuse
from musicrec.lists.list_files import ListFiles
from musicrec.messages import FAVORITE_BLOCKS, LISTENERS, WRITTEN_FAVORITES, as_row
from musicrec.neighbors.search.rules import ListRules
from musicrec.schemas import FAVORITES, USER_RECOMMENDATIONS
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, each_number, each_part_of, numbered_pieces
from musicrec.storage.rows import RowFiles

# Listeners that a draw has at most.
N_DRAWN = 2000
NO_ROWS = pa.table(
    {
        "user_id": pa.array([], pa.string()),
        "rank": pa.array([], pa.int32()),
        "track_id": pa.array([], pa.string()),
        "score": pa.array([], pa.float32()),
        "because_of": pa.array([], pa.string()),
    }
)


@dataclass(frozen=True)
class FuseSettings:
    """What a task needs to know."""

    lists: ListFiles
    k: int
    rank_constant: int
    rules: ListRules


def write_favorites(relation: Relation, *, numbered: Numbered, files: RowFiles) -> DataFrame:
    """Write `schemas.FAVORITES` in pieces and return `messages.WRITTEN_FAVORITES`.

    Parameters
    ----------
    relation : Relation
        Listeners and songs.
    numbered : Numbered
    files : RowFiles
    """

    def write(batches: Batches) -> Batches:
        for piece, table in numbered_pieces(batches):
            users, ids = (column.combine_chunks() for column in table.columns)
            songs = pa.array(numbered.of_ids(ids, hash_texts(ids)))
            files.write(piece, pa.Table.from_arrays([users, ids, songs], names=FAVORITES.names))
            drawn, of_drawn = draw_users(users, hash_texts(users))
            n_known = int((numbers(songs) != NO_SONG).sum())
            columns = [[piece], [len(ids)], [n_known], [drawn.to_pylist()], [of_drawn.tolist()]]
            yield pa.RecordBatch.from_arrays(list(map(pa.array, columns)), names=WRITTEN_FAVORITES.names)

    return relation.map(write, WRITTEN_FAVORITES)


def draw_users(users: pa.StringArray, keys: Ints) -> tuple[pa.StringArray, Ints]:
    """Return those of the listeners (n,) that have the least keys, each once, and their keys.

    The draw of several draws is that of all.
    """
    least, rows = np.unique(keys, return_index=True)
    return users.take(pa.array(rows[:N_DRAWN])), least[:N_DRAWN]


def as_split(
    numbers_of_pieces: DataFrame, *, files: RowFiles, pieces: Sequence[int], first_users: tuple[str, ...],
    targets: Sequence[int],
) -> DataFrame:  # fmt: skip
    """Return `messages.FAVORITE_BLOCKS`.

    Parameters
    ----------
    numbers_of_pieces : DataFrame
        `id`, of `pieces`.
    files : RowFiles
        `schemas.FAVORITES`, in pieces of these numbers.
    pieces : sequence of int
    first_users : tuple of str
        The first listener of each range but the first, rising.
    targets : sequence of int
        For each range a number that Spark's hash sends to its partition.
    """

    def split(batches: Batches) -> Batches:
        for number in each_number(batches):
            ordered = files.read_piece(pieces[number]).combine_chunks().sort_by("user_id").combine_chunks()
            for part, first, last in cut_by(ordered["user_id"].combine_chunks(), first_users):
                whole = [pa.array([value] * (last - first), type=pa.int32()) for value in (targets[part], part)]
                some = ordered.slice(first, last - first).combine_chunks()
                columns = [*whole, *(some[name].combine_chunks() for name in FAVORITES.names)]
                yield pa.RecordBatch.from_arrays(columns, names=FAVORITE_BLOCKS.names)

    return numbers_of_pieces.mapInArrow(split, FAVORITE_BLOCKS)


def write_fused(favorites: DataFrame, *, n_ranges: int, settings: FuseSettings, files: RowFiles) -> DataFrame:
    """Write the `schemas.USER_RECOMMENDATIONS` of each range of listeners and return `messages.LISTENERS`.

    Parameters
    ----------
    favorites : DataFrame
        `messages.FAVORITE_BLOCKS`.
    n_ranges : int
    settings : FuseSettings
    files : RowFiles
    """

    def write(batches: Batches) -> Batches:
        for part, table in each_part_of(batches):
            counts, rows = fuse_rows(table, settings)
            record = files.write_recorded(part, rows, repeated=["user_id", "because_of"])
            yield as_row(LISTENERS, part=part, **counts, **asdict(record))

    return favorites.repartition(n_ranges, "target").mapInArrow(write, LISTENERS)


def fuse_rows(favorites: pa.Table, settings: FuseSettings) -> tuple[dict[str, int], pa.Table]:
    """Return the counts of `messages.LISTENERS`, and the lists of some listeners: `schemas.USER_RECOMMENDATIONS`.

    Parameters
    ----------
    favorites : pyarrow.Table
        `schemas.FAVORITES`, all of these listeners, in any order; one that stands twice counts once.
    settings : FuseSettings
    """
    users, listener = _codes(favorites["user_id"].combine_chunks())
    _, track = _codes(favorites["track_id"].combine_chunks())
    distinct = np.unique(np.stack([listener, track]), axis=1, return_index=True)[1]
    listener, songs = listener[distinct], numbers(favorites["song"])[distinct]
    known = np.flatnonzero(songs != NO_SONG)
    order = known[np.lexsort((songs[known], listener[known]))]
    fused = _fuse(listener[order], songs[order], n_listeners=len(users), settings=settings)
    ids = settings.lists.numbered.ids
    columns = [
        users.take(pa.array(fused.listeners)),
        pa.array(fused.ranks.astype(np.int32)),
        ids(fused.songs),
        pa.array(fused.scores),
        ids(fused.because_of),
    ]
    counts = {
        "n_favorites": len(songs),
        "n_unknown": len(songs) - len(known),
        "n_users": len(users),
        "n_users_with_recommendations": len(np.unique(fused.listeners)),
    }
    return counts, pa.Table.from_arrays(columns, names=USER_RECOMMENDATIONS.names)


def _fuse(listener: Ints, songs: Ints, *, n_listeners: int, settings: FuseSettings) -> Fused:
    numbered, lists = settings.lists.numbered, settings.lists.of(songs)
    is_taken = lists.places != NO_SONG
    facts = np.empty((*is_taken.shape, settings.rules.n_facts), dtype=np.int64)
    facts[is_taken] = numbered.facts(lists.places[is_taken].astype(np.int64))
    starts = np.searchsorted(listener, np.arange(n_listeners + 1))
    favorites = Favorites(starts, songs, numbered.facts(songs))
    return fuse(favorites, lists, facts, k=settings.k, rank_constant=settings.rank_constant, rules=settings.rules)


def _codes(texts: pa.StringArray) -> tuple[pa.StringArray, Ints]:
    """Return the different texts, in order, and which of them each (n,) is."""
    encoded = texts.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int64)
    rank[numbers(order)] = np.arange(len(order))
    return encoded.dictionary.take(order), rank[numbers(encoded.indices)]
