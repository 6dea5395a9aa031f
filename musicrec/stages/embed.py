"""Model inputs → unit vectors, over the whole catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.algorithms.encoder import embed, from_files
from musicrec.algorithms.warm import warm_up
from musicrec.arrow import column_matrix, matrix_column
from musicrec.schemas import EMBEDDINGS


def as_embeddings(features: DataFrame, *, weights: bytes, description: bytes) -> DataFrame:
    """Return `schemas.EMBEDDINGS` of the songs.

    Parameters
    ----------
    features : DataFrame
        `schemas.FEATURE_VECTORS`.
    weights, description : bytes
        The encoder's two files; a few hundred KB, so they travel with the task.
    """
    columns = features.select("track_key", "track_id", "recording_key", "features")
    return columns.mapInArrow(_embedder(weights, description), EMBEDDINGS)


def _embedder(
    weights: bytes, description: bytes
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def embed_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # A worker per core is at work already; more threads would fight over the cores.
        warm_up()
        encoder, _ = from_files(weights, description)
        for batch in batches:
            if batch.num_rows:
                vectors = embed(encoder, column_matrix(batch.column("features")))
                keys = [batch.column(name) for name in ("track_key", "track_id", "recording_key")]
                columns = [*keys, matrix_column(vectors.astype(np.float32))]
                yield pa.RecordBatch.from_arrays(columns, names=EMBEDDINGS.names)

    return embed_batches
