"""Vectors of another encoder → a few songs' nearest by it: what the report shows beside their lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.encoder.learning.model import embed, from_files
from musicrec.messages import NEAREST, as_row, blob_of
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.search.top_k import Lists, best_of
from musicrec.neighbors.search.warm import warm_up
from musicrec.spark.arrow import column_matrix, numbers
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
        Returns the `schemas.FEATURE_VECTORS` of a piece.
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
        encoder, _ = from_files(weights, description)
        for number in each_number(batches):
            songs = as_items(read(number), recording=recording)
            for first in range(0, len(songs), COMPARED_ROWS):
                some = songs.take(slice(first, first + COMPARED_ROWS))
                items = Items(some.keys, some.recordings, embed(encoder, some.vectors.astype(np.float32)))
                found = exact_nearest(queries, items, k=k, space=Space())
                yield as_row(NEAREST, keys=found.keys, recordings=found.recordings, scores=found.scores)

    return pieces.mapInArrow(find, NEAREST)


def as_items(features: pa.Table, *, recording: str) -> Items:
    """Return songs with their inputs in place of vectors.

    Parameters
    ----------
    features : pyarrow.Table
        `schemas.FEATURE_VECTORS`.
    recording : str
        The column of their recordings.
    """
    inputs = column_matrix(features.column("features").combine_chunks())
    return Items(numbers(features.column("track_key")), numbers(features.column(recording)), inputs)


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
