"""Songs that share a name → groups of what such pairs connect (union-find)."""

from __future__ import annotations

import numpy as np

from musicrec.arrays import Ints
from musicrec.compiled import compiled


def repeated(names: Ints) -> Ints:
    """Return the rows of names (n,) that stand at least twice, by name: of most songs' names, a tenth."""
    order: Ints = np.argsort(names)
    same = names[order][1:] == names[order][:-1]
    return order[np.concatenate([same, [False]]) | np.concatenate([[False], same])] if len(names) else order


def smallest_of(identities: Ints, roots: Ints) -> Ints:
    """Return for each song the smallest identity of its group; `roots` (n,) are the roots themselves."""
    smallest = np.full(len(roots), np.iinfo(np.int64).max)
    np.minimum.at(smallest, roots, identities)
    found: Ints = smallest[roots]
    return found


@compiled
def root_of(roots: Ints, row: int) -> int:
    """Return the root of the group of a song, and shorten the way to it."""
    while roots[row] != row:
        roots[row] = roots[roots[row]]
        row = roots[row]
    return row


@compiled
def join(roots: Ints, one: int, other: int) -> None:
    """Make one group of those of two songs: the smaller root is the root of both.

    Parameters
    ----------
    roots : int64 array, shape (n,)
        Of each song another one of its group, or itself; written.
    one, other : int
    """
    a, b = root_of(roots, one), root_of(roots, other)
    roots[max(a, b)] = min(a, b)
