"""Favorites of listeners and the lists of these → the list of each listener, by agreement.

Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): a song scores 1 / (constant + rank) for
each favorite that lists it. The mean of the favorites' vectors would land between their styles, where
nobody's music is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import NO_SONG, Bools, Floats, Ints
from musicrec.compiled import compiled
from musicrec.lists.nearest import Places
from musicrec.neighbors.search.rules import NO_CANDIDATE, ListRules, choose

# A vote of rank 1 counts this much. Whole numbers: a sum of floats would depend on its order.
SHARE_UNIT = 10**9
# Scores have so many decimals.
SCORE_UNIT = 10**6


@dataclass(frozen=True)
class Favorites:
    """What listeners like: the favorites of listener i are rows `starts[i] : starts[i + 1]`.

    Attributes
    ----------
    starts : int64 array, shape (n_listeners + 1,)
    songs : int64 array, shape (n,)
        Numbers, rising for each listener.
    facts : int64 array, shape (n, n_facts)
        Theirs, as the rules of lists need them.
    """

    starts: Ints
    songs: Ints
    facts: Ints


@dataclass(frozen=True)
class Fused:
    """Places of listeners' lists: by listener, best first.

    Attributes
    ----------
    listeners : int64 array, shape (n,)
    ranks : int64 array, shape (n,)
        From 1.
    songs : int64 array, shape (n,)
    scores : float32 array, shape (n,)
        0 to 1: 1 is first in the list of every favorite.
    because_of : int64 array, shape (n,)
        The favorite that ranks the song highest, of those that do the first by id.
    """

    listeners: Ints
    ranks: Ints
    songs: Ints
    scores: Floats
    because_of: Ints


def fuse(
    favorites: Favorites, lists: Places, facts: Ints, *, k: int, rank_constant: int, rules: ListRules
) -> Fused:
    """Return the first k songs of each listener that the rules allow: agreement down, then number up.

    Favorites, and what shares their narrowest group, are left out; they bar nothing else.

    Parameters
    ----------
    favorites : Favorites
    lists : Places
        Of each favorite, row by row.
    facts : int64 array, shape (n_favorites, n_places, n_facts)
        Of the songs in the lists.
    k : int
    rank_constant : int
        Larger weighs agreement over rank.
    rules : ListRules
    """
    listeners = np.arange(len(favorites.starts))
    listener = np.repeat(listeners[:-1], np.diff(favorites.starts))
    favorite, place = np.nonzero(lists.places != NO_SONG)
    n_places = lists.places.shape[1]
    place_ranks = np.arange(n_places) + 1
    shares = np.floor(SHARE_UNIT * (rank_constant + 1) / (place_ranks + rank_constant) + 0.5)
    songs = lists.places[favorite, place].astype(np.int64)
    # By listener and song, the highest rank first, of equal ones the favorite that is the first by id.
    # One number in place of three, in stable order: a tenth of the time of `lexsort`.
    n_songs = int(songs.max(initial=0)) + 1
    order = np.argsort((listener[favorite] * n_songs + songs) * n_places + place, kind="stable")
    favorite, place, songs = favorite[order], place[order], songs[order]
    owner = listener[favorite]
    is_first = np.append(True, (songs[1:] != songs[:-1]) | (owner[1:] != owner[:-1]))[: len(songs)]
    firsts = np.flatnonzero(is_first)
    total = np.add.reduceat(shares.astype(np.int64)[place], firsts) if len(firsts) else firsts
    by_total = np.argsort(-total, kind="stable")
    best = by_total[np.argsort(owner[firsts][by_total], kind="stable")]
    firsts, total = firsts[best], total[best]
    owner, candidates = owner[firsts], songs[firsts]
    of_candidates = facts[favorite[firsts], place[firsts]]  # (n_candidates, n_facts)
    is_new = np.ones(len(firsts), dtype=np.bool_)
    owned = np.ascontiguousarray(favorites.facts[:, 0])
    _leave_owned(owner, np.ascontiguousarray(of_candidates[:, 0]), favorites.starts, owned, is_new)
    new = np.flatnonzero(is_new)
    starts = np.searchsorted(owner[new], listeners)
    chosen = choose(rules, starts, of_candidates[new], rules.nobody(len(listeners) - 1), k=k)
    listed, rank = np.nonzero(chosen != NO_CANDIDATE)
    rows = new[chosen[listed, rank]]
    n_favorites = np.diff(favorites.starts)[listed]
    return Fused(
        listed, rank + 1, candidates[rows], _as_scores(total[rows], n_favorites),
        favorites.songs[favorite[firsts][rows]],
    )  # fmt: skip


def _as_scores(totals: Ints, n_favorites: Ints) -> Floats:
    """Return the means of shares, 0 to 1, to `SCORE_UNIT`, halves up."""
    unit = n_favorites * (SHARE_UNIT // SCORE_UNIT)
    return ((2 * totals + unit) // (2 * unit) / SCORE_UNIT).astype(np.float32)


@compiled
def _leave_owned(listeners: Ints, groups: Ints, starts: Ints, owned: Ints, is_new: Bools) -> None:
    """Say of candidates, listener by listener, which are of no group (n,) that the listener owns."""
    row = 0
    for listener in range(len(starts) - 1):
        has = np.sort(owned[starts[listener] : starts[listener + 1]])
        while row < len(groups) and listeners[row] == listener:
            at = np.searchsorted(has, groups[row])
            is_new[row] = at == len(has) or has[at] != groups[row]
            row += 1
