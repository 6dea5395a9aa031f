"""Where machine code is kept of compiled loops that come from a zip file, as `spark-submit --py-files` takes it.

numba keeps it by the place of the zip, and Spark puts the zip elsewhere in each run: each machine would compile it
anew, in each run. Here it is kept by the source itself.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from typing import Any

from musicrec.storage import environment


class PackedKernels:
    """A locator of numba, for functions of this package in a zip file: NUMBA_CACHE_LOCATOR_CLASSES names it."""

    def __init__(self, line: int, source: bytes) -> None:
        self._line, self._digest = line, hashlib.sha256(source).hexdigest()

    @classmethod
    def from_function(cls, function: Callable[..., Any], path: str) -> PackedKernels | None:
        """Return the locator of a function, None for one of another kind or where nothing can be kept.

        Parameters
        ----------
        function : callable
        path : str
            Of its source.
        """
        package = __name__.partition(".")[0]
        if ".zip" not in path or function.__module__.partition(".")[0] != package:
            return None
        loader: Any = sys.modules[function.__module__].__loader__
        locator = cls(function.__code__.co_firstlineno, loader.get_data(path))
        try:
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
        """Return what changes with the source."""
        return self._digest

    def get_disambiguator(self) -> str:
        """Return what tells apart functions of one name in one file."""
        return str(self._line)
