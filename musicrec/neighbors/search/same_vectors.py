"""Songs of one vector → items: one for all of equal facts, as long as a vector has few of these."""

from __future__ import annotations

import numpy as np

from musicrec.arrays import Ints
from musicrec.neighbors.search.items import distinct_rows
from musicrec.neighbors.search.rules import ListRules
from musicrec.traits import MIXED, NO_GROUP

# Different facts of the songs of a vector that are items of their own; where there are more, songs are told apart
# by what bars them alone, and where that has too many values, too, all are one item. Items of a vector are
# compared with each other: n squared of these, which must stay few also where a million songs have one vector.
MAX_FACTS, MAX_BARS = 64, 1024


def split_items(items: Ints, facts: Ints, rules: ListRules) -> tuple[Ints, Ints]:
    """Return finer items of songs, and of which of the items each is.

    Parameters
    ----------
    items : int64 array, shape (n,)
        The vector of each song, 0 to n_items - 1.
    facts : int64 array, shape (n, n_facts)
    rules : ListRules
        Where they look at one group alone, nothing is split.

    Returns
    -------
    int64 arrays, shapes (n,) and (m,)
    """
    n_songs = np.bincount(items)
    part, left = np.zeros(len(items), dtype=np.int64), np.flatnonzero(n_songs[items] > 1)
    for first, most in ((0, MAX_FACTS), (rules.n_groups, MAX_BARS)):
        if len(left) and first < rules.n_facts and rules.n_facts > 1:
            kinds = distinct_rows(facts[left, first:]).index
            pairs, inverse = np.unique(items[left] * (1 + kinds.max()) + kinds, return_inverse=True)
            n_kinds = np.bincount(pairs // (1 + kinds.max()), minlength=len(n_songs))
            fits = n_kinds[items[left]] <= most
            part[left[fits]] = inverse[fits]
            left = left[~fits]
    _, firsts, finer = np.unique(items * (1 + part.max(initial=0)) + part, return_index=True, return_inverse=True)
    return finer, items[firsts]


def facts_of_items(facts: Ints, starts: Ints, keys: Ints, rules: ListRules) -> Ints:
    """Return the facts of items, (n, n_facts): those of their songs where these agree.

    Else the item is in a narrowest group of its own, and in no other; and barred from nothing.

    Parameters
    ----------
    facts : int64 array, shape (n_songs, n_facts)
        Of songs, item by item.
    starts : int64 array, shape (n,)
        Where the songs of each item begin.
    keys : int64 array, shape (n,)
        Of the items.
    rules : ListRules
    """
    found = np.empty((len(starts), facts.shape[1]), dtype=np.int64)
    is_mixed = np.zeros(len(starts), dtype=bool)
    for i in range(facts.shape[1]):
        lowest, highest = (each.reduceat(facts[:, i], starts) for each in (np.minimum, np.maximum))
        differ = lowest != highest
        found[:, i] = np.where(differ, keys if i == 0 else NO_GROUP, lowest)
        if i >= rules.n_groups:
            is_mixed |= differ
    if rules.bars:
        found[is_mixed, rules.n_groups] = MIXED
    return found
