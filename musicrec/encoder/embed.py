"""Embed: tracks → inputs → unit vectors, over the whole catalog, as Parquet and packed for the join."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from musicrec.catalog.clean import Catalog
from musicrec.context import Context
from musicrec.encoder.features import TRACK_KEYS, input_columns, raw_songs
from musicrec.encoder.gate import Shipped
from musicrec.encoder.learning.artists import KnownArtists
from musicrec.encoder.learning.model import embed, from_files
from musicrec.encoder.learning.song_inputs import encode_blocks
from musicrec.gates import Measured
from musicrec.measures.collapse import same_direction_share
from musicrec.neighbors.pack import EMBEDDED, PackedSongs, VectorPieces, pack_vectors
from musicrec.schemas import EMBEDDINGS
from musicrec.spark.arrow import matrix_column
from musicrec.storage import artifacts, datasets
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.rows import RowFiles

# Songs whose inputs are made at once: a few MB.
BLOCK_SONGS = 16_384


def write_embeddings(context: Context, catalog: Catalog, shipped: Shipped) -> PackedSongs:
    """Write `schemas.EMBEDDINGS` of all songs, and return them packed.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    shipped : Shipped

    Raises
    ------
    StorageError
        The encoder's files are not those that were saved.
    QualityError
        Most songs have one vector.
    """
    with context.stage("embed", n_rows=catalog.n_tracks):
        # Read again and compared with their digests: what embeds the catalog is what was saved.
        weights, description = artifacts.load_encoder(context.run.place(datasets.MODEL), digests=shipped.digests)
        vectors = as_vectors(
            context.files(datasets.TRACKS),
            context.files(datasets.EMBEDDINGS),
            weights=weights,
            description=description,
            artists=shipped.artists,
            facts=catalog.ordered.files,
        )
        packed = pack_vectors(context, vectors, n_rows=catalog.n_tracks)
        share = same_direction_share(packed.sample)
        told = f"the vectors of {share:.1%} of all pairs of songs cannot be told apart"
        context.judge([Measured("max_collapsed", share, catalog.n_tracks, told)])
        return packed


def as_vectors(
    tracks: RowFiles,
    embeddings: RowFiles,
    *,
    weights: bytes,
    description: bytes,
    artists: KnownArtists | None,
    facts: ArrayFiles,
) -> VectorPieces:
    """Return the vectors of songs, each of which is written when it is first there.

    Parameters
    ----------
    tracks : RowFiles
        `schemas.TRACKS`.
    embeddings : RowFiles
        Gets `schemas.EMBEDDINGS`, in pieces of the same numbers.
    weights, description : bytes
        The encoder's two files; two or three MB, so they travel with the task.
    artists : KnownArtists, optional
    facts : ArrayFiles
        `Numbered.songs`: their ranges are pieces of tracks.
    """
    pieces = tracks.pieces()

    def read(number: int) -> Iterable[tuple[int, pa.Table]]:
        encoder, encodings = from_files(weights, description)
        with_texts = encodings.texts is not None
        songs = tracks.read_piece(pieces[number], columns=[*TRACK_KEYS, *input_columns(with_texts=with_texts)])
        # Block by block: inputs of so few songs are still in the cache when they are multiplied.
        known = raw_songs(songs, with_texts=with_texts)
        blocks = encode_blocks(known, encodings=encodings, artists=artists, n_rows=BLOCK_SONGS)
        vectors = matrix_column(np.concatenate([embed(encoder, inputs) for inputs in blocks]))
        keys = [songs.column(name) for name in TRACK_KEYS]
        rows = pa.Table.from_arrays([*keys, vectors], names=EMBEDDINGS.names)
        embeddings.write(pieces[number], rows)
        (of_songs,) = facts.read(pieces[number], "facts")
        columns = [rows["track_key"], matrix_column(of_songs), rows["embedding"]]
        yield number, pa.Table.from_arrays(columns, names=EMBEDDED)

    return VectorPieces(len(pieces), read)
