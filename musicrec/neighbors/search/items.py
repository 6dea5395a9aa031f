"""Items as cells hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]


@dataclass(frozen=True)
class Members:
    """Items: keys (n,), recordings (n,) and vectors (n, d), float16 or float32, row by row."""

    keys: Keys
    recordings: Keys
    vectors: NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.int64] | slice) -> Members:
        """Return some of the items, in this order."""
        return Members(self.keys[rows], self.recordings[rows], self.vectors[rows])


def concatenate(members: list[Members]) -> Members:
    """Return the items of all, in order; without a copy where there is but one."""
    if len(members) == 1:
        return members[0]
    return Members(
        np.concatenate([m.keys for m in members]),
        np.concatenate([m.recordings for m in members]),
        np.concatenate([m.vectors for m in members]),
    )
