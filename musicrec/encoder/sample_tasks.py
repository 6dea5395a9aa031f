"""What tasks do for the sample: the songs of some whole playlists, and the rows of the songs that are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from musicrec.arrays import Bools, Ints, as_shares, is_drawn
from musicrec.catalog.numbered import Numbered
from musicrec.catalog.relations import Relation
from musicrec.encoder.labels import LABEL_COLUMNS, as_memberships
from musicrec.messages import MEMBERSHIPS
from musicrec.schemas import TRACKS
from musicrec.spark.arrow import gather_batches, numbers
from musicrec.spark.tasks import PIECE_ROWS, Batches, each_number
from musicrec.storage.rows import RowFiles

LABELED = StructType([TRACKS[name] for name in LABEL_COLUMNS])
# Added to the seed: songs, playlists and the songs of one playlist are drawn independently, and others draw by
# the same keys.
SONG_SEED, PLAYLIST_SEED, MEMBER_SEED = 101, 102, 103
N_MERGES = 8


@dataclass(frozen=True)
class Draw:
    """Which songs a sample has: those of `whole` (n,), rising keys, and of all others a `share`, by `seed`."""

    whole: Ints
    share: float
    seed: int

    def has(self, keys: Ints) -> Bools:
        """Return whether songs are in the sample, by their keys (n,)."""
        drawn: Bools = is_drawn(keys, share=self.share, seed=self.seed + SONG_SEED) | np.isin(keys, self.whole)
        return drawn


class Tracks(Protocol):
    """The catalog, as the sample needs it."""

    def map_known(self, playlists: Relation, make: Callable[[Batches], Batches]) -> DataFrame:
        """Return `messages.MEMBERSHIPS` that are made of those of the catalog's songs."""
        ...

    def select(self, draw: Draw) -> pa.Table:
        """Return `labels.LABEL_COLUMNS` of the songs that a draw has."""
        ...

    def first_id(self) -> str:
        """Return the id of a song."""
        ...


@dataclass(frozen=True)
class TrackFiles:
    """A catalog in files.

    Attributes
    ----------
    files : RowFiles
        `schemas.TRACKS`.
    numbered : Numbered
    numbers : callable
        Returns a DataFrame of so many numbers, a partition each.
    """

    files: RowFiles
    numbered: Numbered
    numbers: Callable[[int], DataFrame]

    def map_known(self, playlists: Relation, make: Callable[[Batches], Batches]) -> DataFrame:
        """Return `messages.MEMBERSHIPS` that are made of those of the catalog's songs."""
        numbered = self.numbered

        def keep(batches: Batches) -> Batches:
            # Many rows at once: each look opens the files of most ranges.
            for table in gather_batches(as_memberships(batches), n_rows=PIECE_ROWS):
                yield from table.filter(pa.array(numbered.knows(numbers(table["track_key"])))).to_batches()

        return playlists.map(lambda batches: make(keep(batches)), MEMBERSHIPS)

    def select(self, draw: Draw) -> pa.Table:
        """Return `labels.LABEL_COLUMNS` of the songs that a draw has."""
        files, pieces = self.files, self.files.pieces()

        def select(batches: Batches) -> Batches:
            for number in each_number(batches):
                yield from _drawn(files.read_piece(pieces[number], columns=LABEL_COLUMNS), draw).to_batches()

        return self.numbers(len(pieces)).mapInArrow(select, LABELED).toArrow()

    def first_id(self) -> str:
        """Return the id of a song."""
        first: str = self.numbered.ids_of(0)[0].as_py()
        return first


@dataclass(frozen=True)
class TrackRows:
    """A catalog as a DataFrame of `schemas.TRACKS`."""

    rows: DataFrame

    def map_known(self, playlists: Relation, make: Callable[[Batches], Batches]) -> DataFrame:
        """Return `messages.MEMBERSHIPS` that are made of those of the catalog's songs."""
        memberships = playlists.map(as_memberships, MEMBERSHIPS)
        known = memberships.join(self.rows.select("track_key"), on="track_key", how="left_semi")
        return known.mapInArrow(make, MEMBERSHIPS)

    def select(self, draw: Draw) -> pa.Table:
        """Return `labels.LABEL_COLUMNS` of the songs that a draw has."""

        def select(batches: Batches) -> Batches:
            for batch in batches:
                yield from _drawn(pa.Table.from_batches([batch]), draw).to_batches()

        return self.rows.select(*LABEL_COLUMNS).mapInArrow(select, LABELED).toArrow()

    def first_id(self) -> str:
        """Return the id of a song."""
        first: str = self.rows.agg(F.min("track_id")).toArrow()[0][0].as_py()
        return first


def first_pairs(tracks: Tracks, playlists: Relation, *, n: int, seed: int) -> Ints:
    """Return the songs, rising, of the first `n` pairs of playlist and song in a random order of the playlists.

    All of a playlist's songs follow each other, so that those of all playlists but the last are whole. Each task
    returns its own first pairs, so none holds more, and neither partitions nor repeated rows change any.

    Parameters
    ----------
    tracks : Tracks
        The songs that count.
    playlists : Relation
    n : int
        At least 1.
    seed : int
    """

    def first(batches: Batches) -> Batches:
        yield from keep_first(gather_batches(batches, n_rows=PIECE_ROWS), n=n, seed=seed).to_batches()

    # Once more in a few tasks: what reaches the driver does not grow with the files.
    found = tracks.map_known(playlists, first).repartition(N_MERGES).mapInArrow(first, MEMBERSHIPS).toArrow()
    return np.unique(numbers(keep_first([found], n=n, seed=seed)["track_key"]))


def keep_first(tables: Iterable[pa.Table], *, n: int, seed: int) -> pa.Table:
    """Return the first memberships as `first_pairs` orders them, holding few more.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        `messages.MEMBERSHIPS`.
    n : int
        At most so many are returned, each once.
    seed : int
    """
    held: list[pa.Table] = []
    for table in tables:
        held = [_first(pa.concat_tables([*held, table]), n=n, seed=seed)]
    return held[0] if held else pa.table({name: pa.array([], pa.int64()) for name in MEMBERSHIPS.names})


def _first(pairs: pa.Table, *, n: int, seed: int) -> pa.Table:
    distinct = pairs.group_by(MEMBERSHIPS.names).aggregate([])
    songs, playlists = (numbers(distinct[name]) for name in MEMBERSHIPS.names)
    order = np.lexsort(
        (
            songs,
            as_shares(songs, seed=seed + MEMBER_SEED),
            playlists,
            as_shares(playlists, seed=seed + PLAYLIST_SEED),
        )
    )
    return distinct.take(pa.array(order[:n]))


def _drawn(tracks: pa.Table, draw: Draw) -> pa.Table:
    return tracks.select(LABEL_COLUMNS).filter(pa.array(draw.has(numbers(tracks["track_key"]))))
