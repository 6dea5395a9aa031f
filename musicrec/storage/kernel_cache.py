"""Where machine code is kept of compiled loops that come from a zip file, as `spark-submit --py-files` takes it.

numba keeps it by the place of the zip, and Spark puts the zip elsewhere in each run: each machine would compile it
anew, in each run. Here it is kept by what is in the zip, all of it: loops hold constants of other files.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from musicrec.storage import environment
from musicrec.storage.files import sha256_of


class PackedKernels:
    """A locator of numba, for functions in a zip file; `compiled` names it."""

    def __init__(self, line: int, digest: str) -> None:
        self._line, self._digest = line, digest

    @classmethod
    def from_function(cls, function: Callable[..., Any], path: str) -> PackedKernels | None:
        """Return the locator of a function, None for one of another kind or where nothing can be kept.

        Parameters
        ----------
        function : callable
        path : str
            Of its source.
        """
        archive = getattr(sys.modules[function.__module__].__loader__, "archive", "")
        if not archive or not path.startswith(archive):
            return None
        try:
            locator = cls(function.__code__.co_firstlineno, _digest_of(archive))
            locator.ensure_cache_path()
        except OSError:
            return None
        return locator

    def ensure_cache_path(self) -> None:
        """Make the directory, and raise OSError where it cannot be written."""
        environment.make_writable(self.get_cache_path())

    def get_cache_path(self) -> str:
        """Return the directory."""
        return environment.cache_path(f"kernels-{self._digest[:16]}")

    def get_source_stamp(self) -> str:
        """Return what changes with the zip."""
        return self._digest

    def get_disambiguator(self) -> str:
        """Return what tells apart functions of one name in one file."""
        return str(self._line)


def kernels_directory() -> str | None:
    """Return where machine code can be kept of what is installed, None where nowhere.

    As numba looks for a place: where it is told to, beside the source, then in the user's cache.
    """
    package = os.path.dirname(os.path.dirname(__file__))
    beside = os.path.join(package, "__pycache__") if os.path.isdir(package) else ""
    told = os.environ.get("NUMBA_CACHE_DIR")
    for directory in filter(None, (told, beside, environment.cache_path("kernels"))):
        with contextlib.suppress(OSError):
            environment.make_writable(directory)
            return directory
    return None


@cache
def _digest_of(archive: str) -> str:
    return sha256_of(archive)
