"""What an artist's other songs sound like: the mean of their inputs.

Sums are of whole numbers, so that they do not depend on the order in which songs come, nor on who adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import Bools, Floats, Ints

# Of a song without an artist, or of various ones.
NO_ARTIST = -1
# Inputs are counted in so many steps of 1. They are at most 4, so that sums of a trillion songs fit into eight
# bytes, and those of an artist who tells something into four.
INPUT_STEPS = 2**18
# Artists of more songs are labels, choirs of all kinds or collections: their mean says nothing of a song.
MAX_OF_ARTIST = 500
Sums = NDArray[np.int64] | NDArray[np.int32]


class KnownArtists(Protocol):
    """The artists of a catalog."""

    def of(self, artists: Ints) -> tuple[Ints, Sums]:
        """Return how many songs each artist (n,) has, and the sums of their inputs (n, d); 0 of unknown ones."""
        ...


@dataclass(frozen=True)
class ArtistSums:
    """Artists with the sums of their songs' inputs.

    Attributes
    ----------
    artists : int64 array, shape (m,)
        Keys, rising.
    counts : int64 array, shape (m,)
        Their songs.
    sums : int64 array, shape (m, d)
        Of `INPUT_STEPS` of their inputs.
    """

    artists: Ints
    counts: Ints
    sums: Ints

    def of(self, artists: Ints) -> tuple[Ints, Sums]:
        """Return how many songs each artist (n,) has, and the sums of their inputs (n, d); 0 of unknown ones."""
        if not len(self.artists):
            return np.zeros(len(artists), dtype=np.int64), np.zeros((len(artists), self.sums.shape[1]), np.int64)
        place = np.searchsorted(self.artists, artists).clip(0, len(self.artists) - 1)
        known = self.artists[place] == artists
        return np.where(known, self.counts[place], 0), np.where(known[:, None], self.sums[place], 0)


def sum_by_artist(artists: Ints, inputs: Floats) -> ArtistSums:
    """Return the sums of songs by their artists; `NO_ARTIST` is none.

    Parameters
    ----------
    artists : int64 array, shape (n,)
    inputs : float32 array, shape (n, d)
    """
    known = artists != NO_ARTIST
    if not known.all():
        artists, inputs = artists[known], inputs[known]
    return sum_sums(artists, np.ones(len(artists), dtype=np.int64), _steps(inputs))


def sum_sums(artists: Ints, counts: Ints, sums: Sums) -> ArtistSums:
    """Return the sums over all that is said of each artist, in any order.

    Parameters
    ----------
    artists, counts : int64 arrays, shape (m,)
    sums : array of whole numbers, shape (m, d)
    """
    if not len(artists):
        return ArtistSums(artists, counts, sums.astype(np.int64))
    order = np.argsort(artists, kind="stable")
    ordered = artists[order]
    firsts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    totals = [np.add.reduceat(each[order], firsts, axis=0, dtype=np.int64) for each in (counts, sums)]
    return ArtistSums(ordered[firsts], *totals)


def without_many(found: ArtistSums) -> NDArray[np.int32]:
    """Return the sums (m, d) in four bytes each, 0 of artists of so many songs that they tell nothing."""
    return np.where(found.counts[:, None] <= MAX_OF_ARTIST, found.sums, 0).astype(np.int32)


def tell(counts: Ints) -> Bools:
    """Return which artists of so many songs (n,) tell something of one of them."""
    told: Bools = (counts > 1) & (counts <= MAX_OF_ARTIST)
    return told


def other_songs(inputs: Floats, counts: Ints, sums: Sums) -> tuple[Floats, Bools]:
    """Return what the other songs of each song's artist are like, and which songs have none.

    Parameters
    ----------
    inputs : float32 array, shape (n, d)
        Of the songs, which are in the sums.
    counts, sums : arrays of whole numbers, shapes (n,) and (n, d)
        What `KnownArtists.of` returns.

    Returns
    -------
    float32 array, shape (n, d + 1)
        The mean of the others' inputs and the logarithm of how many there are; 0 where there is none.
    bool array, shape (n,)
    """
    none = ~tell(counts)
    n_others = np.where(none, 1, counts - 1)  # (n,)
    means = (sums - _steps(inputs)) / (INPUT_STEPS * n_others[:, None])  # (n, d)
    told = np.column_stack([means, np.log1p(n_others)]).astype(np.float32)  # (n, d + 1)
    told[none] = 0
    return told, none


def _steps(inputs: Floats) -> NDArray[np.int32]:
    # A power of two: the product is exact, and single precision has all whole numbers up to it.
    steps: NDArray[np.int32] = np.rint(inputs * np.float32(INPUT_STEPS)).astype(np.int32)
    return steps
