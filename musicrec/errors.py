"""Every failure that a user can expect, one sentence each, with the exit code it ends the process with."""

from __future__ import annotations

import re

from musicrec.shown import one_line

# How the system says that it refuses to write, through Python, Java or numpy (which forgets why it wrote less).
DISK_FAULTS = {
    r"No space left on device|\d+ requested and \d+ written": "the disk is full",
    r"Disk quota exceeded": "the disk quota is used up",
    r"Read-only file system": "the file system is read-only",
    r"Permission denied|Operation not permitted": "permission denied",
}
MAKE_ROOM, GIVE_ACCESS = "make room there, then run again", "give the user that runs the job write access there"

MAX_LINE_LENGTH, MAX_TODO_LENGTH = 300, 1000
# So much of a text is looked at: a value of megabytes may stand in it.
MAX_TEXT_LENGTH = 20_000


def shorten(text: str, *, length: int = MAX_LINE_LENGTH) -> str:
    """Return `text` as it may be shown, on one line of at most `length` characters."""
    # What is cut off first would not be known as the secret that it is.
    flat = one_line(str(text)[:MAX_TEXT_LENGTH])
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def disk_fault(text: str) -> tuple[str, str] | None:
    """Return what a disk refused by what the system said, and how to mend it; None where it is another fault."""
    found = next((fault for sign, fault in DISK_FAULTS.items() if re.search(sign, text)), None)
    if found is None:
        return None
    return found, MAKE_ROOM if found.startswith("the disk") else GIVE_ACCESS


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


def disk_error(text: str, *, where: str) -> StorageError | None:
    """Return the sentence for a disk that refused, whoever told it; None where none did."""
    found = disk_fault(text)
    if found is None:
        return None
    fault, todo = found
    # Who may not write is told by where he wrote; this may have been reading.
    tried = "cannot read or write" if todo == GIVE_ACCESS else "cannot write"
    return StorageError(f"{tried}: {fault}", where=where, todo=todo)
