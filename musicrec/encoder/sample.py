"""Sample: songs drawn by hash, the same for the same seed, whatever the partitions, the launcher or a retry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.arrays import Bools, Doubles, Ints
from musicrec.catalog.clean import Catalog
from musicrec.catalog.sources import read_relation
from musicrec.config import Config
from musicrec.context import Context, log
from musicrec.encoder import features, labels
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


def draw_songs(context: Context, catalog: Catalog) -> Songs:
    """Return the songs that the encoder learns from and is judged by, as `sample_songs`."""
    with context.stage("sample", n_rows=catalog.n_tracks):
        return sample_songs(
            context.session,
            catalog.tracks,
            context.config,
            n_tracks=catalog.n_tracks,
            sample_size=context.config.model.sample_size,
            read_all=context.files(datasets.TRACKS).read,
        )


def sample_songs(
    session: SparkSession,
    tracks: DataFrame,
    config: Config,
    *,
    n_tracks: int,
    sample_size: int,
    read_all: Callable[[], pa.Table] | None = None,
) -> Songs:
    """Return a sample of the tracks, half of them drawn by the hash of their keys, half of them with a playlist.

    Of a large catalog, songs that are drawn by themselves hardly ever share a playlist: of 50,000 of 10 million,
    one in a hundred playlists of 30 songs has two. There would be nothing to learn from, and nothing to judge by.

    Parameters
    ----------
    session : SparkSession
    tracks : DataFrame
        `schemas.TRACKS`, `n_tracks` of them.
    config : Config
    n_tracks, sample_size : int
    read_all : callable, optional
        Returns all tracks, quicker than Spark does; asked where the sample is all of them.

    Raises
    ------
    InputError
        The playlists cannot be read.
    """
    seed = config.model.seed
    drawn = keep_sample(tracks, key="track_key", n_rows=n_tracks, sample_size=sample_size, seed=seed)
    playlists = config.input.playlists
    is_whole = n_tracks <= sample_size

    def labeled() -> pa.Table:
        found = read_all() if read_all and is_whole else drawn.select(*labels.LABEL_COLUMNS).toArrow()
        return labels.label_songs(found, seed=seed)

    if not playlists:
        return _as_songs(labeled(), None)
    with input_errors(playlists):
        rows = read_relation(session, playlists, owner="playlist_id", settings=config.input)
        memberships = labels.as_memberships(rows)
        if is_whole:
            return _as_songs(labeled(), memberships)
        # Asked three times, read once.
        memberships = memberships.distinct().persist()
        try:
            whole = _of_whole_playlists(
                memberships, tracks, drawn, n_tracks=n_tracks, n_drawn=sample_size, seed=seed
            )
            drawn = keep_songs(
                tracks,
                session.createDataFrame(whole),
                n_tracks=n_tracks,
                n_whole=whole.num_rows,
                sample_size=sample_size,
                seed=seed,
            )
            return _as_songs(labeled(), memberships)
        finally:
            memberships.unpersist()


def _of_whole_playlists(
    memberships: DataFrame, tracks: DataFrame, drawn: DataFrame, *, n_tracks: int, n_drawn: int, seed: int
) -> pa.Table:
    """Return the `track_key` of songs of some playlists, at most about half as many songs as are `drawn`."""
    # The memberships of the songs drawn tell how many all songs have; playlists may be full of unknown songs.
    n_memberships = labels.keep_memberships(memberships, songs=drawn).count() * n_tracks / n_drawn
    share = n_drawn / 2 / max(n_memberships, 1.0)
    kept = keep_playlists(labels.keep_memberships(memberships, songs=tracks), share=share, seed=seed)
    songs = kept.select("track_key").distinct().persist()
    n_songs = songs.count()
    # One playlist may hold half of the catalog. By another seed: that of the songs drawn would draw them again.
    some = keep_sample(songs, key="track_key", n_rows=n_songs, sample_size=n_drawn // 2, seed=seed + 1)
    keys = some.toArrow()
    songs.unpersist()
    return keys


def _as_songs(table: pa.Table, of_all: DataFrame | None) -> Songs:
    raw, memberships = features.raw_inputs(table), None
    if of_all is not None:
        memberships = labels.collect_memberships(of_all, songs=numbers(table["track_key"]))
        if memberships.num_rows:
            song = np.searchsorted(numbers(table["track_key"]), numbers(memberships["track_key"]))
            return Songs(table, raw, memberships, song, numbers(memberships["playlist_key"]), PLAYLIST)
        log.warning("the playlists hold none of the sampled songs: other labels take their place")
    known = np.flatnonzero(table["genre_key"].is_valid().to_numpy())
    genres = numbers(pc.drop_null(table["genre_key"]))
    return Songs(table, raw, memberships, known, genres, GENRE if len(known) else "")


def keep_sample(rows: DataFrame, *, key: str, n_rows: int, sample_size: int, seed: int) -> DataFrame:
    """Return about `sample_size` of `n_rows` rows; all of them where there are no more.

    Parameters
    ----------
    rows : DataFrame
    key : str
        Column of 64-bit keys, unique; a row's key and the seed alone decide whether it is drawn.
    n_rows, sample_size : int
    seed : int
    """
    return rows.where(_is_drawn(key, share=sample_size / max(n_rows, 1), seed=seed))


def keep_songs(
    tracks: DataFrame, whole: DataFrame, *, n_tracks: int, n_whole: int, sample_size: int, seed: int
) -> DataFrame:
    """Return about `sample_size` of `n_tracks` tracks: those of `whole`, and of the others as many as are wanted.

    Parameters
    ----------
    tracks : DataFrame
        With a `track_key`.
    whole : DataFrame
        `track_key`, `n_whole` of the tracks, few enough for the memory of each executor.
    n_tracks, n_whole, sample_size : int
    seed : int
    """
    share = (sample_size - n_whole) / max(n_tracks - n_whole, 1)
    marked = F.broadcast(whole.select("track_key", F.lit(True).alias("is_whole")))
    kept = F.col("is_whole").isNotNull() | _is_drawn("track_key", share=share, seed=seed)
    return tracks.join(marked, on="track_key", how="left").where(kept).drop("is_whole")


def keep_playlists(memberships: DataFrame, *, share: float, seed: int) -> DataFrame:
    """Return a share of the playlists of `train.as_memberships`, with all songs of each.

    Parameters
    ----------
    memberships : DataFrame
        `track_key, playlist_key`.
    share : float
        0..1.
    seed : int
    """
    return memberships.where(_is_drawn("playlist_key", share=share, seed=seed))


def _is_drawn(key: str, *, share: float, seed: int) -> Column:
    if share >= 1.0:
        return F.lit(True)
    # Hashes are spread evenly over the signed 64-bit numbers.
    return F.xxhash64(key, F.lit(seed)) < int(share * 2**64) - 2**63
