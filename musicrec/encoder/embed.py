"""Embed: model inputs → unit vectors, over the whole catalog."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.context import Context
from musicrec.encoder.gate import Shipped
from musicrec.encoder.learning.model import embed, from_files
from musicrec.messages import WRITTEN
from musicrec.neighbors.search.warm import warm_up
from musicrec.schemas import EMBEDDINGS
from musicrec.spark.arrow import column_matrix, matrix_column
from musicrec.spark.tasks import Make, Read, Write, rewrite_pieces
from musicrec.storage import artifacts, datasets
from musicrec.storage.rows import RowFiles

EMBED_COLUMNS = ["track_key", "track_id", "recording_key", "features"]


def write_embeddings(context: Context, shipped: Shipped, pieces: list[int], *, n_rows: int) -> RowFiles:
    """Write `schemas.EMBEDDINGS` of all songs and return the files.

    Parameters
    ----------
    context : Context
    shipped : Shipped
    pieces : list of int
        Of the songs' features.
    n_rows : int
        Songs in all pieces.

    Raises
    ------
    StorageError
        The encoder's files are not those that were saved.
    """
    with context.stage("embed", n_rows=n_rows):
        # Read again and compared with their digests: what embeds the catalog is what was saved.
        weights, description = artifacts.load_encoder(context.run.path(datasets.MODEL), digests=shipped.digests)
        inputs, vectors = context.files(datasets.FEATURE_VECTORS), context.files(datasets.EMBEDDINGS)
        write_embedded_pieces(
            context.numbers(len(pieces)),
            weights=weights,
            description=description,
            read=lambda number: inputs.read_piece(pieces[number], columns=EMBED_COLUMNS),
            write=vectors.write,
        ).toArrow()
        return vectors


def write_embedded_pieces(
    pieces: DataFrame, *, weights: bytes, description: bytes, read: Read, write: Write
) -> DataFrame:
    """Write `schemas.EMBEDDINGS` of the songs and return `messages.WRITTEN`.

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
