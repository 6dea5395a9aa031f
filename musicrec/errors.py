"""Every failure that a user can expect, one sentence each, with the exit code it ends the process with."""

from __future__ import annotations

from musicrec.shown import one_line

MAX_LINE_LENGTH, MAX_TODO_LENGTH = 300, 1000
# So much of a text is looked at: a value of megabytes may stand in it.
MAX_TEXT_LENGTH = 20_000


def shorten(text: str, *, length: int = MAX_LINE_LENGTH) -> str:
    """Return `text` as it may be shown, on one line of at most `length` characters."""
    # What is cut off first would not be known as the secret that it is.
    flat = one_line(str(text)[:MAX_TEXT_LENGTH])
    return flat if len(flat) <= length else flat[: length - 1] + "…"


class MusicrecError(Exception):
    """Base of all expected failures: what happened, where, and what to do next.

    Parameters
    ----------
    what : str
        One sentence that names the thing, the expected and the found.
    where : str
        File, column, row count: whatever lets the user find the place.
    todo : str
        The next step for the user.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.todo = what, where, todo

    def __str__(self) -> str:
        lines = [f"error: {shorten(self.what)}"]
        lines += [f"where: {shorten(self.where)}"] if self.where else []
        # A line to copy is worth nothing where it is cut.
        lines += [f"to do: {shorten(self.todo, length=MAX_TODO_LENGTH)}"] if self.todo else []
        return "\n".join(lines)


class ConfigError(MusicrecError):
    """The command line or the configuration is wrong."""

    exit_code = 2


class InputError(MusicrecError):
    """The input is refused; what was published before is still live."""

    exit_code = 3


class QualityError(MusicrecError):
    """The result did not pass its checks; what was published before is still live."""

    exit_code = 4


class LockError(MusicrecError):
    """Another run holds the lock of the output root."""

    exit_code = 5


class StorageError(MusicrecError):
    """The machine, not the data, is at fault: no write access, a file that changed under us, no Java."""

    exit_code = 1
