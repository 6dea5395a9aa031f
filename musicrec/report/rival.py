"""Vectors of another encoder → a few songs' nearest by it: what the report shows beside their lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.arrays import Ints
from musicrec.encoder.features import input_columns, raw_songs
from musicrec.encoder.learning.artists import KnownArtists
from musicrec.encoder.learning.model import Encoder, embed, from_files
from musicrec.encoder.learning.song_inputs import SongEncodings, encode_songs
from musicrec.messages import NEAREST, as_row, blob_of
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.rules import ListRules
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.search.top_k import Lists, merge_lists
from musicrec.neighbors.search.warm import warm_up
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, each_number

# Songs that are compared at once.
COMPARED_ROWS = 16_384


@dataclass(frozen=True)
class Rival:
    """Another encoder, as tasks make it: its two files, and what artists tell."""

    weights: bytes
    description: bytes
    artists: KnownArtists | None

    def ready(self) -> Embedder:
        """Return what embeds songs."""
        return Embedder(*from_files(self.weights, self.description), self.artists)


@dataclass(frozen=True)
class Embedder:
    """An encoder with all that it needs to embed songs."""

    encoder: Encoder
    encodings: SongEncodings
    artists: KnownArtists | None

    @property
    def columns(self) -> list[str]:
        """Columns of `schemas.TRACKS` that it needs."""
        return ["track_key", *input_columns(with_texts=self.encodings.texts is not None)]

    def items(self, songs: pa.Table, facts: Ints) -> Items:
        """Return songs, with their facts (n, n_facts), and their vectors."""
        known = raw_songs(songs, with_texts=self.encodings.texts is not None)
        vectors = embed(self.encoder, encode_songs(known, encodings=self.encodings, artists=self.artists))
        return Items(numbers(songs.column("track_key")), facts, vectors)


def as_nearest(
    pieces: DataFrame,
    *,
    read: Callable[[int], tuple[pa.Table, Ints]],
    queries: Items,
    rival: Rival,
    k: int,
    rules: ListRules,
) -> DataFrame:
    """Return `messages.NEAREST`: the k nearest of each query among the songs of each piece.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the numbers of the pieces.
    read : callable
        Returns the `schemas.TRACKS` of a piece, of `Embedder.columns`, and their facts.
    queries : Items
        A few songs, with their vectors by this encoder.
    rival : Rival
    k : int
    rules : ListRules
        That their lists keep.
    """

    def find(batches: Batches) -> Batches:
        warm_up()
        embedder = rival.ready()
        for number in each_number(batches):
            songs, facts = read(number)
            for first in range(0, songs.num_rows, COMPARED_ROWS):
                some = slice(first, first + COMPARED_ROWS)
                items = embedder.items(songs.slice(first, COMPARED_ROWS), facts[some])
                found = exact_nearest(queries, items, k=k, rules=rules, space=Space())
                yield as_row(NEAREST, keys=found.keys, groups=found.groups, scores=found.scores)

    return pieces.mapInArrow(find, NEAREST)


def merge(nearest: pa.Table, queries: Items, *, k: int, rules: ListRules) -> Lists:
    """Return the k nearest of each query among all songs, from `messages.NEAREST`.

    Parameters
    ----------
    nearest : pyarrow.Table
        `messages.NEAREST`.
    queries : Items
    k : int
    rules : ListRules
    """
    several = []
    for row in nearest.to_pylist():
        keys, groups, scores = (
            blob_of(NEAREST, name, row[name]).reshape(len(queries), k, -1) for name in NEAREST.names
        )
        several.append(Lists(keys[:, :, 0], groups, scores[:, :, 0]))
    return merge_lists(several, queries.facts, k=k, rules=rules)
