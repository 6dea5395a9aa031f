"""Titles, artists, lengths and sounds of songs → what tells recordings and works apart, as columns of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from musicrec.arrays import Doubles, Ints
from musicrec.catalog.artists import Artists, Parts
from musicrec.catalog.names import leading_artists, split_artists, split_titles
from musicrec.compiled import compiled
from musicrec.songs import SHARES
from musicrec.spark.arrow import bools, list_column, numbers

N_SHARES = len(SHARES)
# Steps of a share: a byte each, the last value for one that is not known.
STEPS, UNKNOWN_SHARE = 250, 255
# Of a name: songs that have it need not have it as a whole.
SHARED = np.int64(1)
# Columns of `messages.AUDITED_SONGS`, beside those of `schemas.TRACKS`.
TITLE_KEY, OTHER_NAMES, OTHER_WORKS = "title_key", "other_names", "other_works"


@dataclass(frozen=True)
class Named:
    """Songs with what tells recordings and works apart.

    Attributes
    ----------
    keys, names, works : int64 array, shape (n,)
        Of songs, one maybe several times; of title and all artists; of the work's title and the main artists.
    others : Parts
        Names of title and main artists, and of title and one artist, where these are not all; and shared ones, of
        title, main artists and one guest.
    other_works : Parts
        Of the work's title and one main artist, where these are several. `others` has them where names and works
        are equal.
    lengths : int32 array, shape (n,)
        Milliseconds, 0 where they are not known.
    sounds : int64 array, shape (n,)
        `pack_sounds`.
    """

    keys: Ints
    names: Ints
    works: Ints
    others: Parts
    other_works: Parts
    lengths: NDArray[np.int32]
    sounds: Ints

    def take(self, rows: Ints) -> Named:
        """Return those of some rows (m,)."""
        others, other_works = (part.take(rows) for part in (self.others, self.other_works))
        keys, names, works, sounds = (of[rows] for of in (self.keys, self.names, self.works, self.sounds))
        return Named(keys, names, works, others, other_works, self.lengths[rows], sounds)


def name_columns(artists: pa.StringArray, titles: pa.StringArray, keys: Ints) -> dict[str, pa.Array]:
    """Return the names of songs as columns; one without artist or title is alone, by its own key (n,).

    `TITLE_KEY` is the same for all that may belong together. Until these are known, `recording_key` and `work_key`
    are names. `artist_key` is that of the first artist, NULL where there is none.

    Parameters
    ----------
    artists, titles : pyarrow.StringArray, length n
        NULL where they are not known.
    keys : int64 array, shape (n,)
        Of the songs.
    """
    has_artist, known = bools(pc.is_valid(artists)), pc.and_(pc.is_valid(artists), pc.is_valid(titles))
    rows = np.flatnonzero(bools(known))
    all_artists = split_artists(artists.drop_null())
    of_artists = all_artists.take(np.flatnonzero(bools(known)[has_artist]))
    found = split_titles(titles.filter(known), of_artists)
    names, others = make_names(found.recordings, found.guests, of_artists)
    # A work is that of its main artists, whoever their guests are.
    several = np.flatnonzero((found.works != found.recordings) | found.guests.are_there | of_artists.have_guests)
    works = names.copy()
    works[several], other_works = make_names(
        found.works[several], Parts.none(len(several)), of_artists.without_guests().take(several)
    )
    columns = [keys.copy() for _ in range(3)]
    n_others, n_works = np.zeros((2, len(keys)), dtype=np.int64)
    first = pa.nulls(len(keys), pa.int64())
    for column, values in zip(columns, (names, works, found.keys), strict=True):
        column[rows] = values
    n_others[rows], n_works[rows[several]] = np.diff(others.starts), np.diff(other_works.starts)
    return {
        **dict(zip(("recording_key", "work_key", TITLE_KEY), map(pa.array, columns), strict=True)),
        "artist_key": pc.replace_with_mask(first, pa.array(has_artist), leading_artists(all_artists)),
        OTHER_NAMES: list_column(others.hashes, n_others),
        OTHER_WORKS: list_column(other_works.hashes, n_works),
    }


def as_named(songs: pa.Table) -> Named:
    """Return the names, lengths and sounds of `messages.AUDITED_SONGS`."""
    others, other_works = (_parts_of(songs[name].combine_chunks()) for name in (OTHER_NAMES, OTHER_WORKS))
    lengths = numbers(pc.fill_null(songs["duration_ms"], 0.0)).astype(np.int32)
    shares = np.stack([numbers(songs[name]).astype(np.float64) for name in SHARES], axis=1)
    keys, names, works = (numbers(songs[name]) for name in ("track_key", "recording_key", "work_key"))
    return Named(keys, names, works, others, other_works, lengths, pack_sounds(shares))


def make_names(titles: Ints, guests: Parts, artists: Artists) -> tuple[Ints, Parts]:
    """Return the names (n,) and the other names of songs, as `Named` has them.

    Parameters
    ----------
    titles : int64 array, shape (n,)
    guests : Parts
        That the titles name.
    artists : Artists
    """
    names = np.empty(len(titles), dtype=np.int64)
    n_parts = (np.diff(part.starts)[artists.row].sum() for part in (artists.main, artists.guests))
    # Of each artist alone, and of each guest with the main artists.
    others = np.empty(2 * (int(sum(n_parts)) + len(guests.hashes)) + len(titles), dtype=np.int64)
    starts = np.zeros(len(titles) + 1, dtype=np.int64)
    main, more = artists.main, artists.guests
    _make_names(
        titles, artists.row.astype(np.int64), (main.starts, main.hashes), (more.starts, more.hashes),
        (guests.starts, guests.hashes), names, (starts, others),
    )  # fmt: skip
    return names, Parts(starts, others[: starts[-1]].copy())


def pack_sounds(shares: Doubles) -> Ints:
    """Return `songs.SHARES` (n, 7), NaN where they are not known, as a number each."""
    packed = np.zeros((len(shares), 8), dtype=np.uint8)
    packed[:, :N_SHARES] = np.nan_to_num(shares, nan=UNKNOWN_SHARE / STEPS) * STEPS + 0.5
    sounds: Ints = packed.view("<i8")[:, 0]
    return sounds


def identify(keys: Ints, names: Ints) -> Ints:
    """Return a number, no key, for each key with its name (n,): an id that stands twice may have two names."""
    identities: Ints = keys * np.int64(0x5851F42D4C957F2D) + names
    return identities


def _parts_of(lists: pa.ListArray) -> Parts:
    counts = numbers(pc.list_value_length(lists)).astype(np.int64)
    return Parts(np.concatenate([[0], np.cumsum(counts)]), numbers(pc.list_flatten(lists)))


@compiled
def _make_names(
    titles: Ints, rows: Ints, main: tuple[Ints, Ints], more: tuple[Ints, Ints], guests: tuple[Ints, Ints],
    names: Ints, others: tuple[Ints, Ints],
) -> None:  # fmt: skip
    n = longest = 0
    for row in range(len(titles)):
        at = rows[row]
        n_main, n_more = main[0][at + 1] - main[0][at], more[0][at + 1] - more[0][at]
        longest = max(longest, n_main + n_more + guests[0][row + 1] - guests[0][row])
    parts = np.empty(longest, dtype=np.int64)
    for row in range(len(titles)):
        at = rows[row]
        n_main = _add(parts, 0, main[1][main[0][at] : main[0][at + 1]])
        n_parts = _add(parts, n_main, more[1][more[0][at] : more[0][at + 1]])
        n_parts = _add(parts, n_parts, guests[1][guests[0][row] : guests[0][row + 1]])
        names[row] = _name(titles[row], parts[:n_parts])
        for i in range(n_main, n_parts):
            # A sum has no order.
            others[1][n] = _name(titles[row] + parts[i], parts[:n_main]) | SHARED
            n += 1
        if n_parts > 1:
            for i in range(n_parts):
                others[1][n] = _name(titles[row], parts[i : i + 1])
                n += 1
            if 1 < n_main < n_parts:
                others[1][n] = _name(titles[row], parts[:n_main])
                n += 1
        others[0][row + 1] = n


@compiled
def _add(parts: Ints, n: int, hashes: Ints) -> int:
    """Add to n different parts those that are not among them; return how many there are."""
    for part in hashes:
        is_new = True
        for i in range(n):
            is_new &= parts[i] != part
        if is_new:
            parts[n] = part
            n += 1
    return n


@compiled
def _name(title: np.int64, parts: Ints) -> np.int64:
    """Return a hash of a title and a set: a sum has no order."""
    mixed = np.uint64(title) * np.uint64(0x9E3779B97F4A7C15)
    for part in parts:
        mixed += np.uint64(part)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(mixed ^ (mixed >> np.uint64(31))) & ~SHARED
