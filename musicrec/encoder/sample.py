"""Sample: songs drawn by hash, the same for the same seed, whatever the partitions, the launcher or a retry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Bools, Doubles, Ints
from musicrec.catalog.clean import Catalog
from musicrec.catalog.matches import no_match
from musicrec.catalog.numbered import Numbered
from musicrec.catalog.relations import Relation
from musicrec.config import Config
from musicrec.context import Context
from musicrec.encoder import features, labels
from musicrec.encoder.sample_tasks import Draw, TrackFiles, Tracks, first_pairs
from musicrec.measures.retrieval import Collection
from musicrec.spark.arrow import numbers
from musicrec.spark.failures import input_errors
from musicrec.storage import datasets

PLAYLIST, GENRE = "a playlist", "the genre"


@dataclass(frozen=True)
class Songs:
    """A sample of songs.

    Attributes
    ----------
    labeled : pyarrow.Table
        `label_songs`.
    raw : float64 array, shape (n, 15)
        `songs.RAW_INPUTS`.
    memberships : pyarrow.Table or None
        `as_memberships`; None where no playlists are given.
    song, group : int64 array, shape (n_pairs,)
        Row and group of each pair that makes songs alike to the eyes of who judges.
    judged_by : str
        What these groups are, `PLAYLIST` or `GENRE`; empty where nothing is known to judge by.
    """

    labeled: pa.Table
    raw: Doubles
    memberships: pa.Table | None
    song: Ints
    group: Ints
    judged_by: str

    def candidates(self, kept: Bools) -> Collection:
        """Return the songs `kept` (n,) as those that are asked for and may answer."""
        position = np.cumsum(kept) - 1
        inside = kept[self.song]
        artists = labels.artists_of(self.labeled)[kept]
        return Collection.make(artists, song=position[self.song[inside]], group=self.group[inside])


def draw_songs(context: Context, catalog: Catalog, numbered: Numbered, playlists: Relation | None) -> Songs:
    """Return the songs that the encoder learns from and is judged by, as `sample_songs`.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    numbered : Numbered
        Its songs.
    playlists : Relation, optional
    """
    with context.stage("sample", n_rows=catalog.n_tracks):
        return sample_songs(
            TrackFiles(context.files(datasets.TRACKS), numbered, context.numbers),
            context.config,
            playlists=playlists,
            n_tracks=catalog.n_tracks,
            sample_size=context.config.model.sample_size,
        )


def sample_songs(
    tracks: Tracks, config: Config, *, playlists: Relation | None, n_tracks: int, sample_size: int
) -> Songs:
    """Return a sample of the tracks, half of them with their playlists, the others drawn by their keys.

    Of a large catalog, songs that are drawn by themselves hardly ever share a playlist: of 50,000 of 10 million,
    one in a hundred playlists of 30 songs has two. There would be nothing to learn from, and nothing to judge by.

    Parameters
    ----------
    tracks : Tracks
        `n_tracks` of them; where there are no more than are wanted, the sample is all of them.
    config : Config
    playlists : Relation, optional
    n_tracks, sample_size : int

    Raises
    ------
    InputError
        The playlists cannot be read, or hold no song of the catalog.
    """
    seed, whole, memberships = config.model.seed, np.empty(0, dtype=np.int64), None
    if playlists is not None and n_tracks > sample_size:
        with input_errors(config.input.playlists):
            whole = first_pairs(tracks, playlists, n=max(1, sample_size // 2), seed=seed)
    share = (sample_size - len(whole)) / max(n_tracks - len(whole), 1)
    labeled = labels.label_songs(tracks.select(Draw(whole, share, seed)), seed=seed)
    if playlists is not None:
        with input_errors(config.input.playlists):
            memberships = labels.collect_memberships(playlists, songs=numbers(labeled["track_key"]))
            if not memberships.num_rows:
                where = config.input.playlists
                raise no_match("playlists", playlists, uri=where, song_id=tracks.first_id())
    return _as_songs(labeled, memberships)


def _as_songs(table: pa.Table, memberships: pa.Table | None) -> Songs:
    raw = features.raw_inputs(table)
    if memberships is not None:
        song = np.searchsorted(numbers(table["track_key"]), numbers(memberships["track_key"]))
        return Songs(table, raw, memberships, song, numbers(memberships["playlist_key"]), PLAYLIST)
    known = np.flatnonzero(table["genre_key"].is_valid().to_numpy())
    genres = numbers(pc.drop_null(table["genre_key"]))
    return Songs(table, raw, memberships, known, genres, GENRE if len(known) else "")
