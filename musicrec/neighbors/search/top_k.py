"""Lists of neighbors: several of an item → one. Their order is total, so nothing depends on how they came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Floats, Ints
from musicrec.neighbors.search.rules import NO_CANDIDATE, ListRules, choose
from musicrec.traits import NO_GROUP


@dataclass(frozen=True)
class Lists:
    """The best neighbors of each query that the rules allow, by score down, then key up.

    Attributes
    ----------
    keys : int64 array, shape (n, width)
        -1 where there is no neighbor.
    groups : int64 array, shape (n, width, n_groups)
        The first of their facts.
    scores : float32 array, shape (n, width)
        NaN where there is no neighbor.
    """

    keys: Ints
    groups: Ints
    scores: Floats


def merge_lists(several: list[Lists], own: Ints, *, k: int, rules: ListRules) -> Lists:
    """Return the best k of lists over disjoint candidates, row by row.

    Parameters
    ----------
    several : list of Lists
    own : int64 array, shape (n, n_facts)
        Facts of the queries.
    k : int
        At least 1.
    rules : ListRules
        That the lists keep.

    Returns
    -------
    Lists
        Shapes (n, k).
    """
    keys = np.concatenate([lists.keys for lists in several], axis=1)  # (n, width)
    groups = np.concatenate([lists.groups for lists in several], axis=1)  # (n, width, n_groups)
    scores = np.concatenate([lists.scores for lists in several], axis=1)  # (n, width)
    # lexsort puts NaN last, so a place without a neighbor goes to the end.
    order = np.lexsort((keys, -scores), axis=1)  # (n, width)
    row = np.arange(len(keys))[:, None]
    keys, groups, scores = keys[row, order], groups[row, order], scores[row, order]
    is_there = ~np.isnan(scores)
    starts = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
    chosen = choose(rules.of_groups(), starts, groups[is_there], own[:, : rules.n_groups], k=k)  # (n, k)
    best = Lists(
        np.full(chosen.shape, -1, dtype=np.int64),
        np.full((*chosen.shape, rules.n_groups), NO_GROUP, dtype=np.int64),
        np.full(chosen.shape, np.nan, dtype=np.float32),
    )
    kept = chosen != NO_CANDIDATE
    for found, whole in ((best.keys, keys), (best.groups, groups), (best.scores, scores)):
        found[kept] = whole[is_there][chosen[kept]]
    return best
