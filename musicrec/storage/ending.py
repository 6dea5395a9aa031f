"""A process that was asked to end: an exception that Python lost while it collected garbage is raised again."""

from __future__ import annotations

_asked: list[type[BaseException]] = []


def note_ending(kind: type[BaseException] | None) -> None:
    """Keep by what exception the process was asked to end; None: it was not."""
    _asked[:] = [kind] if kind else []


def check_ending() -> None:
    """Raise that exception where the process was asked to end, and goes on all the same."""
    if _asked:
        raise _asked[0]()
