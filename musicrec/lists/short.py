"""Why a list is short: how many songs of the catalog each rule by itself leaves.

A list that is full needs no reason, and hardly any is short. Where some are, the songs of the catalog are counted
by their facts, a column at a time, and of groups only as many as a list has places: more are enough for any list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from musicrec.arrays import Ints
from musicrec.config_lists import ListsConfig
from musicrec.neighbors.search.rules import ListRules
from musicrec.traits import NO_GROUP, UNKNOWN_YEAR

# More than any list holds.
ENOUGH = 2**31
OTHER_SONGS, TOGETHER = "no_more_songs", "rules together"
# The keys of `[lists]` that columns of groups are capped by.
CAPPED_BY = {
    "work_key": "one_per_work",
    "recording_key": "one_per_recording",
    "album_key": "max_per_album",
    # Both count the songs of the own artist.
    "artist_key": "max_per_artist, max_own_artist",
}


@dataclass(frozen=True)
class Tally:
    """How many songs have which value of a fact: `values` (n,), rising, and `counts` (n,).

    `is_whole` says that these are all values; of groups those beyond what a list needs are left out.
    """

    values: Ints
    counts: Ints
    is_whole: bool = True

    def of(self, values: Ints) -> Ints:
        """Return how many songs have each of some values (m,)."""
        if not len(self.values):
            return np.zeros(len(values), dtype=np.int64)
        at = np.searchsorted(self.values, values).clip(0, len(self.values) - 1)
        found: Ints = np.where(self.values[at] == values, self.counts[at], 0)
        return found


def tally_facts(facts: Ints, rules: ListRules, *, k: int) -> list[Tally]:
    """Return how many of some songs have which facts, column by column.

    Parameters
    ----------
    facts : int64 array, shape (n, n_facts)
    rules : ListRules
    k : int
        Places of a list.
    """
    return [
        _cut(*np.unique(facts[:, i], return_counts=True), most=k + 2 if i < rules.n_groups else ENOUGH)
        for i in range(rules.n_facts)
    ]


def add_tallies(tallies: list[Tally], *, most: int) -> Tally:
    """Return the sum of tallies of one fact, of at most so many values."""
    values = np.concatenate([each.values for each in tallies])
    counts = np.concatenate([each.counts for each in tallies])
    names, inverse = np.unique(values, return_inverse=True)
    total = np.bincount(inverse, weights=counts, minlength=len(names)).astype(np.int64)
    added = _cut(names, total, most=most)
    return Tally(added.values, added.counts, added.is_whole and all(each.is_whole for each in tallies))


def find_reasons(
    facts: Ints, tallies: list[Tally], *, n_songs: int, settings: ListsConfig, rules: ListRules, k: int
) -> pa.StringArray:
    """Return why the lists of songs are short: the rule that leaves fewest, or that only all together do.

    Parameters
    ----------
    facts : int64 array, shape (n, n_facts)
        Of the songs.
    tallies : list of Tally
        Of the facts of the whole catalog, column by column.
    n_songs : int
        Of the catalog.
    settings : ListsConfig
    rules : ListRules
    k : int
    """
    left = _left_by_rule(facts, tallies, settings, rules)
    names = [OTHER_SONGS, *left]
    counts = np.stack([np.full(len(facts), n_songs - 1), *left.values()], axis=1).clip(0, ENOUGH)
    # Of equal ones the first: that there are no more songs says more than which rule leaves them all.
    which = counts.argmin(axis=1)
    fewest = np.take_along_axis(counts, which[:, None], axis=1)[:, 0]
    which[fewest >= k] = len(names)
    pairs, inverse = np.unique(np.stack([which, np.where(fewest >= k, 0, fewest)]), axis=1, return_inverse=True)
    told = [_told(names, *pair) for pair in pairs.T.tolist()]
    return pa.array(told, type=pa.string()).take(pa.array(inverse.ravel()))


def rule_of(reason: str) -> str:
    """Return the rule of a reason, whatever it leaves."""
    return reason.split(" leaves ")[0]


def _told(names: list[str], which: int, left: int) -> str:
    if which == len(names):
        return TOGETHER
    return names[which] if names[which] == OTHER_SONGS else f"{names[which]} leaves {left}"


def _left_by_rule(facts: Ints, tallies: list[Tally], settings: ListsConfig, rules: ListRules) -> dict[str, Ints]:
    """Return how many songs each rule by itself leaves of all others (n,), by its key."""
    left = {}
    for i, (column, (most, of_own)) in enumerate(settings.limits.items()):
        if column in CAPPED_BY:
            left[CAPPED_BY[column]] = _left_by_cap(facts[:, i], tallies[i], most=most, of_own=of_own)
    if rules.bars:
        own, known = facts[:, rules.n_groups], tallies[rules.n_groups]
        for name, (always, unless_own) in settings.bars_by_key.items():
            left[name] = _left_by_traits(own, known, always=always, unless_own=unless_own)
    if rules.years_apart >= 0:
        own, known = facts[:, rules.n_groups + 1], tallies[rules.n_groups + 1]
        left["years_apart"] = _left_by_years(own, known, apart=rules.years_apart)
    if rules.same:
        left["same"] = tallies[-1].of(facts[:, -1]) - 1
    return left


def _left_by_cap(own: Ints, known: Tally, *, most: int, of_own: int) -> Ints:
    if not known.is_whole:
        return np.full(len(own), ENOUGH)
    is_group = known.values != NO_GROUP
    of_all = int(np.minimum(known.counts, most)[is_group].sum()) + int(known.counts[~is_group].sum())
    size = known.of(own)
    return np.where(own == NO_GROUP, of_all - 1, of_all - np.minimum(size, most) + np.minimum(size - 1, of_own))


def _left_by_traits(own: Ints, known: Tally, *, always: int, unless_own: int) -> Ints:
    kinds, inverse = np.unique(own & (always | unless_own), return_inverse=True)
    left = [
        int(known.counts[(known.values & always == 0) & (known.values & unless_own & ~kind == 0)].sum())
        - int(kind & always == 0)
        for kind in kinds.tolist()
    ]
    return np.array(left, dtype=np.int64)[inverse]


def _left_by_years(own: Ints, known: Tally, *, apart: int) -> Ints:
    so_far = np.concatenate([[0], np.cumsum(known.counts)])
    # Songs of an unknown year come first: none is in the window of a known one.
    first = np.searchsorted(known.values, np.maximum(own - apart, UNKNOWN_YEAR + 1))
    last = np.searchsorted(known.values, own + apart, side="right")
    left: Ints = np.where(own == UNKNOWN_YEAR, so_far[-1], so_far[last] - so_far[first]) - 1
    return left


def _cut(values: Ints, counts: Ints, *, most: int) -> Tally:
    return Tally(values[:most], counts[:most].astype(np.int64), len(values) <= most)
