"""Vectors of another encoder → a few songs' nearest by it: what the report shows beside their lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.encoder.features import input_columns, raw_songs
from musicrec.encoder.learning.artists import KnownArtists
from musicrec.encoder.learning.model import Encoder, embed, from_files
from musicrec.encoder.learning.song_inputs import SongEncodings, encode_songs
from musicrec.messages import NEAREST, as_row, blob_of
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.search.top_k import Lists, best_of
from musicrec.neighbors.search.warm import warm_up
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, each_number

# Songs that are compared at once.
COMPARED_ROWS = 16_384


@dataclass(frozen=True)
class Rival:
    """Another encoder, as tasks make it: its two files, what artists tell, and the column of recordings.

    A list holds each value of that column once, and never the query's own.
    """

    weights: bytes
    description: bytes
    artists: KnownArtists | None
    recording: str

    def ready(self) -> Embedder:
        """Return what embeds songs."""
        return Embedder(*from_files(self.weights, self.description), self.artists, self.recording)


@dataclass(frozen=True)
class Embedder:
    """An encoder with all that it needs to embed songs."""

    encoder: Encoder
    encodings: SongEncodings
    artists: KnownArtists | None
    recording: str

    @property
    def columns(self) -> list[str]:
        """Columns of `schemas.TRACKS` that it needs."""
        return ["track_key", self.recording, *input_columns(with_texts=self.encodings.texts is not None)]

    def items(self, songs: pa.Table) -> Items:
        """Return songs with their vectors."""
        known = raw_songs(songs, with_texts=self.encodings.texts is not None)
        vectors = embed(self.encoder, encode_songs(known, encodings=self.encodings, artists=self.artists))
        return Items(numbers(songs.column("track_key")), numbers(songs.column(self.recording)), vectors)


def as_nearest(
    pieces: DataFrame, *, read: Callable[[int, list[str]], pa.Table], queries: Items, rival: Rival, k: int
) -> DataFrame:
    """Return `messages.NEAREST`: the k nearest of each query among the songs of each piece.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the numbers of the pieces.
    read : callable
        Returns columns of the `schemas.TRACKS` of a piece.
    queries : Items
        A few songs, with their vectors by this encoder.
    rival : Rival
    k : int
    """

    def find(batches: Batches) -> Batches:
        warm_up()
        embedder = rival.ready()
        for number in each_number(batches):
            songs = read(number, embedder.columns)
            for first in range(0, songs.num_rows, COMPARED_ROWS):
                items = embedder.items(songs.slice(first, COMPARED_ROWS))
                found = exact_nearest(queries, items, k=k, space=Space())
                yield as_row(NEAREST, keys=found.keys, recordings=found.recordings, scores=found.scores)

    return pieces.mapInArrow(find, NEAREST)


def merge(nearest: pa.Table, *, n_queries: int, k: int) -> Lists:
    """Return the k nearest of each query among all songs, from `messages.NEAREST`.

    Parameters
    ----------
    nearest : pyarrow.Table
        `messages.NEAREST`.
    n_queries, k : int
    """
    keys, recordings, scores = (
        np.concatenate(
            [blob_of(NEAREST, name, blob).reshape(n_queries, -1) for blob in nearest[name].to_pylist()], axis=1
        )
        for name in NEAREST.names
    )
    return best_of(keys, recordings, scores, k=k)
