"""Loops that numba compiles (Lam, Pitrou and Seibert 2015): one pass where array operations take many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on its first call; the machine code is kept beside the source where that can be written.

    Compiled functions call only those of their own file: what is kept is not made again when another file changes.
    Sums may be reordered, but infinity and NaN keep their meaning.
    """
    try:
        return cast(Function, njit(cache=True, nogil=True, fastmath=FAST)(function))
    except RuntimeError:
        # From a zip on a machine without a home directory there is no place to keep it (`storage.kernel_cache`).
        return cast(Function, njit(nogil=True, fastmath=FAST)(function))
