"""Vectors of another encoder → a few songs' nearest by it: what the report shows beside their lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.encoder.features import raw_inputs
from musicrec.encoder.learning.inputs import Encodings, encode
from musicrec.encoder.learning.model import Encoder, embed, from_files
from musicrec.messages import NEAREST, as_row, blob_of
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.search.top_k import Lists, best_of
from musicrec.neighbors.search.warm import warm_up
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, Read, each_number

# Songs that are compared at once.
COMPARED_ROWS = 16_384


def as_nearest(
    pieces: DataFrame, *, read: Read, queries: Items, weights: bytes, description: bytes, k: int, recording: str
) -> DataFrame:
    """Return `messages.NEAREST`: the k nearest of each query among the songs of each piece.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the numbers of the pieces.
    read : callable
        Returns the `schemas.TRACKS` of a piece, of `features.TRACK_INPUTS`.
    queries : Items
        A few songs, with their vectors by this encoder.
    weights, description : bytes
        The encoder's two files.
    k : int
    recording : str
        The column of which a list holds each value once, and never the query's own.
    """

    def find(batches: Batches) -> Batches:
        warm_up()
        encoder, encodings = from_files(weights, description)
        for number in each_number(batches):
            songs = read(number)
            for first in range(0, songs.num_rows, COMPARED_ROWS):
                items = as_items(songs.slice(first, COMPARED_ROWS), encoder, encodings, recording=recording)
                found = exact_nearest(queries, items, k=k, space=Space())
                yield as_row(NEAREST, keys=found.keys, recordings=found.recordings, scores=found.scores)

    return pieces.mapInArrow(find, NEAREST)


def as_items(songs: pa.Table, encoder: Encoder, encodings: Encodings, *, recording: str) -> Items:
    """Return songs with their vectors.

    Parameters
    ----------
    songs : pyarrow.Table
        `schemas.TRACKS`.
    encoder : Encoder
    encodings : Encodings
    recording : str
        The column of their recordings.
    """
    vectors = embed(encoder, encode(raw_inputs(songs), encodings=encodings))
    return Items(numbers(songs.column("track_key")), numbers(songs.column(recording)), vectors)


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
