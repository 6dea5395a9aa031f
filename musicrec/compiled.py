"""Loops that numba compiles (Lam, Pitrou and Seibert 2015): one pass where array operations take many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from numba import config, njit

FAST = {"reassoc", "contract", "nsz", "arcp"}
# numba's own way with zip files, left out here, compiles in each run anew, and fails where nothing can be written.
PLACES = (
    "musicrec.storage.kernel_cache.PackedKernels,"
    "UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator,IPythonCacheLocator"
)
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on its first call; the machine code is kept beside the source where that can be written.

    Compiled functions call only those of their own file, and take from others only constants that never change:
    what is kept is not made again when another file changes. Sums may be reordered; infinity and NaN keep their
    meaning.
    """
    try:
        with _kept_where_packed():
            return cast(Function, njit(cache=True, nogil=True, fastmath=FAST)(function))
    except RuntimeError:
        # From a zip on a machine without a home directory there is no place to keep it.
        return cast(Function, njit(nogil=True, fastmath=FAST)(function))


@contextmanager
def _kept_where_packed() -> Iterator[None]:
    """Let numba choose among our places, for what is compiled meanwhile, where this package is in a zip."""
    options: Any = config
    # Older numbas do not ask.
    if ".zip" not in __file__ or options.__dict__.get("CACHE_LOCATOR_CLASSES") != "":
        yield
        return
    options.CACHE_LOCATOR_CLASSES = PLACES
    try:
        yield
    finally:
        options.CACHE_LOCATOR_CLASSES = ""
