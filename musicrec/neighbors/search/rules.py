"""What a list may hold: of each group of songs a few, and nothing that its own song bars.

**Facts.** What the rules need to know of a song is a row of whole numbers: its groups, narrowest first (its work
or recording, its album, its artist), then, where anything else bars songs, its traits, its year and the hash of
what must be equal. The groups of the first column are never `NO_GROUP`, and a list holds one of each.

**Caps.** A list is what a greedy choice gives: candidates come best first, and each that still fits is listed.
Where the groups of one column lie within those of the next, as songs of a work are by one artist, sets that keep
the caps are a laminar matroid (Edmonds 1971, "Matroids and the greedy algorithm"): the choice is the best list
there is, the same one comes out when candidates come in any order and the worst of the narrowest full group makes
way (`kernel_loops.py`), and no score of a place ever falls, so whatever is below the last one can be left out.
Where groups cross, as works on several albums do, a newcomer for whom two songs would have to go is refused: caps
are kept and no list shrinks, but another order of candidates may then give another list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Bools, Ints
from musicrec.compiled import compiled
from musicrec.config_lists import ListsConfig
from musicrec.traits import MIXED, NO_GROUP, UNKNOWN_YEAR

# No candidate, in a list of positions; and among places, that a list has room, or that nothing may make room.
NO_CANDIDATE, ROOM, REFUSED = -1, -1, -2
# What `ListRules.packed` holds: columns of facts, -1 where there is none, masks and years, then limits.
GROUPS, TRAITS_AT, YEAR_AT, SAME_AT, ALWAYS, UNLESS_OWN, YEARS_APART, LIMITS = range(8)


@dataclass(frozen=True)
class ListRules:
    """What lists may hold.

    Attributes
    ----------
    limits : tuple of (int, int)
        Of each column of groups, narrowest first: how many of a group a list may hold, and how many of its own
        song's; 0 bars these. Those of the first are 1 and 0.
    bars : bool
        Whether facts have traits.
    always, unless_own : int
        Traits of songs that no list holds, and that only lists of songs with them hold.
    years_apart : int
        At most so many, -1 for any. Facts then have the year; a song of an unknown one may be listed where the
        list's own song has none either, which bars no year.
    same : bool
        Facts have a hash that must be that of the list's own song.
    """

    limits: tuple[tuple[int, int], ...] = ((1, 0),)
    bars: bool = False
    always: int = 0
    unless_own: int = 0
    years_apart: int = -1
    same: bool = False

    @property
    def n_groups(self) -> int:
        """Columns of groups."""
        return len(self.limits)

    @property
    def n_facts(self) -> int:
        """Columns of facts."""
        return self.n_groups + self.bars + (self.years_apart >= 0) + self.same

    def packed(self) -> Ints:
        """Return the rules as compiled functions take them."""
        year = self.n_groups + 1 if self.years_apart >= 0 else -1
        same = self.n_facts - 1 if self.same else -1
        head = [self.n_groups, self.n_groups if self.bars else -1, year, same]
        limits = [limit for pair in self.limits for limit in pair]
        return np.array([*head, self.always, self.unless_own, self.years_apart, *limits], dtype=np.int64)

    def of_groups(self) -> ListRules:
        """Return the caps alone, for facts that are groups alone."""
        return ListRules(self.limits)

    def are_barred(self, facts: Ints) -> Bools:
        """Return which songs no list may hold, by their facts (n, n_facts)."""
        if not self.bars:
            return np.zeros(len(facts), dtype=bool)
        barred: Bools = (facts[:, self.n_groups] & self.always) != 0
        return barred

    def nobody(self, n: int) -> Ints:
        """Return the facts of n who are no songs, (n, n_facts): they bar only what is always barred."""
        facts = np.full((n, self.n_facts), NO_GROUP, dtype=np.int64)
        if self.bars:
            facts[:, self.n_groups] = MIXED
        return facts


def make_rules(settings: ListsConfig) -> ListRules:
    """Return the rules that are configured, for the facts `settings.facts`."""
    return ListRules(
        limits=tuple(settings.limits.values()),
        bars=settings.bars,
        always=settings.always_barred,
        unless_own=settings.barred_unless_own,
        years_apart=settings.years_apart,
        same=bool(settings.same),
    )


def choose(rules: ListRules, starts: Ints, facts: Ints, own: Ints, *, k: int, rows: Ints | None = None) -> Ints:
    """Return which candidates the lists hold, by their positions, `NO_CANDIDATE` beyond those, (n, k).

    Parameters
    ----------
    rules : ListRules
    starts : int64 array, shape (n_rows + 1,)
        Row i of candidates is starts[i] : starts[i + 1], best first.
    facts : int64 array, shape (starts[-1], n_facts)
        Of the candidates.
    own : int64 array, shape (n, n_facts)
        Of the songs whose lists they are.
    k : int
        At least 1.
    rows : int64 array, shape (n,), optional
        The row of candidates of each song; by default row i is that of song i.
    """
    rows = np.arange(len(own)) if rows is None else rows
    chosen = np.full((len(own), k), NO_CANDIDATE, dtype=np.int64)
    _choose(rules.packed(), starts, _whole(facts), rows, _whole(own), chosen)
    return chosen


def find_broken(rules: ListRules, starts: Ints, facts: Ints, own: Ints) -> Bools:
    """Return which lists hold what they may not: too many of a group, (n,), or what is barred, (n,); (2, n).

    Parameters
    ----------
    rules : ListRules
    starts : int64 array, shape (n + 1,)
        The places of list i are starts[i] : starts[i + 1].
    facts : int64 array, shape (starts[-1], n_facts)
    own : int64 array, shape (n, n_facts)
        Of the songs whose lists they are.
    """
    broken = np.zeros((2, len(own)), dtype=np.bool_)
    _find_broken(rules.packed(), starts, _whole(facts), _whole(own), broken)
    return broken


def make_room(rules: ListRules, starts: Ints, facts: Ints, own: Ints, guests: Ints, *, rows: Ints, k: int) -> Ints:
    """Return which place each guest would take: a position, `ROOM` where the list has one to spare, or `REFUSED`.

    The last of the narrowest group that is full makes room, else the last of a full list.

    Parameters
    ----------
    rules : ListRules
    starts : int64 array, shape (n + 1,)
        The places of list i are starts[i] : starts[i + 1], best first.
    facts : int64 array, shape (starts[-1], n_facts)
    own : int64 array, shape (n, n_facts)
        Of the songs whose lists they are.
    guests : int64 array, shape (m, n_facts)
        The facts of the guests.
    rows : int64 array, shape (m,)
        The list of each guest.
    k : int
        Places of a full list.
    """
    taken = np.empty(len(guests), dtype=np.int64)
    _make_room(rules.packed(), starts, _whole(facts), _whole(own), _whole(guests), rows, k, taken)
    return taken


def _whole(facts: Ints) -> Ints:
    """Return facts row by row: another layout would be compiled for, for seconds."""
    return np.ascontiguousarray(facts, dtype=np.int64)


@compiled
def _is_allowed(rules: Ints, own: Ints, row: int, facts: Ints, column: int) -> bool:
    """Return whether a song may be in a list, whatever else is there."""
    for group in range(rules[GROUPS]):
        value = facts[column, group]
        if value != NO_GROUP and value == own[row, group] and rules[LIMITS + 2 * group + 1] == 0:
            return False
    if rules[TRAITS_AT] < 0:
        return True
    traits, own_traits = facts[column, rules[TRAITS_AT]], own[row, rules[TRAITS_AT]]
    if traits & MIXED:
        return True
    if traits & rules[ALWAYS]:
        return False
    if own_traits & MIXED:
        return True
    if traits & rules[UNLESS_OWN] & ~own_traits:
        return False
    if rules[YEAR_AT] >= 0 and own[row, rules[YEAR_AT]] != UNKNOWN_YEAR:
        year = facts[column, rules[YEAR_AT]]
        if year == UNKNOWN_YEAR or abs(year - own[row, rules[YEAR_AT]]) > rules[YEARS_APART]:
            return False
    return bool(rules[SAME_AT] < 0 or facts[column, rules[SAME_AT]] == own[row, rules[SAME_AT]])


@compiled
def _limit(rules: Ints, own: Ints, row: int, group: int, value: int) -> int:
    """Return how many of a group a list may hold."""
    limit: int = rules[LIMITS + 2 * group + int(value == own[row, group])]
    return limit


@compiled
def _choose(rules: Ints, starts: Ints, facts: Ints, rows: Ints, own: Ints, chosen: Ints) -> None:
    k = chosen.shape[1]
    for song in range(len(rows)):
        n = 0
        for candidate in range(starts[rows[song]], starts[rows[song] + 1]):
            fits = _is_allowed(rules, own, song, facts, candidate)
            for group in range(rules[GROUPS]):
                value = facts[candidate, group]
                if not fits or value == NO_GROUP:
                    continue
                n_listed = 0
                for i in range(n):
                    n_listed += int(facts[chosen[song, i], group] == value)
                fits = n_listed < _limit(rules, own, song, group, value)
            if fits:
                chosen[song, n] = candidate
                n += 1
                if n == k:
                    break


@compiled
def _find_broken(rules: Ints, starts: Ints, facts: Ints, own: Ints, broken: Bools) -> None:
    for row in range(len(starts) - 1):
        for place in range(starts[row], starts[row + 1]):
            for group in range(rules[GROUPS]):
                value = facts[place, group]
                if value != NO_GROUP:
                    n_listed = 0
                    for other in range(starts[row], place + 1):
                        n_listed += int(facts[other, group] == value)
                    broken[0, row] |= n_listed > _limit(rules, own, row, group, value)
            broken[1, row] |= not _is_allowed(rules, own, row, facts, place)


@compiled
def _make_room(
    rules: Ints, starts: Ints, facts: Ints, own: Ints, guests: Ints, rows: Ints, k: int, taken: Ints
) -> None:
    for guest in range(len(rows)):
        row = rows[guest]
        start, end = starts[row], starts[row + 1]
        taken[guest] = ROOM if end - start < k else end - 1
        if not _is_allowed(rules, own, row, guests, guest):
            taken[guest] = REFUSED
            continue
        is_chosen = False
        for group in range(rules[GROUPS]):
            value = guests[guest, group]
            if value == NO_GROUP:
                continue
            n_listed, last = 0, -1
            for place in range(start, end):
                if facts[place, group] == value:
                    n_listed, last = n_listed + 1, place
            if is_chosen and facts[taken[guest], group] == value:
                n_listed -= 1
            if n_listed >= _limit(rules, own, row, group, value):
                # What makes room in a narrower group does not in this one: two would have to go.
                taken[guest] = REFUSED if is_chosen else last
                is_chosen = True
                if taken[guest] == REFUSED:
                    break
