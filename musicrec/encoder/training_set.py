"""The sampled songs with what makes them alike, and what can be learned from a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Bools, Floats, Ints
from musicrec.config import ModelConfig
from musicrec.context import log
from musicrec.encoder.features import raw_songs
from musicrec.encoder.labels import artists_of, is_at_gate, is_validation
from musicrec.encoder.learning.artists import KnownArtists, sum_by_artist, tell
from musicrec.encoder.learning.batches import Positives, TrainingSet
from musicrec.encoder.learning.inputs import Encodings, InputLayout, fit_encodings
from musicrec.encoder.learning.song_inputs import (
    ARTIST,
    TITLE,
    RawSongs,
    SongEncodings,
    encode_songs,
    encode_values,
)
from musicrec.encoder.learning.texts import TextEncoding, fit_texts
from musicrec.encoder.sample import GENRE, Songs
from musicrec.songs import OPTIONAL_INPUTS, RAW_INPUTS
from musicrec.spark.arrow import numbers

# What can be an input beside the audio features, in the order in which they are tried.
INPUTS = (ARTIST, TITLE, *OPTIONAL_INPUTS)
# Songs whose titles are looked at to learn which letters tell songs apart.
MAX_TEXTS = 20_000


@dataclass(frozen=True)
class Prepared:
    """What an encoder learns from.

    Attributes
    ----------
    encodings : SongEncodings
        Fitted on the songs to learn from.
    inputs : float32 array, shape (n, n_inputs)
        Of all songs of the sample.
    learned : TrainingSet
        Those to learn from.
    objective : str
        What makes songs alike.
    """

    encodings: SongEncodings
    inputs: Floats
    learned: TrainingSet
    objective: str


def fit_values(songs: Songs, settings: ModelConfig, *, kept: Bools) -> Encodings:
    """Return how the values of songs are encoded, by those `kept` (n,).

    Parameters
    ----------
    songs : Songs
    settings : ModelConfig
    kept : bool array, shape (n,)
    """
    return fit_encodings(songs.raw[kept], optional=optional_inputs(settings, songs))


def fit_kept(songs: Songs, settings: ModelConfig) -> Encodings:
    """Return how the values of songs are encoded, by those of the sample that are learned from."""
    return fit_values(songs, settings, kept=~is_at_gate(songs.labeled, settings=settings))


def make_training_set(
    songs: Songs, settings: ModelConfig, *, values: Encodings, kept: Bools, artists: KnownArtists | None
) -> Prepared:
    """Return what is learned from the songs `kept` (n,).

    Parameters
    ----------
    songs : Songs
    settings : ModelConfig
    values : Encodings
        `fit_values` of them.
    kept : bool array, shape (n,)
        The songs to learn from.
    artists : KnownArtists, optional
        Of the whole catalog, where what they tell is an input.
    """
    known = raw_songs(songs.labeled, with_texts=settings.use_title)
    texts = _fit_texts(known, kept, seed=settings.seed) if settings.use_title else None
    # What nobody has told of the songs to learn from, nothing can be learned of.
    tells = artists is not None and bool(tell(artists.of(known.artists[kept])[0]).any())
    encodings = SongEncodings(values, with_artists=tells, texts=texts)
    inputs = encode_songs(known, encodings=encodings, artists=artists)
    labeled, memberships = songs.labeled.filter(pa.array(kept)), songs.memberships
    if memberships is not None:
        keys = labeled["track_key"].combine_chunks()
        memberships = memberships.filter(pc.is_in(memberships["track_key"], value_set=keys))
    if "genre" in values.optional:
        # What is given needs no learning.
        expert = settings.expert.model_copy(update={"genre_weight": 0.0})
        settings = settings.model_copy(update={"expert": expert})
    learned, objective = as_training_set(
        labeled, inputs[kept], layout=encodings.layout, memberships=memberships, settings=settings
    )
    log.info("%d songs to learn from, objective: %s", len(learned.inputs), objective)
    return Prepared(encodings, inputs, learned, objective)


def prepare(songs: Songs, settings: ModelConfig, *, kept: Bools) -> Prepared:
    """Return what is learned from the songs `kept` (n,) of a catalog that has no others than these `songs`.

    Parameters
    ----------
    songs : Songs
    settings : ModelConfig
    kept : bool array, shape (n,)
    """
    values, artists = fit_values(songs, settings, kept=kept), None
    if settings.use_artist_context:
        known = raw_songs(songs.labeled, with_texts=False)
        artists = sum_by_artist(known.artists, encode_values(known, encodings=values)[0])
    return make_training_set(songs, settings, values=values, kept=kept, artists=artists)


def _fit_texts(songs: RawSongs, kept: Bools, *, seed: int) -> TextEncoding | None:
    """Return how titles are encoded, by some of the songs `kept` (n,): more only take time."""
    some = np.random.default_rng(seed).permutation(np.flatnonzero(kept))[:MAX_TEXTS]
    return fit_texts(songs.take(np.sort(some)).texts, seed=seed)


def optional_inputs(settings: ModelConfig, songs: Songs) -> list[str]:
    """Return those of `songs.OPTIONAL_INPUTS` that are switched on; a genre that judges is no input."""
    used = [name for name in OPTIONAL_INPUTS if getattr(settings, f"use_{name}")]
    return [name for name in used if name != "genre" or songs.judged_by != GENRE]


def known_inputs(settings: ModelConfig, songs: Songs) -> list[str]:
    """Return those of `INPUTS` that are switched on and known of at least one song."""
    used = [name for name in (ARTIST, TITLE) if getattr(settings, f"use_{name}")]
    columns = {ARTIST: "artist_key", TITLE: "title"}
    return [
        *(name for name in used if songs.labeled[columns[name]].null_count < songs.labeled.num_rows),
        *(n for n in optional_inputs(settings, songs) if not np.isnan(songs.raw[:, RAW_INPUTS.index(n)]).all()),
    ]


def with_inputs(settings: ModelConfig, names: Sequence[str]) -> ModelConfig:
    """Return the settings with these of `INPUTS` switched on, and no others."""
    return settings.model_copy(update={f"use_{name}": name in names for name in INPUTS})


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
