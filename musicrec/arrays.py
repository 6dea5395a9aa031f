"""Ranges of rows, one after the other, without a loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def concatenate_ranges(firsts: Ints, lengths: Ints) -> Ints:
    """Return firsts[i], firsts[i] + 1, ... for each i, lengths[i] of them; both are (n,)."""
    starts = np.cumsum(lengths) - lengths
    rows: Ints = np.arange(int(lengths.sum())) + np.repeat(firsts - starts, lengths)
    return rows
