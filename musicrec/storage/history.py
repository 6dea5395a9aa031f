"""What was ever current: a file per version, `published/history/00000042.json`, made once and never changed.

Making the next entry is what publishes: of all who try, one makes it. The pointer is a copy of the last entry,
and where a process ended between the two, the next one that writes anything moves it.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from musicrec.errors import LockError, StorageError
from musicrec.storage.numbers import RUN_ID
from musicrec.storage.plain import as_json
from musicrec.storage.pointer import has_manifest, parse_pointer
from musicrec.storage.runs import HISTORY, MANIFEST, POINTER, Root
from musicrec.storage.stores import MissingError

PUBLISH, ROLLBACK, BACKFILL = "publish", "rollback", "backfill"
# What makes a snapshot current; a backfill stands beside it.
MOVING = (PUBLISH, ROLLBACK)


@dataclass(frozen=True)
class Version:
    """An entry of the history.

    Attributes
    ----------
    number : int
        Its place in the order of versions, from 1.
    action : {"publish", "rollback", "backfill"}
    run_id : str
    at : datetime or None
        When it was done; None where nothing tells.
    entry : dict
        All that it says.
    """

    number: int
    action: str
    run_id: str
    at: datetime | None
    entry: Mapping[str, Any]


def read_versions(root: Root) -> Iterator[Version]:
    """Yield the entries, the latest first; they are read one by one, as there are as many as there were nights."""
    for number in reversed(_numbers(root)):
        if (version := _read_version(root, number)) is not None:
            yield version


def settle(root: Root) -> int:
    """Make pointer and history agree, whatever ended between the two; return the number of what is current.

    Raises
    ------
    StorageError
        It could not be written.
    """
    pointer = _read_current(root)
    _note(root, pointer)
    latest = next((version for version in read_versions(root) if version.action in MOVING), None)
    if latest is None:
        return 0
    if latest.number > _number_in(pointer) and _can_be_current(root, latest):
        move_pointer(root, latest.entry)
    return latest.number


def commit(root: Root, about: Mapping[str, Any], *, action: str, base: int) -> dict[str, Any]:
    """Make the next entry of the history, and the pointer its copy; return the entry.

    Parameters
    ----------
    root : Root
    about : mapping
        What the pointer says of the snapshot.
    action : {"publish", "rollback", "backfill"}
    base : int
        What was current when the work began, as `settle` said: who finds another is not the one to go on.

    Raises
    ------
    LockError
        Another one has published, or rolled back, meanwhile.
    StorageError
        It could not be written, or the snapshot is gone: the entry leads nowhere, and is passed over.
    """
    before = _read_version(root, base) if base else None
    pinned = about["run_id"] if action == ROLLBACK else before.entry.get("pinned") if before else None
    entry: dict[str, Any] = {
        **about, "version": base, "action": action, "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": _who(), "previous": base or None, "pinned": pinned,
    }  # fmt: skip
    while True:
        later = [(number, _read_version(root, number)) for number in _numbers(root, after=base)]
        if action in MOVING:
            _check_not_moved(root, [version for _, version in later if version is not None])
        entry["version"] = max((number for number, _ in later), default=base) + 1
        if _make(root, entry):
            break
    if action in MOVING:
        _check_stands(root, entry)
        move_pointer(root, entry)
    return entry


def _check_stands(root: Root, entry: Mapping[str, Any]) -> None:
    """Look at the snapshot once more, now that retention knows that it is wanted (`retention.drop_old`)."""
    if not has_manifest(root, entry["run_id"]):
        raise StorageError(
            f"the snapshot of run {entry['run_id']} was deleted this moment; what was current before stays so",
            where=root.snapshot(entry["run_id"]).uri, todo="musicrec history --root ROOT lists what there is",
        )  # fmt: skip


def _make(root: Root, entry: Mapping[str, Any]) -> bool:
    """Make an entry; return False where another one has its number."""
    name, content = _name(entry["version"]), as_json(dict(entry)).encode()
    # A store whose answer got lost was asked twice, and refuses what it did at first.
    return root.store.create(name, content) or root.store.get(name) == content


def _check_not_moved(root: Root, later: Iterable[Version]) -> None:
    for version in later:
        if version.action in MOVING:
            raise LockError(
                f"what is current has changed while this run was under way: version {version.number}, "
                f"{version.action} of {version.run_id} by {version.entry.get('by', 'somebody')}",
                where=root.where(_name(version.number)), todo="look at `musicrec history`, and run again",
            )  # fmt: skip


def move_pointer(root: Root, entry: Mapping[str, Any]) -> None:
    """Let the pointer say what an entry says, unless it says what a later one does.

    Raises
    ------
    StorageError
        It could not be written; the next command that writes does it.
    """
    content = as_json(dict(entry)).encode()
    while True:
        try:
            found, tag = root.store.get_tagged(POINTER)
        except MissingError:
            if root.store.create(POINTER, content):
                return
            continue
        if _number_in(_valid(root, found)) >= entry["version"]:
            return
        if root.store.replace_if(POINTER, content, tag=tag):
            return


def _note(root: Root, pointer: Mapping[str, Any]) -> None:
    """Note what the pointer names, where an older version of this program did not; what it published, too."""
    if not pointer:
        return
    number = _number_in(pointer)
    if number:
        with contextlib.suppress(MissingError):
            root.store.stat(_name(number))
            return
        at = pointer.get("published_at")
        _create(root, number, {"action": PUBLISH, "at": at, **pointer})
        return
    known = {version.run_id for version in read_versions(root)}
    for run_id, at in (*_without_version(root, pointer), (pointer["run_id"], pointer.get("published_at"))):
        if run_id not in known:
            about = pointer if run_id == pointer["run_id"] else {"run_id": run_id}
            number = max(_numbers(root), default=0) + 1
            _create(root, number, {**about, "version": number, "action": PUBLISH, "at": at})


def _create(root: Root, number: int, entry: dict[str, Any]) -> None:
    before = [each for each in _numbers(root) if each < number]
    entry = {**entry, "previous": max(before, default=None)}
    root.store.create(_name(number), as_json(entry).encode())


def _without_version(root: Root, pointer: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Return what stands beside the current snapshot where it was published before there was a history."""
    found = []
    for run_id in root.snapshots():
        with contextlib.suppress(StorageError, ValueError, AttributeError):
            manifest = json.loads(root.snapshot(run_id).get(MANIFEST))
            found.append((run_id, manifest.get("finished_at")))
    others = [each for each in found if each[0] != pointer["run_id"]]
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(others, key=lambda each: as_time(each[1]) or oldest)


