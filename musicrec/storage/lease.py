"""One run at a time: a lock of the file system, or on a store of objects a lease that is renewed.

It saves work; what keeps two runs from publishing over each other is the history (`history.commit`). Where a
directory is the root, the system frees the lock however the process ends. On a store nobody does: the lease is
taken over when it was not renewed for some minutes by the store's own clock, or at once by the same application,
whose driver a cluster manager has started again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from musicrec.errors import LockError, StorageError
from musicrec.storage.files import writing
from musicrec.storage.plain import as_json
from musicrec.storage.promises import PROBES
from musicrec.storage.runs import Root
from musicrec.storage.stores import MissingError, Store

LOCK = "run.lock"
RENEW_S, EXPIRES_S = 60.0, 300.0
WAIT = "wait for it to end; the lock goes with its process"
WAIT_OR_UNLOCK = (
    f"wait for it to end; a lease that is not renewed for {EXPIRES_S / 60:.0f} minutes is taken over; if you know "
    "that its process is gone: musicrec unlock --root ROOT"
)


class Lease:
    """What a run holds while it works."""

    def __init__(self, is_held: Callable[[], bool] = lambda: True) -> None:
        self._lost, self._is_held = threading.Event(), is_held

    def lose(self) -> None:
        """Note that somebody else has it."""
        self._lost.set()

    def check(self) -> None:
        """Raise where it is lost.

        Raises
        ------
        LockError
            Another run has taken it over.
        """
        if self._lost.is_set():
            raise LockError(
                "another run has taken over the lease of this one, which did not renew it in time",
                todo="look at the network and at what held this process up; the other run goes on",
            )

    def confirm(self) -> None:
        """Ask the store whether it is held, before what cannot be taken back; raises as `check`."""
        if not self._is_held():
            self.lose()
        self.check()


@contextlib.contextmanager
def locked(root: Root, *, application: str = "") -> Iterator[Lease]:
    """Hold the lock of the root.

    Parameters
    ----------
    root : Root
    application : str
        What the cluster manager calls this application: one that it starts again takes its own lease over.

    Raises
    ------
    LockError
        Another run holds it.
    StorageError
        No write access.
    """
    directory = root.store.path()
    with _locked_file(Path(directory)) if directory is not None else _leased(root, application) as lease:
        yield lease


def holder(root: Root) -> str:
    """Return who holds the lock of the root, empty where nobody does."""
    if (directory := root.store.path()) is not None:
        path = Path(directory, LOCK)
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return ""
        except BlockingIOError:
            return path.read_text(errors="replace").strip() or "unknown"
        return ""
    held, _ = _read(root.store)
    if not held:
        return ""
    try:
        age = _age(root.store)
    except StorageError:
        # Who may only read has no clock but the own one, and takes no lease by it.
        age = (datetime.now(UTC) - root.store.stat(LOCK).written).total_seconds()
    return _told(held) if age < EXPIRES_S else ""


def unlock(root: Root) -> str:
    """Free a lease whose process is gone; return who held it, empty where nobody did.

    Raises
    ------
    LockError
        A directory is locked by a process that lives: only its end frees that.
    """
    told = holder(root)
    if told and root.store.path() is not None:
        raise LockError(f"the lock is held by {told}", where=root.where(LOCK), todo="end that process: it lives")
    held, tag = _read(root.store)
    if held and root.store.path() is None:
        root.store.replace_if(LOCK, b"{}", tag=tag)
        return _told(held)
    return ""


@contextlib.contextmanager
def _locked_file(directory: Path) -> Iterator[Lease]:
    path = directory / LOCK
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.read(file, 200).decode(errors="replace").strip() or "unknown"
            raise LockError(f"another run holds the lock ({told})", where=str(path), todo=WAIT) from None
        with writing(path):
            os.ftruncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield Lease()
    finally:
        os.close(file)


@contextlib.contextmanager
def _leased(root: Root, application: str) -> Iterator[Lease]:
    me = {
        "owner": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid(),
        "application": application,
    }  # fmt: skip
    tag = _acquire(root, me)

    def is_held() -> bool:
        return _read(root.store)[0].get("owner") == me["owner"]

    lease, is_over = Lease(is_held), threading.Event()
    renewing = threading.Thread(target=_renew, args=(root.store, me, tag, lease, is_over), daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        is_over.set()
        renewing.join(timeout=5)
        with contextlib.suppress(StorageError):
            _release(root.store, me)


def _release(store: Store, me: dict[str, Any]) -> None:
    """Free the lease; a renewal that was under way may come between."""
    held, tag = _read(store)
    while held.get("owner") == me["owner"] and not store.replace_if(LOCK, b"{}", tag=tag):
        held, tag = _read(store)


def _acquire(root: Root, me: dict[str, Any]) -> str:
    """Take the lease and return its tag."""
    store, mine = root.store, as_json(me).encode()
    if not store.create(LOCK, mine):
        held, tag = _read(store)
        if held.get("owner") == me["owner"]:
            # It was made, and the answer got lost.
            return tag
        is_same = bool(me["application"]) and held.get("application") == me["application"] and not _lives(held)
        if held and not is_same and (age := _age(store)) < EXPIRES_S:
            told = f"another run holds the lock ({_told(held)}, renewed {age:.0f} s ago)"
            raise LockError(told, where=root.where(LOCK), todo=WAIT_OR_UNLOCK)
        if not store.replace_if(LOCK, mine, tag=tag):
            raise LockError(
                "another run has taken the lock this moment", where=root.where(LOCK), todo=WAIT_OR_UNLOCK
            )
    held, tag = _read(store)
    if held.get("owner") != me["owner"]:
        raise LockError(f"another run holds the lock ({_told(held)})", where=root.where(LOCK), todo=WAIT_OR_UNLOCK)
    return tag


def _renew(store: Store, me: dict[str, Any], tag: str, lease: Lease, is_over: threading.Event) -> None:
    while not is_over.wait(RENEW_S):
        try:
            renewed = as_json({**me, "renewed": int(time.time())}).encode()
            if not store.replace_if(LOCK, renewed, tag=tag):
                # An answer that got lost makes the second try look like that of another.
                held, tag = _read(store)
                if held.get("owner") != me["owner"]:
                    lease.lose()
                    return
            _, tag = _read(store)
        except StorageError:
            # A store that is away for a while; who takes the lease over meanwhile is seen at the next try.
            continue


def _read(store: Store) -> tuple[dict[str, Any], str]:
    """Return what the lease says, nothing where nobody has it, and its tag."""
    try:
        content, tag = store.get_tagged(LOCK)
    except MissingError:
        return {}, ""
    try:
        found = json.loads(content)
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}, tag


def _age(store: Store) -> float:
    """Return the seconds since the lease was renewed, by the store's clock alone."""
    probe = f"{PROBES}/{uuid.uuid4().hex}"
    try:
        store.put(probe, b"")
        now = store.stat(probe).written
        return (now - store.stat(LOCK).written).total_seconds()
    except MissingError:
        return float("inf")
    finally:
        with contextlib.suppress(StorageError):
            store.delete([probe])


def _lives(held: dict[str, Any]) -> bool:
    """Return whether the process that holds the lease is one of this machine, and lives."""
    process = held.get("process")
    if held.get("host") != socket.gethostname() or type(process) is not int:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _told(held: dict[str, Any]) -> str:
    return f"process {held.get('process', '?')} on {held.get('host', '?')}"
