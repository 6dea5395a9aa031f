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
    """Return a sample of the tracks by the hash of their keys.

    Raises
    ------
    InputError
        The playlists cannot be read.
    """
    seed = config.model.seed
    drawn = sample.keep_sample(tracks, key="track_key", n_rows=n_tracks, sample_size=sample_size, seed=seed)
    labeled = train.as_labeled(drawn, seed=seed)
    table = train.sort_by_key(labeled.toArrow())
    raw, memberships = features.raw_inputs(table), _memberships(session, config, labeled)
    if memberships is not None and memberships.num_rows:
        song = np.searchsorted(numbers(table["track_key"]), numbers(memberships["track_key"]))
        return Songs(table, raw, memberships, song, numbers(memberships["playlist_key"]), PLAYLIST)
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


def _memberships(session: SparkSession, config: Config, labeled: DataFrame) -> pa.Table | None:
    if not config.input.playlists:
        return None
    with tables.input_errors(config.input.playlists):
        rows = read_relation(session, config.input.playlists, owner="playlist_id", settings=config.input)
        found = train.sort_by_key(train.as_memberships(rows, songs=labeled).toArrow())
    if not found.num_rows:
        log.warning("             the playlists hold none of the sampled songs: other labels take their place")
    return found
