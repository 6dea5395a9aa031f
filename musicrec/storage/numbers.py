"""Numbers of runs of a day: one that was given is never given again, whatever became of its run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from musicrec.storage.files import write_text
from musicrec.storage.plain import as_json

RUN_ID = re.compile(r"(\d{4}-\d{2}-\d{2})-(\d{3,})", re.ASCII)


def take_number(record: Path, *, day: str, standing: Iterable[str]) -> int:
    """Return the next number of a day, once the record says that it is taken.

    Parameters
    ----------
    record : path
        Of the file with the highest number of each day. Where it is missing or broken, what stands decides.
    day : str
        As a run's name has it.
    standing : iterable of str
        Names of runs that are there.

    Raises
    ------
    StorageError
        The record could not be written; the number is not taken.
    """
    highest = _read(record)
    for match in filter(None, map(RUN_ID.fullmatch, standing)):
        highest[match[1]] = max(highest.get(match[1], 0), int(match[2]))
    highest[day] = highest.get(day, 0) + 1
    # On the disk before anything has the name: a power failure must not give it to a second run.
    write_text(record, as_json(dict(sorted(highest.items()))), durable=True)
    return highest[day]


def _read(record: Path) -> dict[str, int]:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {day: number for day, number in known if type(number) is int and number >= 0}
