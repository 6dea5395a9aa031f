"""The sampled songs with what makes them alike, and what can be learned from a part of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Bools, Floats, Ints
from musicrec.config import ModelConfig
from musicrec.context import log
from musicrec.encoder.labels import artists_of, is_validation
from musicrec.encoder.learning.batches import Positives, TrainingSet
from musicrec.encoder.learning.inputs import Encodings, InputLayout, encode, fit_encodings
from musicrec.encoder.sample import GENRE, Songs
from musicrec.spark.arrow import numbers


def make_training_set(
    songs: Songs, settings: ModelConfig, *, optional: list[str], kept: Bools
) -> tuple[Encodings, Floats, TrainingSet, str]:
    """Return what is fitted on the songs `kept` (n,), the inputs of all, the kept ones to learn from, and how.

    Parameters
    ----------
    songs : Songs
    settings : ModelConfig
    optional : list of str
        Those of `songs.OPTIONAL_INPUTS` that are used.
    kept : bool array, shape (n,)
        The songs to learn from.
    """
    encodings = fit_encodings(songs.raw[kept], optional=optional)
    inputs = encode(songs.raw, encodings=encodings)
    labeled, memberships = songs.labeled.filter(pa.array(kept)), songs.memberships
    if memberships is not None:
        keys = labeled["track_key"].combine_chunks()
        memberships = memberships.filter(pc.is_in(memberships["track_key"], value_set=keys))
    if "genre" in encodings.optional:
        # What is given needs no learning.
        expert = settings.expert.model_copy(update={"genre_weight": 0.0})
        settings = settings.model_copy(update={"expert": expert})
    learned, objective = as_training_set(
        labeled, inputs[kept], layout=encodings.layout, memberships=memberships, settings=settings
    )
    log.info("%d songs to learn from, objective: %s", len(learned.inputs), objective)
    return encodings, inputs, learned, objective


def optional_inputs(settings: ModelConfig, songs: Songs) -> list[str]:
    """Return those of `songs.OPTIONAL_INPUTS` that are switched on; a genre that judges is no input."""
    switches = {
        "release_date": settings.use_release_date,
        "popularity": settings.use_popularity,
        "genre": settings.use_genre and songs.judged_by != GENRE,
    }
    return [name for name, used in switches.items() if used]


def as_training_set(
    labeled: pa.Table,
    inputs: Floats,
    *,
    layout: InputLayout,
    memberships: pa.Table | None,
    settings: ModelConfig,
) -> tuple[TrainingSet, str]:
    """Return what to learn from, and the objective that the data allow.

    Parameters
    ----------
    labeled : pyarrow.Table
        `label_songs` of the sample.
    inputs : float32 array, shape (n, n_inputs)
        Its model inputs.
    layout : InputLayout
    memberships : pyarrow.Table, optional
        `as_memberships` of the sample.
    settings : ModelConfig
        Whose objective "auto" takes the first that has songs to compare, and "all" whatever has.

    Returns
    -------
    TrainingSet, str
    """
    keys = numbers(labeled.column("track_key"))
    by_playlists = _playlist_positives(keys, memberships, settings) if memberships is not None else ()
    by_labels = tuple(
        _label_positives(kind, weight, labeled.column(f"{kind}_key"))
        for kind, weight in (("artist", settings.expert.artist_weight), ("genre", settings.expert.genre_weight))
    )
    offers = {
        "playlists": by_playlists,
        "labels": by_labels,
        "all": (*by_playlists, *by_labels),
        "self_supervised": (),
    }
    usable = {name: tuple(p for p in offer if p.weight and _has_pairs(p)) for name, offer in offers.items()}
    wanted = ["playlists", "labels"] if settings.objective == "auto" else [settings.objective]
    chosen = next((name for name in wanted if usable[name]), "self_supervised")
    songs = TrainingSet(
        inputs=inputs,
        layout=layout,
        recordings=numbers(labeled.column("recording_key")),
        artists=artists_of(labeled),
        validation=is_validation(labeled, settings=settings),
        positives=usable[chosen],
    )
    return songs, chosen


def _playlist_positives(keys: Ints, memberships: pa.Table, settings: ModelConfig) -> tuple[Positives, ...]:
    song = np.searchsorted(keys, numbers(memberships.column("track_key")))
    return (
        _positives(
            "playlists", settings.expert.playlist_weight, song, numbers(memberships.column("playlist_key"))
        ),
    )


def _label_positives(kind: str, weight: float, column: pa.ChunkedArray) -> Positives:
    known = column.is_valid().to_numpy()
    return _positives(kind, weight, np.flatnonzero(known), numbers(column.drop_null()))


def _positives(kind: str, weight: float, song: Ints, group: Ints) -> Positives:
    order = np.lexsort((group, song))
    return Positives(kind, weight, song[order], group[order])


def _has_pairs(positives: Positives) -> bool:
    return bool(len(positives.group) > len(np.unique(positives.group)))
