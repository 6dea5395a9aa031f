"""Have the vectors collapsed: do songs that have nothing in common have the same one?

Two songs that are drawn at random are hardly ever as near to each other as this. The share of such pairs sees both
vectors that are all nearly one, and many songs that share one among others that are well apart.
"""

from __future__ import annotations

import numpy as np

from musicrec.arrays import Floats

# Beyond this cosine half precision and a little noise decide who is nearer.
SAME_DIRECTION = 0.999
# Their pairs, half a million, tell a share to a thousandth.
MAX_COMPARED = 1000


def same_direction_share(vectors: Floats) -> float:
    """Return the share, 0..1, of the pairs of vectors (n, d) with a cosine of at least `SAME_DIRECTION`.

    Of many vectors some, evenly spread, are looked at; fewer than two make no pair, which is 0.
    """
    some = vectors[:: -(-len(vectors) // MAX_COMPARED) or 1].astype(np.float64)  # (m, d)
    if len(some) < 2:
        return 0.0
    units = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    cosines = units @ units.T  # (m, m)
    n_same = int((cosines >= SAME_DIRECTION).sum()) - int((np.diagonal(cosines) >= SAME_DIRECTION).sum())
    return n_same / (len(some) * (len(some) - 1))
