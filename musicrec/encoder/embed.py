"""Model inputs → unit vectors, over the whole catalog."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec import schemas
from musicrec.catalog.clean import Catalog
from musicrec.context import Context
from musicrec.encoder import features
from musicrec.encoder.learning.model import embed, from_files
from musicrec.encoder.train import MODEL, Learned
from musicrec.neighbors.search.warm import warm_up
from musicrec.schemas import EMBEDDINGS, WRITTEN
from musicrec.spark.arrow import column_matrix, matrix_column
from musicrec.spark.start import warm_workers
from musicrec.spark.tasks import Make, Read, Write, rewrite_pieces
from musicrec.storage import artifacts, tables


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


def embed_catalog(context: Context, catalog: Catalog, learned: Learned) -> DataFrame:
    """Return `schemas.EMBEDDINGS` of all songs, by way of their features."""
    session, inputs = context.session, context.files("features")
    with context.stage("start"):
        # After training, because workers without work end after a minute.
        warm_workers(session, warm_up)
    with context.stage("features"):
        written = features.as_features(catalog.tracks, encodings=learned.encodings, write=inputs.write).toArrow()
    with context.stage("embed"):
        # Read again and compared with their digests: what embeds the catalog is what was saved.
        digests = context.record["model"]["sha256"]
        weights, description = artifacts.load_encoder(context.run.work / MODEL, digests=digests)
        vectors, pieces = context.files("embeddings"), sorted(written["piece"].to_pylist())
        columns = ["track_key", "track_id", "recording_key", "features"]
        as_embeddings(
            context.tasks(len(pieces)),
            weights=weights,
            description=description,
            read=lambda place: inputs.read_piece(pieces[place], columns=columns),
            write=vectors.write,
        ).toArrow()
        return tables.read_table(session, str(vectors.directory), schema=schemas.EMBEDDINGS)
