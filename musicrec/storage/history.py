"""What was ever current: a file per version, `published/history/00000042.json`, made once and never changed.

The pointer alone makes a snapshot current. What it names is noted afterwards, and where that did not happen any
more, by the next run: so each version that is noted was current, and none is lost.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from musicrec.errors import StorageError
from musicrec.storage.files import write_text
from musicrec.storage.plain import as_json
from musicrec.storage.runs import MANIFEST, Root, read_pointer, run_directories


@dataclass(frozen=True)
class Version:
    """A run that was current.

    Attributes
    ----------
    number : int
        Its place in the order of versions, from 1; 0 where it is not noted yet.
    run_id : str
    at : datetime or None
        When it was published; None where nothing tells.
    """

    number: int
    run_id: str
    at: datetime | None


def read_versions(root: Root) -> Iterator[Version]:
    """Yield what the pointer names, then what was current before, the latest first; a run may come twice.

    They are read one by one: there are as many as there were nights.

    Raises
    ------
    StorageError
        The pointer cannot be read: then nobody knows what is current.
    """
    pointer = read_pointer(root)
    yield _current(pointer)
    if not pointer.get("version"):
        yield from reversed(_without_version(root, pointer))
    yield from _noted(root)


def next_number(root: Root) -> int:
    """Return the number that the next version gets."""
    numbers = [_number_of(path) for path in _files(root)]
    with contextlib.suppress(StorageError):
        numbers.append(_current(read_pointer(root)).number)
    return max(numbers, default=0) + 1


def note_current(root: Root) -> None:
    """Note what the pointer names, where that has not been done; what an older version published, too.

    Raises
    ------
    StorageError
        It could not be written.
    """
    try:
        pointer = read_pointer(root)
    except StorageError:
        return
    if pointer.get("version"):
        _write(root, _current(pointer))
        return
    known = {version.run_id for version in _noted(root)}
    for version in (*_without_version(root, pointer), _current(pointer)):
        if version.run_id not in known:
            _write(root, Version(next_number(root), version.run_id, version.at))


def _write(root: Root, version: Version) -> None:
    path = root.history / f"{version.number:08d}.json"
    if path.exists():
        return
    before = [number for number in map(_number_of, _files(root)) if number < version.number]
    entry = {
        "version": version.number,
        "action": "publish",
        "run_id": version.run_id,
        "at": version.at.isoformat(timespec="seconds") if version.at else None,
        "previous": max(before, default=None),
    }
    write_text(path, as_json(entry), durable=True)


def _current(pointer: dict[str, Any]) -> Version:
    number = pointer.get("version")
    return Version(number if type(number) is int else 0, pointer["run_id"], _time_of(pointer.get("published_at")))


def _without_version(root: Root, pointer: dict[str, Any]) -> list[Version]:
    """Return what stands beside the current snapshot where it was published before there was a history."""
    found = []
    for path in run_directories(root.snapshots):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            found.append(Version(0, path.name, _time_of(manifest.get("finished_at"))))
    others = [version for version in found if version.run_id != pointer["run_id"]]
    return sorted(others, key=lambda version: version.at or datetime.min.replace(tzinfo=UTC))


def _noted(root: Root) -> Iterator[Version]:
    for path in sorted(_files(root), key=_number_of, reverse=True):
        # A broken one tells nothing, and is no reason to end a night.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            entry = json.loads(path.read_text(encoding="utf-8"))
            yield Version(_number_of(path), str(entry["run_id"]), _time_of(entry["at"]))


def _files(root: Root) -> list[Path]:
    return [path for path in root.history.glob("*.json") if path.stem.isdecimal()]


def _number_of(path: Path) -> int:
    return int(path.stem)


def _time_of(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