def _can_be_current(root: Root, version: Version) -> bool:
    return bool(_valid(root, json.dumps(dict(version.entry)).encode())) and has_manifest(root, version.run_id)


def _read_current(root: Root) -> dict[str, Any]:
    """Return what the pointer says; nothing where it is missing or broken."""
    try:
        return _valid(root, root.store.get(POINTER))
    except MissingError:
        return {}


def _valid(root: Root, content: bytes) -> dict[str, Any]:
    """Return what a pointer says; nothing where it cannot be trusted."""
    try:
        return parse_pointer(content, where=root.where(POINTER))
    except StorageError:
        return {}


def _number_in(pointer: Mapping[str, Any]) -> int:
    number = pointer.get("version")
    return number if type(number) is int and number > 0 else 0


def _as_version(number: int, entry: Mapping[str, Any]) -> Version:
    """Return an entry.

    Raises
    ------
    ValueError
        It names no run.
    """
    run_id = str(entry.get("run_id", ""))
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"an entry of the history names no run: {run_id!r}")
    return Version(number, str(entry.get("action", PUBLISH)), run_id, as_time(entry.get("at")), entry)


def _read_version(root: Root, number: int) -> Version | None:
    """Return an entry, None where it is broken: it tells nothing, and is no reason to end a night."""
    # A store that gives no answer is another matter: what stands there may be what is live.
    with contextlib.suppress(MissingError, ValueError, KeyError, TypeError, AttributeError):
        return _as_version(number, json.loads(root.store.get(_name(number))))
    return None


def _numbers(root: Root, *, after: int = 0) -> list[int]:
    """Return the numbers of the entries behind one, rising."""
    start = len(HISTORY) + 1
    names = [entry.name[start:] for entry in root.store.entries(HISTORY, after=_name(after) if after else "")]
    stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdecimal())


def _name(number: int) -> str:
    return f"{HISTORY}/{number:08d}.json"


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def as_time(text: object) -> datetime | None:
    """Return a time as a manifest or a pointer says it; None where it is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
