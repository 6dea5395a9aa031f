"""Songs in pieces → sums of their inputs by artist → those of all pieces, by range of the artists' keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.arrays import Ints
from musicrec.catalog.numbered import each_part
from musicrec.encoder.features import input_columns, raw_songs
from musicrec.encoder.learning.artists import ArtistSums, sum_by_artist, sum_sums, tell, without_many
from musicrec.encoder.learning.inputs import Encodings
from musicrec.encoder.learning.song_inputs import encode_values
from musicrec.messages import ARTIST_BLOCKS, WRITTEN, as_row
from musicrec.spark.tasks import MAX_BLOCK_ROWS, Batches, each_block, each_number, joined
from musicrec.storage.array_files import ArrayFiles


def as_artist_blocks(
    pieces: DataFrame,
    *,
    read: Callable[[int, list[str]], pa.Table],
    encodings: Encodings,
    targets: Sequence[int],
) -> DataFrame:
    """Return `messages.ARTIST_BLOCKS`: the sums of each piece's songs by artist, by part of all artists.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the numbers of the pieces.
    read : callable
        Returns columns of the `schemas.TRACKS` of a piece.
    encodings : Encodings
    targets : sequence of int
        For each part a number that Spark's hash sends to its partition.
    """

    def add_up(batches: Batches) -> Batches:
        for number in each_number(batches):
            songs = raw_songs(read(number, input_columns(with_texts=False)), with_texts=False)
            found = sum_by_artist(songs.artists, encode_values(songs, encodings=encodings)[0])
            sums = without_many(found)
            for part in range(len(targets)) if number == 0 else ():
                # A part whose artists have one song each gets its files, too.
                yield _as_block(part, found, sums, np.empty(0, dtype=np.int64), targets)
            for part, rows in each_part(parts_of(found.artists, n_parts=len(targets))):
                for first in range(0, len(rows), MAX_BLOCK_ROWS):
                    yield _as_block(part, found, sums, rows[first : first + MAX_BLOCK_ROWS], targets)

    return pieces.mapInArrow(add_up, ARTIST_BLOCKS)


def write_sums(blocks: DataFrame, *, n_parts: int, n_values: int, files: ArrayFiles) -> DataFrame:
    """Write the artists of each part that tell something, as `ArtistFiles` says, and return `messages.WRITTEN`.

    Parameters
    ----------
    blocks : DataFrame
        `messages.ARTIST_BLOCKS`.
    n_parts, n_values : int
    files : ArrayFiles
    """

    def write(batches: Batches) -> Batches:
        for part, rows in each_block(batches):
            artists, counts, sums = (joined(ARTIST_BLOCKS, name, rows) for name in ("artists", "counts", "sums"))
            found = sum_sums(artists, counts, sums.reshape(-1, n_values))
            told = tell(found.counts)
            files.write(
                part, artists=found.artists[told], counts=found.counts[told], sums=without_many(found)[told]
            )
            yield as_row(WRITTEN, piece=part, n_rows=int(told.sum()))

    return blocks.repartition(n_parts, "target").mapInArrow(write, WRITTEN)


def parts_of(artists: Ints, *, n_parts: int) -> Ints:
    """Return in which part the files of artists (n,) are: their keys are hashes, so all have about as many."""
    high = artists.view(np.uint64) >> np.uint64(32)
    parts: Ints = ((high * np.uint64(n_parts)) >> np.uint64(32)).astype(np.int64)
    return parts


def _as_block(
    part: int, found: ArtistSums, sums: NDArray[np.int32], rows: Ints, targets: Sequence[int]
) -> pa.RecordBatch:
    return as_row(
        ARTIST_BLOCKS, target=targets[part], part=part,
        artists=found.artists[rows], counts=found.counts[rows], sums=sums[rows],
    )  # fmt: skip
