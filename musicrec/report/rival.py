"""Vectors of another encoder → a few songs' nearest by it: what the report shows beside their lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.encoder.learning.model import embed, from_files
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.search.top_k import Lists, best_of
from musicrec.neighbors.search.warm import warm_up
from musicrec.schemas import NEAREST, as_row, blob_of
from musicrec.spark.arrow import column_matrix, numbers


def as_nearest(
    features: DataFrame, *, queries: Items, weights: bytes, description: bytes, k: int, recording: str
) -> DataFrame:
    """Return `schemas.NEAREST`: the k nearest of each query among each batch of the songs.

    Parameters
    ----------
    features : DataFrame
        `schemas.FEATURE_VECTORS`.
    queries : Items
        A few songs, with their vectors by this encoder.
    weights, description : bytes
        The encoder's two files.
    k : int
    recording : str
        The column of which a list holds each value once, and never the query's own.
    """

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        warm_up()
        encoder, _ = from_files(weights, description)
        for batch in batches:
            if batch.num_rows:
                songs = as_items(pa.Table.from_batches([batch]))
                vectors = embed(encoder, songs.vectors.astype(np.float32))
                items = Items(songs.keys, songs.recordings, vectors)
                found = exact_nearest(queries, items, k=k, space=Space())
                yield as_row(NEAREST, keys=found.keys, recordings=found.recordings, scores=found.scores)

    columns = features.selectExpr("track_key", f"{recording} AS recording_key", "features")
    return columns.mapInArrow(find, NEAREST)


def as_items(features: pa.Table) -> Items:
    """Return songs with their inputs in place of vectors."""
    inputs = column_matrix(features.column("features").combine_chunks())
    return Items(numbers(features.column("track_key")), numbers(features.column("recording_key")), inputs)


def merge(nearest: pa.Table, *, n_queries: int, k: int) -> Lists:
    """Return the k nearest of each query among all songs, from `schemas.NEAREST`.

    Parameters
    ----------
    nearest : pyarrow.Table
        `schemas.NEAREST`.
    n_queries, k : int
    """
    keys, recordings, scores = (
        np.concatenate(
            [blob_of(NEAREST, name, blob).reshape(n_queries, -1) for blob in nearest[name].to_pylist()], axis=1
        )
        for name in NEAREST.names
    )
    return best_of(keys, recordings, scores, k=k)
