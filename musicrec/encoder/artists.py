"""Artists: tracks → what each artist's songs are like: sums of their inputs, of all artists of several songs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Ints
from musicrec.catalog.clean import Catalog
from musicrec.catalog.key_search import NOWHERE, find_keys
from musicrec.catalog.numbered import each_part
from musicrec.context import Context
from musicrec.encoder import artist_tasks
from musicrec.encoder.learning.artists import Sums
from musicrec.encoder.learning.inputs import Encodings
from musicrec.spark.partitions import partition_targets
from musicrec.storage import datasets
from musicrec.storage.array_files import ArrayFiles

# Songs whose artists a part has, about.
PART_SONGS = 500_000


@dataclass(frozen=True)
class ArtistFiles:
    """Artists of several songs, in parts by their keys.

    The files of a part have `artists`, rising, their `counts` of songs, and the `sums` of their inputs (n_artists,
    n_values), as `ArtistSums` has them, in four bytes.
    """

    files: ArrayFiles
    n_parts: int
    n_values: int

    def of(self, artists: Ints) -> tuple[Ints, Sums]:
        """Return how many songs each artist (n,) has, and the sums of their inputs (n, d); 0 of all others."""
        counts = np.zeros(len(artists), dtype=np.int64)
        sums = np.zeros((len(artists), self.n_values), dtype=np.int32)
        for part, rows in each_part(artist_tasks.parts_of(artists, n_parts=self.n_parts)):
            known, own_counts, own_sums = self.files.read(part, "artists", "counts", "sums")
            place = find_keys(known, artists[rows])
            found = place != NOWHERE
            counts[rows[found]], sums[rows[found]] = own_counts[place[found]], own_sums[place[found]]
        return counts, sums


def write_artists(context: Context, catalog: Catalog, encodings: Encodings) -> ArtistFiles | None:
    """Write the sums of all artists of several songs, and return them; None where nobody asks for them.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    encodings : Encodings
        Of the values of songs.
    """
    if not context.config.model.use_artist_context:
        return None
    with context.stage("artists", n_rows=catalog.n_tracks):
        tracks, files = context.files(datasets.TRACKS), context.arrays(datasets.ARTISTS)
        pieces, n_parts = tracks.pieces(), -(-catalog.n_tracks // PART_SONGS)
        blocks = artist_tasks.as_artist_blocks(
            context.numbers(len(pieces)),
            read=lambda number, columns: tracks.read_piece(pieces[number], columns=columns),
            encodings=encodings,
            targets=partition_targets(n_parts),
        )
        n_values = len(encodings.value_names)
        artist_tasks.write_sums(blocks, n_parts=n_parts, n_values=n_values, files=files).toArrow()
        return ArtistFiles(files, n_parts, n_values)
