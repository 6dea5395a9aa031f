"""musicrec: a Spark batch job that turns a catalog of songs into recommendations.

A notebook calls `musicrec.refresh(config)`, `musicrec.neighbors(dataframe, k=10)` and
`musicrec.similar(root, track_id)`. Each is imported when it is first asked for; the first two are also modules.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from musicrec.storage import environment

if TYPE_CHECKING:
    from musicrec.interface import neighbors as neighbors
    from musicrec.interface import refresh as refresh
    from musicrec.query import similar as similar

__version__ = "0.1.0"

# Read when torch is loaded. Threads that wait for each other otherwise keep their cores busy: beside two other
# processes on two cores a step of training took three times as long as it does with this, alone as long.
environment.set_default("OMP_WAIT_POLICY", "PASSIVE")
# Read when a GPU's matrix products are first made: without it they may be summed in another order each time.
environment.set_default("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

_FUNCTIONS = {"refresh": "musicrec.interface", "neighbors": "musicrec.interface", "similar": "musicrec.query"}


class _Importable(ModuleType):
    def __reduce__(self) -> tuple[Any, ...]:
        # A function of a notebook that names the module travels to the workers by what pickles plain modules only.
        return importlib.import_module, (self.__name__,)


class _CallableModule(_Importable):
    """A module that, called, is the function of its name."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return _function(self.__name__.rpartition(".")[2])(*arguments, **named)


class _Package(_Importable):
    def __setattr__(self, name: str, value: Any) -> None:
        # Whoever imports the module `musicrec.refresh` first, its import ends with setting it here.
        if name in _FUNCTIONS and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


def _function(name: str) -> Any:
    environment.check_supported()
    return getattr(importlib.import_module(_FUNCTIONS[name]), name)


def __getattr__(name: str) -> Any:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "similar":
        return _function(name)
    environment.check_supported()
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})


sys.modules[__name__].__class__ = _Package
