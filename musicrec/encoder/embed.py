"""Model inputs → unit vectors, over the whole catalog."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.algorithms.encoder import embed, from_files
from musicrec.algorithms.warm import warm_up
from musicrec.arrow import column_matrix, matrix_column
from musicrec.schemas import EMBEDDINGS, WRITTEN
from musicrec.tasks import Make, Read, Write, rewrite_pieces


def as_embeddings(pieces: DataFrame, *, weights: bytes, description: bytes, read: Read, write: Write) -> DataFrame:
    """Write `schemas.EMBEDDINGS` of the songs and return `schemas.WRITTEN`.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the numbers of pieces of `schemas.FEATURE_VECTORS`.
    weights, description : bytes
        The encoder's two files; a few hundred KB, so they travel with the task.
    read, write : callable
        As for `rewrite_pieces`.
    """

    def prepare() -> Make:
        # A worker per core is at work already; more threads would fight over the cores.
        warm_up()
        encoder, _ = from_files(weights, description)

        def embed_piece(piece: pa.Table) -> pa.Table:
            vectors = embed(encoder, column_matrix(piece.column("features").combine_chunks()))
            keys = [piece.column(name) for name in ("track_key", "track_id", "recording_key")]
            columns = [*keys, matrix_column(vectors)]
            return pa.Table.from_arrays(columns, names=EMBEDDINGS.names)

        return embed_piece

    # Read and written without the JVM, in half of the time.
    return pieces.mapInArrow(rewrite_pieces(prepare, read, write), WRITTEN)
