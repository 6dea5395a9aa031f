"""The sampled songs with what makes them alike, and what can be learned from a part of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from musicrec.algorithms.batches import TrainingSet
from musicrec.algorithms.encodings import Encodings, encode, fit_encodings
from musicrec.algorithms.retrieval import Candidates
from musicrec.arrow import numbers
from musicrec.config import Config, ModelConfig
from musicrec.pipeline.context import log
from musicrec.pipeline.ingest import read_relation
from musicrec.stages import features, sample, train
from musicrec.storage import tables

PLAYLIST, GENRE = "a playlist", "the genre"


@dataclass(frozen=True)
class Songs:
    """A sample of songs.

    Attributes
    ----------
    labeled : pyarrow.Table
        `as_labeled`, by rising track_key.
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
    raw: NDArray[np.float64]
    memberships: pa.Table | None
    song: NDArray[np.int64]
    group: NDArray[np.int64]
    judged_by: str

    def candidates(self, kept: NDArray[np.bool_]) -> Candidates:
        """Return the songs `kept` (n,) as those that are asked for and may answer."""
        position = np.cumsum(kept) - 1
        inside = kept[self.song]
        artists = train.artists_of(self.labeled)[kept]
        return Candidates.make(artists, song=position[self.song[inside]], group=self.group[inside])


def sample_songs(
    session: SparkSession, tracks: DataFrame, config: Config, *, n_tracks: int, sample_size: int
) -> Songs:
    """Return a sample of the tracks, half of them drawn by the hash of their keys, half of them with a playlist.

    Of a large catalog, songs that are drawn by themselves hardly ever share a playlist: of 50,000 of 10 million,
    one in a hundred playlists of 30 songs has two. There would be nothing to learn from, and nothing to judge by.

    Raises
    ------
    InputError
        The playlists cannot be read.
    """
    seed = config.model.seed
    drawn = sample.keep_sample(tracks, key="track_key", n_rows=n_tracks, sample_size=sample_size, seed=seed)
    playlists = config.input.playlists
    if not playlists:
        return _as_songs(train.as_labeled(drawn, seed=seed), None)
    with tables.input_errors(playlists):
        rows = read_relation(session, playlists, owner="playlist_id", settings=config.input)
        if n_tracks > sample_size:
            whole = _of_whole_playlists(rows, tracks, drawn, n_tracks=n_tracks, n_drawn=sample_size, seed=seed)
            drawn = sample.keep_songs(
                tracks,
                session.createDataFrame(whole),
                n_tracks=n_tracks,
                n_whole=whole.num_rows,
                sample_size=sample_size,
                seed=seed,
            )
        return _as_songs(train.as_labeled(drawn, seed=seed), rows)


def _of_whole_playlists(
    rows: DataFrame, tracks: DataFrame, drawn: DataFrame, *, n_tracks: int, n_drawn: int, seed: int
) -> pa.Table:
    """Return the `track_key` of songs of some playlists, at most about half as many songs as are `drawn`."""
    # The memberships of the songs drawn tell how many all songs have; playlists may be full of unknown songs.
    n_memberships = train.as_memberships(rows, songs=drawn).count() * n_tracks / n_drawn
    share = n_drawn / 2 / max(n_memberships, 1.0)
    memberships = sample.keep_playlists(train.as_memberships(rows, songs=tracks), share=share, seed=seed)
    songs = memberships.select("track_key").distinct().persist()
    n_songs = songs.count()
    # One playlist may hold half of the catalog. By another seed: that of the songs drawn would draw them again.
    kept = sample.keep_sample(songs, key="track_key", n_rows=n_songs, sample_size=n_drawn // 2, seed=seed + 1)
    keys = kept.toArrow()
    songs.unpersist()
    return keys


def _as_songs(labeled: DataFrame, playlists: DataFrame | None) -> Songs:
    table = train.sort_by_key(labeled.toArrow())
    raw, memberships = features.raw_inputs(table), None
    if playlists is not None:
        memberships = train.sort_by_key(train.as_memberships(playlists, songs=labeled).toArrow())
        if memberships.num_rows:
            song = np.searchsorted(numbers(table["track_key"]), numbers(memberships["track_key"]))
            return Songs(table, raw, memberships, song, numbers(memberships["playlist_key"]), PLAYLIST)
        log.warning("             the playlists hold none of the sampled songs: other labels take their place")
    known = np.flatnonzero(table["genre_key"].is_valid().to_numpy())
    genres = numbers(pc.drop_null(table["genre_key"]))
    return Songs(table, raw, memberships, known, genres, GENRE if len(known) else "")


def make_training_set(
    songs: Songs, settings: ModelConfig, *, optional: list[str], kept: NDArray[np.bool_]
) -> tuple[Encodings, NDArray[np.float32], TrainingSet, str]:
    """Return what is fitted on the songs `kept` (n,), the inputs of all, the kept ones to learn from, and how."""
    encodings = fit_encodings(songs.raw[kept], optional=optional)
    inputs = encode(songs.raw, encodings=encodings)
    labeled, memberships = songs.labeled.filter(pa.array(kept)), songs.memberships
    if memberships is not None:
        keys = labeled["track_key"].combine_chunks()
        memberships = memberships.filter(pc.is_in(memberships["track_key"], value_set=keys))
    if "genre" in encodings.optional:
        # What is given needs no learning.
        settings = settings.model_copy(update={"genre_weight": 0.0})
    learned, objective = train.as_training_set(
        labeled, inputs[kept], layout=encodings.layout, memberships=memberships, settings=settings
    )
    log.info("             %d songs to learn from, objective: %s", len(learned.inputs), objective)
    return encodings, inputs, learned, objective


def optional_inputs(settings: ModelConfig, songs: Songs) -> list[str]:
    """Return those of `songs.OPTIONAL_INPUTS` that are switched on; a genre that judges is no input."""
    switches = {
        "release_date": settings.use_release_date,
        "popularity": settings.use_popularity,
        "genre": settings.use_genre and songs.judged_by != GENRE,
    }
    return [name for name, used in switches.items() if used]
