"""Does a store keep what publishing relies on? Asked once, by the very requests that publishing makes.

Some servers that speak S3 ignore the conditions of a write in silence: of sixteen who race, all win. On such a
store two nights would publish over each other, so it is refused before anything is written.
"""

from __future__ import annotations

import contextlib
import uuid

from musicrec.errors import ConfigError, StorageError
from musicrec.storage.files import is_writable, nearest
from musicrec.storage.runs import PUBLISHED, WORK, Root
from musicrec.storage.stores import MissingError, Store

PROBES = "probes"
FIX = "use a store with conditional writes, or a directory"


def check_promises(store: Store) -> None:
    """Write a few small objects below `probes/`, and delete them.

    Parameters
    ----------
    store : Store

    Raises
    ------
    ConfigError
        The store breaks promises: names all that it breaks.
    StorageError
        It cannot be written.
    """
    place = f"{PROBES}/{uuid.uuid4().hex}"
    name, other = f"{place}/one", f"{place}/two"
    try:
        broken = _broken_promises(store, place, name, other)
    finally:
        with contextlib.suppress(StorageError):
            store.delete([name, other])
    if broken:
        raise ConfigError(f"the store does not keep its promises: {'; '.join(broken)}", where=store.uri, todo=FIX)


def check_writable(root: Root) -> None:
    """Raise where a run could not write, or not rely on what is written; leave nothing behind.

    Raises
    ------
    ConfigError
        The store breaks promises.
    StorageError
        No write access.
    """
    directory = root.store.path()
    if directory is None:
        check_promises(root.store)
        return
    for place in dict.fromkeys(map(nearest, (directory, root.where(WORK), root.where(PUBLISHED)))):
        if not is_writable(place):
            raise StorageError("cannot write here", where=place, todo="choose another output.root")


def _gives_ranges(store: Store, name: str) -> bool:
    try:
        return store.get_ranges(name, [(2, 4), (9, 10)]) == [b"23", b"9"]
    except StorageError:
        # Some answer with all of it, which the client refuses.
        return False


def _broken_promises(store: Store, place: str, name: str, other: str) -> list[str]:
    broken = []
    if not store.create(name, b"1") or store.get(name) != b"1":
        broken.append("a new object is not the one that was written")
    if store.create(name, b"2"):
        broken.append("what is there already is created again")
    content, tag = store.get_tagged(name)
    if not store.replace_if(name, b"3" + content, tag=tag):
        broken.append("an object is not replaced by who has read it")
    if store.replace_if(name, b"4", tag=tag):
        broken.append("an object is replaced by who has read an older one")
    if store.replace_if(other, b"5", tag=tag):
        broken.append("an object that is not there is replaced")
    if [entry.name for entry in store.entries(place)] != [name]:
        broken.append("what was written is not listed")
    store.put(name, b"0123456789")
    if not _gives_ranges(store, name):
        broken.append("parts of an object are not read alone")
    store.delete([name])
    try:
        store.get(name)
    except MissingError:
        return broken
    return [*broken, "what was deleted is still there"]
