"""Make a process ready for tasks, once: before the first of them, not in each."""

from __future__ import annotations

import gc
from functools import cache

import numpy as np
import torch

from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.spaces import Space


@cache
def warm_up() -> None:
    """Multiply with one thread, load compiled code, and keep what is imported out of garbage collection.

    A Python worker of Spark collects garbage after each task. Looking at all that torch and numba have imported
    takes it a sixth of a second, longer than many a task; frozen objects are not looked at.
    """
    torch.set_num_threads(1)
    nothing = Items(np.arange(2), np.arange(2)[:, None], np.ones((2, 2), dtype=np.float32))
    exact_nearest(nothing, nothing, k=1, space=Space())
    gc.collect()
    gc.freeze()
