"""Tracks → model inputs, one vector per song, with the names of the features that were missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.algorithms.encodings import Encodings, encode
from musicrec.arrow import list_column, matrix_column
from musicrec.schemas import FEATURE_VECTORS
from musicrec.songs import FEATURES


def as_features(tracks: DataFrame, *, encodings: Encodings) -> DataFrame:
    """Return `schemas.FEATURE_VECTORS` of the songs."""
    columns = tracks.select("track_key", "track_id", "recording_key", *FEATURES)
    return columns.mapInArrow(_encoder_of(encodings), FEATURE_VECTORS)


def raw_features(batch: pa.RecordBatch | pa.Table) -> NDArray[np.float64]:
    """Return the 12 features (n, 12) of a batch with a column for each; NULL becomes NaN."""
    columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in FEATURES] if batch.num_rows else []
    if not columns:
        return np.empty((0, len(FEATURES)))
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


def _encoder_of(encodings: Encodings) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def encode_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            raw = raw_features(batch)
            keys = [batch.column(name) for name in ("track_key", "track_id", "recording_key")]
            columns = [*keys, _missing_names(raw), matrix_column(encode(raw, encodings=encodings))]
            yield pa.RecordBatch.from_arrays(columns, names=FEATURE_VECTORS.names)

    return encode_batches


def _missing_names(raw: NDArray[np.float64]) -> pa.ListArray:
    missing = np.isnan(raw)
    names = np.array(FEATURES, dtype=object)[np.nonzero(missing)[1]]
    return list_column(names, missing.sum(axis=1)) if len(names) else _empty_lists(len(raw))


def _empty_lists(n: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.zeros(n + 1, dtype=np.int32)), pa.array([], type=pa.string()))
