"""How songs occur in the lists of others, and places for those that stand in none.

Nearness is not mutual: in many dimensions some songs are among nobody's k nearest, though each has k nearest of
its own (antihubs, Radovanović et al. 2010). Local scaling moves all lists a little to reach them; a place in the
list of a song that they list themselves reaches them for sure, and leaves all other places as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Bools, Floats, Ints, concatenate_ranges

# Songs of its own list that a forgotten song asks for a place.
N_ASKED = 5
NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class SongLists:
    """Lists of songs.

    Attributes
    ----------
    songs, recordings : int64 arrays, shape (n,)
        Whose lists they are.
    starts : int64 array, shape (n + 1,)
        List i has the places starts[i] : starts[i + 1], best first.
    places, place_recordings : int64 arrays, shape (starts[-1],)
        The songs that it holds, and their recordings.
    scores : float32 array, shape (starts[-1],)
    """

    songs: Ints
    recordings: Ints
    starts: Ints
    places: Ints
    place_recordings: Ints
    scores: Floats


@dataclass(frozen=True)
class Counts:
    """In how many lists songs stand.

    Attributes
    ----------
    songs : int64 array, shape (n,)
        Keys, rising.
    n_lists : int64 array, shape (n,)
    """

    songs: Ints
    n_lists: Ints

    def of(self, songs: Ints) -> Ints:
        """Return the counts of some songs; 0 for those not known here."""
        known = is_among(songs, self.songs)
        counts = np.zeros(len(songs), dtype=np.int64)
        counts[known] = self.n_lists[np.searchsorted(self.songs, songs[known])]
        return counts


@dataclass(frozen=True)
class Histogram:
    """How many songs n_songs (m,) stand in n_lists (m,) lists."""

    n_lists: Ints
    n_songs: Ints


@dataclass(frozen=True)
class Offers:
    """Lists that a forgotten song may come into.

    Attributes
    ----------
    guests, recordings : int64 arrays, shape (n,)
        Keys of the forgotten songs, and their recordings.
    scores : float32 array, shape (n,)
    hosts : int64 array, shape (n,)
        Keys of the songs whose lists they are.
    """

    guests: Ints
    recordings: Ints
    scores: Floats
    hosts: Ints

    def take(self, rows: Ints) -> Offers:
        """Return some of the offers."""
        return Offers(self.guests[rows], self.recordings[rows], self.scores[rows], self.hosts[rows])


@dataclass(frozen=True)
class Room:
    """What offers cost.

    Attributes
    ----------
    offers : int64 array, shape (n,)
        Rows of `Offers`.
    has_room : bool array, shape (n,)
        The host's list is not full, and nothing is removed.
    removed : int64 array, shape (n,)
        Else the key of the song that is; 0 where there is room.
    """

    offers: Ints
    has_room: Bools
    removed: Ints


@dataclass(frozen=True)
class Occurrence:
    """In how many lists songs stand: those that are in none, 0..1, and the skewness over all songs."""

    forgotten_share: float
    skewness: float


def count_places(songs: Ints, places: Ints) -> Counts:
    """Return the counts of the songs at `places`, and of `songs`, whose lists they are: 0 where in no list.

    Parameters
    ----------
    songs : int64 array, shape (n,)
        Each once.
    places : int64 array, shape (m,)
        The songs that they hold.
    """
    names, n_lists = np.unique(np.concatenate([places, songs]), return_counts=True)
    # Counted once too often, for their own list.
    n_lists[np.searchsorted(names, songs)] -= 1
    return Counts(names, n_lists)


def add_counts(counts: list[Counts]) -> Counts:
    """Return the sums by song."""
    songs, n_lists = (
        np.concatenate([NOTHING, *[getattr(each, name) for each in counts]]) for name in ("songs", "n_lists")
    )
    order = np.argsort(songs, kind="stable")
    names, firsts = np.unique(songs[order], return_index=True)
    return Counts(names, np.add.reduceat(n_lists[order], firsts) if len(names) else n_lists)


def is_among(keys: Ints, rising: Ints) -> Bools:
    """Return which of the keys are among a few, which rise."""
    if not len(rising):
        return np.zeros(len(keys), dtype=bool)
    found: Bools = rising[np.minimum(np.searchsorted(rising, keys), len(rising) - 1)] == keys
    return found


def find_offers(lists: SongLists, forgotten: Ints) -> Offers:
    """Return the offers of the first `N_ASKED` of each forgotten song's list.

    Parameters
    ----------
    lists : SongLists
        Those of a share of the songs.
    forgotten : int64 array, shape (m,)
        Keys, rising.
    """
    rows = np.flatnonzero(is_among(lists.songs, forgotten))
    lengths = np.minimum(np.diff(lists.starts)[rows], N_ASKED)
    row, position = np.repeat(rows, lengths), concatenate_ranges(lists.starts[rows], lengths)
    return Offers(lists.songs[row], lists.recordings[row], lists.scores[position], lists.places[position])


def find_room(lists: SongLists, hosts: Ints, recordings: Ints, *, k: int) -> Room:
    """Return what the offers to these lists cost.

    What makes room is the other release of the guest's recording, else the last place where the list is full.

    Parameters
    ----------
    lists : SongLists
        Those of a share of the songs, each recording once.
    hosts, recordings : int64 arrays, shape (n,)
        Of the offers: whose lists are asked, rising, and the guests' recordings.
    k : int
        Places of a full list, at least 1.
    """
    rows = np.flatnonzero(is_among(lists.songs, hosts))
    first = np.searchsorted(hosts, lists.songs[rows], side="left")
    n_offers = np.searchsorted(hosts, lists.songs[rows], side="right") - first
    row, offer = np.repeat(rows, n_offers), concatenate_ranges(first, n_offers)
    start, length = lists.starts[row], np.diff(lists.starts)[row]
    is_full = length >= k
    removed = start + length - 1
    # The place of each offer's sibling, if any.
    pair, position = np.repeat(np.arange(len(row)), length), concatenate_ranges(start, length)
    same = lists.place_recordings[position] == recordings[offer][pair]
    removed[pair[same]] = position[same]
    is_full[pair[same]] = True
    songs = np.zeros(len(row), dtype=np.int64)
    songs[is_full] = lists.places[removed[is_full]]
    return Room(offer, ~is_full, songs)


def choose_places(offers: Offers, room: Room, n_lists: Ints) -> Ints:
    """Return the rows of `room` that get their place, rising: each host and each guest at most once.

    Parameters
    ----------
    offers : Offers
    room : Room
        What they cost.
    n_lists : int64 array, shape (n,)
        In how many lists the songs to be removed stand; a song never leaves the only one that holds it.
    """
    guests, hosts = offers.guests[room.offers], offers.hosts[room.offers]
    best_first = np.lexsort((hosts, guests, -offers.scores[room.offers]))
    left = best_first[(room.has_room | (n_lists > 1))[best_first]]
    left = left[_count_before(hosts[left]) == 0]
    left = left[_count_before(guests[left]) == 0]
    # One list more must hold a removed song than it leaves.
    full = left[~room.has_room[left]]
    spared = full[_count_before(room.removed[full]) + 1 < n_lists[full]]
    return np.sort(np.concatenate([left[room.has_room[left]], spared]))


def count_changes(offers: Offers, room: Room, chosen: Ints) -> Counts:
    """Return by how much the numbers of lists change that hold songs.

    Parameters
    ----------
    offers : Offers
    room : Room
        What they cost.
    chosen : int64 array, shape (n_chosen,)
        Rows of `room`.
    """
    come = offers.guests[room.offers[chosen]]
    gone, n = np.unique(room.removed[chosen[~room.has_room[chosen]]], return_counts=True)
    return add_counts([Counts(np.unique(come), np.ones(len(come), dtype=np.int64)), Counts(gone, -n)])


def as_histogram(n_lists: Ints) -> Histogram:
    """Return how many of the songs, of which `n_lists` (n,) lists each hold one, stand in how many."""
    return Histogram(*np.unique(n_lists, return_counts=True))


def changed_histogram(histogram: Histogram, *, before: Ints, after: Ints) -> Histogram:
    """Return the histogram after some songs' numbers of lists have changed.

    Parameters
    ----------
    histogram : Histogram
    before, after : int64 arrays, shape (n,)
        Lists that hold each of these songs; all were in the histogram.
    """
    one = np.ones(len(before), dtype=np.int64)
    return add_histograms([histogram, Histogram(before, -one), Histogram(after, one)])


def add_histograms(histograms: list[Histogram]) -> Histogram:
    """Return the histogram of all of their songs; a number of lists may stand in it several times."""
    return Histogram(
        np.concatenate([NOTHING, *[each.n_lists for each in histograms]]),
        np.concatenate([NOTHING, *[each.n_songs for each in histograms]]),
    )


def measure_occurrence(histogram: Histogram, *, n_songs: int) -> Occurrence:
    """Return how the places are spread over the `n_songs` of the catalog, also over those not in the histogram."""
    number, weight = histogram.n_lists.astype(np.float64), histogram.n_songs / n_songs
    mean = float(weight @ number)
    # Songs that the histogram lacks stand in no list.
    rest = 1 - float(weight.sum())
    variance = float(weight @ (number - mean) ** 2) + rest * mean**2
    third = float(weight @ (number - mean) ** 3) - rest * mean**3
    n_listed = int(histogram.n_songs[histogram.n_lists > 0].sum())
    return Occurrence(1 - n_listed / n_songs, third / variance**1.5 if variance > 1e-12 else 0.0)


def _count_before(groups: Ints) -> Ints:
    """Return how many of each one's group stand before it."""
    order = np.argsort(groups, kind="stable")
    _, first, inverse = np.unique(groups[order], return_index=True, return_inverse=True)
    n_before = np.empty(len(groups), dtype=np.int64)
    n_before[order] = np.arange(len(groups)) - first[inverse]
    return n_before
