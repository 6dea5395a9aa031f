"""Tracks → what the rules of lists need to know of each: groups, traits, year, and what must be equal."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Ints
from musicrec.catalog.names import are_various
from musicrec.config_lists import ListsConfig
from musicrec.spark.arrow import numbers
from musicrec.traits import EXCLUDED, EXPLICIT, NO_GROUP, OTHER_LENGTH, UNKNOWN_YEAR

_UNKNOWN = {"release_year": UNKNOWN_YEAR, "same_key": 0}
_SECOND = 1000.0
# The share of a catalog up to which a listener takes various artists for one.
MAX_VARIOUS = 0.1


def count_various(tracks: pa.Table) -> int:
    """Return how many of some tracks are by various or unknown artists."""
    return int(are_various(numbers(pc.drop_null(tracks["artist_key"]))).sum())


def counts_various(n_various: int, n_tracks: int) -> bool:
    """Return whether various artists count as an artist: where most songs are theirs, lists would be short."""
    return n_various <= MAX_VARIOUS * n_tracks


def facts_of(tracks: pa.Table, settings: ListsConfig, *, barred: Ints, with_various: bool) -> Ints:
    """Return the columns `settings.facts` of tracks, (n, n_facts).

    Parameters
    ----------
    tracks : pyarrow.Table
        `schemas.TRACKS`.
    settings : ListsConfig
    barred : int64 array, shape (m,)
        The keys of songs that no list holds, rising.
    with_various : bool
        Whether various artists count as an artist.
    """
    facts = np.empty((tracks.num_rows, len(settings.facts)), dtype=np.int64)
    for i, name in enumerate(settings.facts):
        if name == "traits":
            facts[:, i] = _traits_of(tracks, settings, barred)
        else:
            facts[:, i] = numbers(pc.fill_null(tracks[name], _UNKNOWN.get(name, NO_GROUP)))
        if name == "artist_key" and not with_various:
            facts[are_various(facts[:, i]), i] = NO_GROUP
    return facts


def _traits_of(tracks: pa.Table, settings: ListsConfig, barred: Ints) -> Ints:
    """Return the traits of tracks (n,) that the rules look at."""
    traits = numbers(tracks["flags"]).astype(np.int64)
    explicit = pc.fill_null(tracks["explicit"], settings.explicit_unknown == "explicit")
    traits |= EXPLICIT * explicit.to_numpy().astype(np.int64)
    traits |= EXCLUDED * np.isin(numbers(tracks["track_key"]), barred)
    # Of an unknown length none says that it is too short or too long.
    seconds = tracks["duration_ms"].to_numpy() / _SECOND
    with np.errstate(invalid="ignore"):
        is_other = seconds < settings.min_seconds
        if settings.max_seconds:
            is_other |= seconds > settings.max_seconds
    looked_at: Ints = (traits | OTHER_LENGTH * is_other) & (settings.always_barred | settings.barred_unless_own)
    return looked_at
