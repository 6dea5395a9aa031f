"""The lists of all songs on disk, by range of numbers, with the guests that have come into some of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from musicrec.arrays import NO_SONG, Floats, Ints
from musicrec.catalog.numbered import Numbered, each_part
from musicrec.lists.nearest import Places, no_places
from musicrec.spark.arrow import numbers
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.rows import RowFiles


@dataclass(frozen=True)
class RangeFiles:
    """Rows about some songs, a file for each of the ranges `parts` that they are in."""

    files: RowFiles
    parts: frozenset[int]


@dataclass(frozen=True)
class OccurrenceFiles:
    """`schemas.OCCURRENCES` of all songs, a file for each range, and those that have changed since."""

    files: RowFiles
    changed: RangeFiles | None = None

    def range(self, part: int) -> Ints:
        """Return in how many lists each song of a range stands."""
        rows = self.files.read_piece(part)
        n_lists = numbers(rows["n_lists"]).copy()
        if self.changed is not None and part in self.changed.parts:
            new = self.changed.files.read_piece(part)
            n_lists[np.searchsorted(numbers(rows["song"]), numbers(new["song"]))] = numbers(new["n_lists"])
        return n_lists


@dataclass(frozen=True)
class ListFiles:
    """Lists that tasks map into memory.

    Attributes
    ----------
    files : ArrayFiles
        By range of numbers: `places` and `scores`, as `Places`, a row for each song of the range.
    numbered : Numbered
    k : int
    guests : RangeFiles, optional
        `schemas.PLACES`, by hosts.
    is_any_short : bool
        A list may have fewer than k places; not known is true.
    """

    files: ArrayFiles
    numbered: Numbered
    k: int
    guests: RangeFiles | None = None
    is_any_short: bool = True

    def with_guests(self, guests: RangeFiles) -> ListFiles:
        """Return the same lists, with guests in some of them."""
        return replace(self, guests=guests)

    def range(self, part: int) -> Places:
        """Return the lists of all songs of a range, in order."""
        return self._of(part, np.arange(*self.numbered.firsts[part : part + 2]))

    def of(self, songs: Ints) -> Places:
        """Return the lists of songs, by their numbers (n,)."""
        found = no_places(len(songs), k=self.k)
        for part, rows in each_part(self.numbered.range_of(songs)):
            some = self._of(part, songs[rows])
            found.places[rows], found.scores[rows] = some.places, some.scores
        return found

    def _of(self, part: int, songs: Ints) -> Places:
        places, scores = self.files.read(part, "places", "scores")
        row = songs - self.numbered.firsts[part]
        found = Places(places[row], scores[row])
        if self.guests is None or part not in self.guests.parts:
            return found
        table = self.guests.files.read_piece(part)
        hosts, removed, guests = (numbers(table[name]) for name in ("host", "removed", "guest"))
        place = np.searchsorted(hosts, songs).clip(0, len(hosts) - 1)
        changed = np.flatnonzero(hosts[place] == songs)
        at = place[changed]
        new = add_guests(found.take(changed), removed[at], guests[at], numbers(table["score"])[at])
        found.places[changed], found.scores[changed] = new.places, new.scores
        return found


def add_guests(lists: Places, removed: Ints, guests: Ints, scores: Floats) -> Places:
    """Return lists in which guests have come, best first.

    Parameters
    ----------
    lists : Places
    removed : int64 array, shape (n,)
        The song of each that makes room, `NO_SONG` where the list has room.
    guests : int64 array, shape (n,)
    scores : float32 array, shape (n,)
        Of the guests.
    """
    gone = (lists.places == removed[:, None]) & (removed != NO_SONG)[:, None]
    places = np.column_stack([np.where(gone, NO_SONG, lists.places), guests])
    all_scores = np.column_stack([np.where(gone, np.nan, lists.scores), scores])
    # NaN, an empty place, comes last.
    order = np.lexsort((places, -all_scores), axis=1)[:, : lists.places.shape[1]]
    return Places(
        np.take_along_axis(places, order, axis=1).astype(np.int32),
        np.take_along_axis(all_scores, order, axis=1).astype(np.float32),
    )
