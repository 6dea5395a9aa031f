"""Sections of a document that only programs write: figures, and below them what they depend on.

A section stands between two lines of its own, `<!-- begin: NAME -->` and `<!-- end: NAME -->`. What is written
there replaces what stood there before; every other byte of the document stays.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from musicrec.errors import ConfigError
from musicrec.storage.files import Location, write_text
from musicrec.storage.origin import Origin, find_origin

_MARKER = re.compile(r"^<!-- (begin|end): ([\w.-]+) -->[ \t]*\r?$", re.M)


@dataclass(frozen=True)
class DocumentSection:
    """A section that was there when it was looked for, and the origin of the figures that it will hold."""

    path: Path
    name: str
    origin: Origin

    def write(self, text: str) -> None:
        """Put `text`, and the origin below it, in place of what the section holds now.

        Raises
        ------
        ConfigError
            The section is no longer there.
        StorageError
            The document could not be written.
        """
        document = _read(self.path)
        content = "\n".join([text.strip("\n"), "", *self.origin.lines()])
        write_text(self.path, replace_section(document, self.name, content, where=str(self.path)))


def open_section(
    path: Location, name: str, *, packages: Sequence[str] = (), argv: Sequence[str] | None = None
) -> DocumentSection:
    """Look for a section before the work whose figures it will hold: hours of it are not lost for a missing line.

    Parameters
    ----------
    path : path
        Of the document.
    name : str
        Of the section.
    packages : sequence of str
        Names of distributions that the figures depend on besides Spark and torch.
    argv : sequence of str, optional
        The command line that makes the figures; that of this process by default.

    Raises
    ------
    ConfigError
        There is no such document, or it has no such section.
    """
    document = Path(path).resolve()
    replace_section(_read(document), name, "", where=str(path))
    return DocumentSection(document, name, find_origin(sys.argv if argv is None else argv, packages=packages))


def replace_section(document: str, name: str, content: str, *, where: str) -> str:
    """Return the document with `content` as the whole of a section.

    Parameters
    ----------
    document : str
    name : str
        Of the section.
    content : str
        Without a line break at its end.
    where : str
        The document's name, for the error's sentence.

    Raises
    ------
    ConfigError
        The two lines of the section do not stand there once each, one after the other.
    """
    markers = list(_MARKER.finditer(document))
    own = [i for i, marker in enumerate(markers) if marker[2] == name]
    if [markers[i][1] for i in own] != ["begin", "end"] or own[1] != own[0] + 1:
        known = ", ".join(dict.fromkeys(marker[2] for marker in markers)) or "none"
        raise ConfigError(
            f"there is no section {name!r} to write",
            where=f"{where}; sections: {known}",
            todo=f"put the lines <!-- begin: {name} --> and <!-- end: {name} --> where it belongs, once",
        )
    begin, end = (markers[i] for i in own)
    break_ = "\r\n" if begin[0].endswith("\r") else "\n"
    lines = [*content.split("\n"), ""] if content else [""]
    return document[: begin.end()] + "\n" + break_.join(lines) + document[end.start() :]


def _read(path: Path) -> str:
    try:
        # As bytes: reading text would change the ends of lines.
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the document: {error}", where=str(path)) from None
