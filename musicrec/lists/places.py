"""How songs occur in the lists of others, and places for those that stand in none.

Nearness is not mutual: in many dimensions some songs are among nobody's k nearest, though each has k nearest of
its own (antihubs, Radovanović et al. 2010). Local scaling moves all lists a little to reach them; a place in the
list of a song that they list themselves reaches them for sure, and leaves all other places as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import NO_SONG, Bools, Floats, Ints, concatenate_ranges
from musicrec.neighbors.search.rules import REFUSED, ROOM, ListRules, make_room

# Songs of its own list that a forgotten song asks for a place.
N_ASKED = 5
NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class SongLists:
    """Lists of songs.

    Attributes
    ----------
    songs : int64 array, shape (n,)
        Whose lists they are.
    facts : int64 array, shape (n, n_facts)
        Of these, as the rules of lists need them.
    starts : int64 array, shape (n + 1,)
        List i has the places starts[i] : starts[i + 1], best first.
    places : int64 array, shape (starts[-1],)
        The songs that it holds.
    place_facts : int64 array, shape (starts[-1], n_facts)
    scores : float32 array, shape (starts[-1],)
    """

    songs: Ints
    facts: Ints
    starts: Ints
    places: Ints
    place_facts: Ints
    scores: Floats


@dataclass(frozen=True)
class Counts:
    """In how many lists songs stand.

    Attributes
    ----------
    songs : int64 array, shape (n,)
        Rising.
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
class Wishes:
    """Lists that forgotten songs would come into.

    Attributes
    ----------
    guests : int64 array, shape (n,)
        The forgotten songs.
    facts : int64 array, shape (n, n_facts)
    scores : float32 array, shape (n,)
    hosts : int64 array, shape (n,)
        The songs whose lists they are.
    """

    guests: Ints
    facts: Ints
    scores: Floats
    hosts: Ints


@dataclass(frozen=True)
class Offers:
    """Lists that forgotten songs may come into, and what it costs.

    Attributes
    ----------
    guests : int64 array, shape (n,)
        The forgotten songs.
    scores : float32 array, shape (n,)
    hosts : int64 array, shape (n,)
        The songs whose lists they are.
    has_room : bool array, shape (n,)
        The host's list is not full, and nothing is removed.
    removed : int64 array, shape (n,)
        Else the song that is; `NO_SONG` where there is room.
    """

    guests: Ints
    scores: Floats
    hosts: Ints
    has_room: Bools
    removed: Ints

    def take(self, rows: Ints) -> Offers:
        """Return some of the offers."""
        return Offers(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


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


def find_wishes(lists: SongLists, forgotten: Ints) -> Wishes:
    """Return the wishes of forgotten songs: to come into the lists of the first `N_ASKED` in their own.

    Parameters
    ----------
    lists : SongLists
        With those of the forgotten songs.
    forgotten : int64 array, shape (m,)
        Rising.
    """
    rows = np.flatnonzero(is_among(lists.songs, forgotten))
    lengths = np.minimum(np.diff(lists.starts)[rows], N_ASKED)
    row, position = np.repeat(rows, lengths), concatenate_ranges(lists.starts[rows], lengths)
    return Wishes(lists.songs[row], lists.facts[row], lists.scores[position], lists.places[position])


def find_offers(wishes: Wishes, lists: SongLists, *, k: int, rules: ListRules) -> Offers:
    """Return what the wishes cost that the hosts' rules allow: which song makes room, as `rules.make_room` says.

    Parameters
    ----------
    wishes : Wishes
    lists : SongLists
        Those of the hosts, by rising song; a host that is not among them has no list.
    k : int
        Places of a full list, at least 1.
    rules : ListRules
        That the lists keep.
    """
    wish = np.flatnonzero(is_among(wishes.hosts, lists.songs))
    row = np.searchsorted(lists.songs, wishes.hosts[wish])
    guests = wishes.facts[wish]
    taken = make_room(rules, lists.starts, lists.place_facts, lists.facts, guests, rows=row, k=k)
    wish, taken = wish[taken != REFUSED], taken[taken != REFUSED]
    has_room = taken == ROOM
    removed = np.full(len(wish), NO_SONG, dtype=np.int64)
    removed[~has_room] = lists.places[taken[~has_room]]
    return Offers(wishes.guests[wish], wishes.scores[wish], wishes.hosts[wish], has_room, removed)


def best_offers(offers: Offers) -> Offers:
    """Return the offers that can be chosen, of those that cost a host the same the best, whatever else is offered.

    A song that many are near to gets many offers, the whole catalog's where all songs are equal.
    """
    order = np.lexsort((offers.guests, -offers.scores, offers.removed, offers.has_room, offers.hosts))
    ordered = offers.take(order)
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = _differs(ordered.hosts) | _differs(ordered.has_room) | _differs(ordered.removed)
    return offers.take(np.sort(order[is_first]))


def choose_places(offers: Offers, n_lists: Ints) -> Ints:
    """Return the rows of the offers that get their place, rising: each host and each guest at most once.

    Parameters
    ----------
    offers : Offers
    n_lists : int64 array, shape (n,)
        In how many lists the songs to be removed stand; a song never leaves the only one that holds it.
    """
    guests, hosts, has_room = offers.guests, offers.hosts, offers.has_room
    best_first = np.lexsort((hosts, guests, -offers.scores))
    left = best_first[(has_room | (n_lists > 1))[best_first]]
    left = left[_count_before(hosts[left]) == 0]
    left = left[_count_before(guests[left]) == 0]
    # One list more must hold a removed song than it leaves.
    full = left[~has_room[left]]
    spared = full[_count_before(offers.removed[full]) + 1 < n_lists[full]]
    return np.sort(np.concatenate([left[has_room[left]], spared]))


def count_changes(chosen: Offers) -> Counts:
    """Return by how much the numbers of lists change that hold songs, where these offers get their place."""
    gone, n = np.unique(chosen.removed[~chosen.has_room], return_counts=True)
    return add_counts([Counts(np.unique(chosen.guests), np.ones(len(chosen.guests), dtype=np.int64)),
                       Counts(gone, -n)])  # fmt: skip


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


def _differs(values: NDArray[Any]) -> Bools:
    """Return which of the values, from the second on, are not the one before."""
    return np.asarray(values[1:] != values[:-1])


def _count_before(groups: Ints) -> Ints:
    """Return how many of each one's group stand before it."""
    order = np.argsort(groups, kind="stable")
    _, first, inverse = np.unique(groups[order], return_index=True, return_inverse=True)
    n_before = np.empty(len(groups), dtype=np.int64)
    n_before[order] = np.arange(len(groups)) - first[inverse]
    return n_before
