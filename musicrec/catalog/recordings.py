"""Songs with names, lengths and sounds → recordings: which songs are releases of one.

Two songs are releases of one recording where they share a title, the artists of one are those of the other, its
main artists or one of them, or both have the same main artists and a guest in common, and they are about as long
or sound about the same. Recordings are what such pairs connect (single linkage), so that no list holds two songs
that make a pair. A sort finds all of them: among songs of one name, by length, who has a near one has it as a
neighbor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import Bools, Ints
from musicrec.catalog.named import N_SHARES, SHARED, STEPS, UNKNOWN_SHARE, Named, identify
from musicrec.catalog.unions import join, repeated, root_of, smallest_of
from musicrec.compiled import compiled

# Of pairs of real songs with one name 97 % are within one of both, of songs with their live versions a third.
# docs/decisions.md has the figures.
LENGTH_RATIO = 1.05
SOUND_DISTANCE = 0.08
# Shares that must be known of both.
N_KNOWN_SHARES = 4
# Neighbors by length whose sounds are compared: songs of one name are few, but "Intro" by nobody in particular.
WINDOW = 32


def find_recordings(songs: Named) -> Ints:
    """Return for each song (n,) the smallest `identify` of its recording."""
    n, n_others = len(songs.keys), np.diff(songs.others.starts)
    roots = np.arange(n)
    names = np.concatenate([songs.names, songs.others.hashes])
    rows = np.concatenate([roots, np.repeat(roots, n_others)])
    order = repeated(names)
    by_length = np.lexsort(
        (songs.sounds[rows[order]], songs.keys[rows[order]], songs.lengths[rows[order]], names[order])
    )
    order = order[by_length]
    is_whole = (order < n) | (names[order] & SHARED > 0)
    _link(names[order], rows[order], is_whole, _twins(songs, order[order < n]), songs.lengths, songs.sounds, roots)
    return smallest_of(identify(songs.keys, songs.names), roots)


def _twins(songs: Named, rows: Ints) -> tuple[Ints, Ints]:
    """Return those of the rows, two and two, that have one name and one id."""
    rows = rows[np.lexsort((songs.keys[rows], songs.names[rows]))]
    one, other = rows[:-1], rows[1:]
    same = (songs.names[one] == songs.names[other]) & (songs.keys[one] == songs.keys[other])
    return one[same], other[same]


@compiled
def _link(
    names: Ints, rows: Ints, is_whole: Bools, twins: tuple[Ints, Ints], lengths: NDArray[np.int32], sounds: Ints,
    roots: Ints,
) -> None:  # fmt: skip
    """Join the roots of songs that are one recording; entries are by name, then by length."""
    for i in range(len(twins[0])):
        join(roots, twins[0][i], twins[1][i])
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
        roots[row] = root_of(roots, row)


@compiled
def _link_lengths(rows: Ints, is_whole: Bools, lengths: NDArray[np.int32], roots: Ints) -> None:
    # Of two songs one must be all that the name says: "A, B" and "A, C" have A in common, and are two.
    last = -1
    for i in range(len(rows)):
        if last >= 0:
            low, high = min(lengths[last], lengths[rows[i]]), max(lengths[last], lengths[rows[i]])
            if low > 0 and high <= LENGTH_RATIO * low:
                join(roots, last, rows[i])
        if is_whole[i]:
            last = rows[i]


@compiled
def _link_unknown(rows: Ints, is_whole: Bools, lengths: NDArray[np.int32], roots: Ints) -> None:
    """Join songs whose length nobody knows, which come first, and the shortest."""
    for i in range(1, len(rows)):
        if lengths[rows[i - 1]] != 0:
            break
        if is_whole[i] or is_whole[i - 1]:
            join(roots, rows[i - 1], rows[i])


@compiled
def _link_sounds(rows: Ints, is_whole: Bools, sounds: Ints, roots: Ints) -> None:
    for i in range(len(rows)):
        for j in range(i + 1, min(i + 1 + WINDOW, len(rows))):
            if is_whole[i] or is_whole[j]:
                one, other = root_of(roots, rows[i]), root_of(roots, rows[j])
                if one != other and _sounds_near(sounds[rows[i]], sounds[rows[j]]):
                    join(roots, one, other)


@compiled
def _sounds_near(one: int, other: int) -> bool:
    n, distance = 0, 0
    for i in range(N_SHARES):
        a, b = (one >> (8 * i)) & 255, (other >> (8 * i)) & 255
        if a != UNKNOWN_SHARE and b != UNKNOWN_SHARE:
            n, distance = n + 1, distance + abs(a - b)
    return n >= N_KNOWN_SHARES and distance <= SOUND_DISTANCE * STEPS * n
