"""What a listener would complain of in lists: an artist again and again, a song twice, another language."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Bools, Doubles, Ints

# Of an artist or a language that is not known.
NOT_KNOWN = -1
# Songs of an artist from which a list is full of it.
MANY = 3


@dataclass(frozen=True)
class Traits:
    """What is known of songs.

    Attributes
    ----------
    artists, works, languages : int64 arrays, shape (n,)
        `NOT_KNOWN` where they are not known; each song is of a work.
    holiday : bool array, shape (n,)
    years : float64 array, shape (n,)
        NaN where they are not known.
    """

    artists: Ints
    works: Ints
    languages: Ints
    holiday: Bools
    years: Doubles


@dataclass(frozen=True)
class Faults:
    """Shares of lists and of places; NaN where there is none to tell by.

    Attributes
    ----------
    repeated_artist : float
        Lists with an artist three times or more.
    repeated_work : float
        Lists with two versions of a work, or one of their own song's.
    own_artist : float
        Places of songs by the list's own artist.
    same_language : float
        Places in the language of the list's song, of those where both tell one.
    holiday : float
        Places of holiday songs in lists of holiday songs.
    holiday_elsewhere : float
        The same in all other lists.
    years_apart : float
        The median of the years between a list's song and one of its places.
    """

    repeated_artist: float
    repeated_work: float
    own_artist: float
    same_language: float
    holiday: float
    holiday_elsewhere: float
    years_apart: float


def measure_faults(owners: Ints, places: Ints, songs: Traits) -> Faults:
    """Return the faults of lists.

    Parameters
    ----------
    owners, places : int64 arrays, shape (n_places,)
        Rows of `songs`: whose list, and the song in it.
    songs : Traits
    """
    artists, languages = songs.artists, songs.languages
    is_known = artists[places] != NOT_KNOWN
    crowded = _repeated(owners[is_known], artists[places[is_known]], n=MANY)
    # A list's own song is a place of it, so that its versions are repeated.
    whole = np.unique(owners)
    versions = _repeated(np.append(owners, whole), np.append(songs.works[places], songs.works[whole]), n=2)
    own = is_known & (artists[places] == artists[owners])
    told = (languages[owners] != NOT_KNOWN) & (languages[places] != NOT_KNOWN)
    of_holiday = songs.holiday[owners]
    apart = np.abs(songs.years[owners] - songs.years[places])
    return Faults(
        repeated_artist=len(crowded) / max(1, len(whole)),
        repeated_work=len(versions) / max(1, len(whole)),
        own_artist=_mean(own),
        same_language=_mean((languages[owners] == languages[places])[told]),
        holiday=_mean(songs.holiday[places[of_holiday]]),
        holiday_elsewhere=_mean(songs.holiday[places[~of_holiday]]),
        years_apart=float(np.median(apart[~np.isnan(apart)])) if (~np.isnan(apart)).any() else float("nan"),
    )


def _repeated(owners: Ints, groups: Ints, *, n: int) -> Ints:
    """Return the lists that have a group n times or more."""
    pairs, counts = np.unique(np.column_stack([owners, groups]), axis=0, return_counts=True)
    return np.unique(pairs[counts >= n, 0])


def _mean(values: Bools) -> float:
    return float(values.mean()) if len(values) else float("nan")
