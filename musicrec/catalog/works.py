"""Songs with names and recordings → works: all recordings of one piece by the same artists.

The names of works leave out what a title says of a version, and artists compare as those of recordings do; neither
length nor sound tells works apart. All of a recording is of one work.
"""

from __future__ import annotations

import numpy as np

from musicrec.arrays import Bools, Ints
from musicrec.catalog.named import SHARED, Named, identify
from musicrec.catalog.unions import join, repeated, root_of, smallest_of
from musicrec.compiled import compiled


def find_works(songs: Named, recordings: Ints) -> Ints:
    """Return for each song (n,) the smallest `identify` of its work, given their recordings (n,)."""
    rows = np.arange(len(songs.keys))
    # Of a song that is called like its work the other names are those of the song.
    same = np.flatnonzero(songs.works == songs.names)
    own, other = songs.others.take(same), songs.other_works
    names = np.concatenate([songs.works, recordings, own.hashes, other.hashes])
    of_others = (np.repeat(of, np.diff(part.starts)) for of, part in ((same, own), (rows, other)))
    of_names = np.concatenate([rows, rows, *of_others])
    order, roots = repeated(names), rows.copy()
    is_whole = (order < 2 * len(rows)) | (names[order] & SHARED > 0)
    _link(names[order], of_names[order], is_whole, roots)
    return smallest_of(identify(songs.keys, songs.names), roots)


@compiled
def _link(names: Ints, rows: Ints, is_whole: Bools, roots: Ints) -> None:
    """Join the songs of each name that one has as a whole; entries are by name."""
    first = 0
    for end in range(1, len(names) + 1):
        if end < len(names) and names[end] == names[first]:
            continue
        for i in range(first, end):
            if is_whole[i]:
                for j in range(first, end):
                    join(roots, rows[i], rows[j])
                break
        first = end
    for row in range(len(roots)):
        roots[row] = root_of(roots, row)
