"""Numbers of runs of a day: one that was given is never given again, whatever became of its run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from musicrec.storage.plain import as_json
from musicrec.storage.stores import MissingError, Store

RUN_ID = re.compile(r"(\d{4}-\d{2}-\d{2})-(\d{3,})", re.ASCII)


def take_number(store: Store, record: str, *, day: str, standing: Iterable[str]) -> int:
    """Return the next number of a day, once the record says that it is taken.

    Parameters
    ----------
    store : Store
    record : str
        Name of the object with the highest number of each day. Where it is missing or broken, what stands decides.
    day : str
        As a run's name has it.
    standing : iterable of str
        Names of runs that are there.

    Raises
    ------
    StorageError
        The record could not be written; the number is not taken.
    """
    there = list(standing)
    while True:
        content, tag = _read(store, record)
        highest = _as_numbers(content)
        for match in filter(None, map(RUN_ID.fullmatch, there)):
            highest[match[1]] = max(highest.get(match[1], 0), int(match[2]))
        highest[day] = highest.get(day, 0) + 1
        new = as_json(dict(sorted(highest.items()))).encode()
        # On the disk before anything has the name: a power failure must not give it to a second run.
        if store.replace_if(record, new, tag=tag) if tag else store.create(record, new):
            return highest[day]


def _read(store: Store, record: str) -> tuple[bytes, str]:
    try:
        return store.get_tagged(record)
    except MissingError:
        return b"", ""


def _as_numbers(content: bytes) -> dict[str, int]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {day: number for day, number in known if type(number) is int and number >= 0}
