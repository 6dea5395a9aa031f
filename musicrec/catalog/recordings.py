"""Songs with names, lengths and sounds → recordings: which songs are releases of one.

Two songs are releases of one recording where they share a title, the artists of one are those of the other, its
main artists or one of them, or both have the same main artists and a guest in common, and they are about as long
or sound about the same. Recordings are what such pairs
connect (single linkage), so that no list holds two songs that make a pair. A sort finds all of them: among songs
of one name, by length, who has a near one has it as a neighbor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import Bools, Doubles, Ints
from musicrec.catalog.names import Artists, Parts
from musicrec.compiled import compiled
from musicrec.songs import SHARES

# Of pairs of real songs with one name 97 % are within one of both, of songs with their live versions a third.
# docs/decisions.md has the figures.
LENGTH_RATIO = 1.05
SOUND_DISTANCE = 0.08
N_SHARES = len(SHARES)
# Shares that must be known of both, and steps of one: a byte each, the last value for an unknown one.
N_KNOWN_SHARES, STEPS, UNKNOWN_SHARE = 4, 250, 255
# Neighbors by length whose sounds are compared: songs of one name are few, but "Intro" by nobody in particular.
WINDOW = 32
# Of a name: songs that have it need not have it as a whole.
SHARED = np.int64(1)


@dataclass(frozen=True)
class Named:
    """Songs with what tells recordings apart.

    Attributes
    ----------
    keys, names : int64 array, shape (n,)
        Of songs, one maybe several times; of title and all artists.
    others : Parts
        Names of title and main artists, and of title and one artist, where these are not all; and shared ones, of
        title, main artists and one guest.
    lengths : int32 array, shape (n,)
        Milliseconds, 0 where they are not known.
    sounds : int64 array, shape (n,)
        `pack_sounds`.
    """

    keys: Ints
    names: Ints
    others: Parts
    lengths: NDArray[np.int32]
    sounds: Ints


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


def find_recordings(songs: Named) -> Ints:
    """Return for each song (n,) the smallest `identify` of its recording."""
    n, n_others = len(songs.keys), np.diff(songs.others.starts)
    roots = np.arange(n)
    names = np.concatenate([songs.names, songs.others.hashes])
    rows = np.concatenate([roots, np.repeat(roots, n_others)])
    # Most names are of one song: what is left is a tenth.
    order = np.argsort(names)
    same = names[order][1:] == names[order][:-1]
    order = order[np.concatenate([same, [False]]) | np.concatenate([[False], same])] if n else order
    by_length = np.lexsort(
        (songs.sounds[rows[order]], songs.keys[rows[order]], songs.lengths[rows[order]], names[order])
    )
    order = order[by_length]
    is_whole = (order < n) | (names[order] & SHARED > 0)
    _link(names[order], rows[order], is_whole, _twins(songs, order[order < n]), songs.lengths, songs.sounds, roots)
    smallest = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(smallest, roots, identify(songs.keys, songs.names))
    found: Ints = smallest[roots]
    return found


def _twins(songs: Named, rows: Ints) -> tuple[Ints, Ints]:
    """Return those of the rows, two and two, that have one name and one id."""
    rows = rows[np.lexsort((songs.keys[rows], songs.names[rows]))]
    one, other = rows[:-1], rows[1:]
    same = (songs.names[one] == songs.names[other]) & (songs.keys[one] == songs.keys[other])
    return one[same], other[same]


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


@compiled
def _link(
    names: Ints, rows: Ints, is_whole: Bools, twins: tuple[Ints, Ints], lengths: NDArray[np.int32], sounds: Ints,
    roots: Ints,
) -> None:  # fmt: skip
    """Join the roots of songs that are one recording; entries are by name, then by length."""
    for i in range(len(twins[0])):
        _join(roots, twins[0][i], twins[1][i])
    first = 0
    for end in range(1, len(names) + 1):
        if end < len(names) and names[end] == names[first]:
            continue
        _link_lengths(rows[first:end], is_whole[first:end], lengths, roots)
        _link_lengths(rows[first:end][::-1], is_whole[first:end][::-1], lengths, roots)
        _link_unknown(rows[first:end], is_whole[first:end], lengths, roots)
        _link_sounds(rows[first:end], is_whole[first:end], sounds, roots)
        first = end
    for row in range(len(roots)):
        roots[row] = _root(roots, row)


@compiled
def _link_lengths(rows: Ints, is_whole: Bools, lengths: NDArray[np.int32], roots: Ints) -> None:
    # Of two songs one must be all that the name says: "A, B" and "A, C" have A in common, and are two.
    last = -1
    for i in range(len(rows)):
        if last >= 0:
            low, high = min(lengths[last], lengths[rows[i]]), max(lengths[last], lengths[rows[i]])
            if low > 0 and high <= LENGTH_RATIO * low:
                _join(roots, last, rows[i])
        if is_whole[i]:
            last = rows[i]


@compiled
def _link_unknown(rows: Ints, is_whole: Bools, lengths: NDArray[np.int32], roots: Ints) -> None:
    """Join songs whose length nobody knows, which come first, and the shortest."""
    for i in range(1, len(rows)):
        if lengths[rows[i - 1]] != 0:
            break
        if is_whole[i] or is_whole[i - 1]:
            _join(roots, rows[i - 1], rows[i])


@compiled
def _link_sounds(rows: Ints, is_whole: Bools, sounds: Ints, roots: Ints) -> None:
    for i in range(len(rows)):
        for j in range(i + 1, min(i + 1 + WINDOW, len(rows))):
            if is_whole[i] or is_whole[j]:
                one, other = _root(roots, rows[i]), _root(roots, rows[j])
                if one != other and _sounds_near(sounds[rows[i]], sounds[rows[j]]):
                    _join(roots, one, other)


@compiled
def _sounds_near(one: int, other: int) -> bool:
    n, distance = 0, 0
    for i in range(N_SHARES):
        a, b = (one >> (8 * i)) & 255, (other >> (8 * i)) & 255
        if a != UNKNOWN_SHARE and b != UNKNOWN_SHARE:
            n, distance = n + 1, distance + abs(a - b)
    return n >= N_KNOWN_SHARES and distance <= SOUND_DISTANCE * STEPS * n


@compiled
def _root(roots: Ints, row: int) -> int:
    while roots[row] != row:
        roots[row] = roots[roots[row]]
        row = roots[row]
    return row


@compiled
def _join(roots: Ints, one: int, other: int) -> None:
    a, b = _root(roots, one), _root(roots, other)
    roots[max(a, b)] = min(a, b)
