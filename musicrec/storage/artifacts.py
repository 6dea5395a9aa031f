"""The encoder's files: safetensors and JSON, never pickle, with digests that are checked before reading."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator

from musicrec.errors import StorageError
from musicrec.storage.stores import Entry, Store

WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"
CHECKPOINT, _BROKEN = "checkpoint-", "broken-"


def save_encoder(store: Store, *, weights: bytes, description: bytes) -> dict[str, str]:
    """Write the two files and return the SHA-256 of each by its name.

    Parameters
    ----------
    store : Store
    weights : bytes
        safetensors.
    description : bytes
        JSON.
    """
    digests = {}
    for name, content in ((WEIGHTS, weights), (DESCRIPTION, description)):
        store.put(name, content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def load_encoder(store: Store, *, digests: dict[str, str]) -> tuple[bytes, bytes]:
    """Return the contents of the two files.

    Raises
    ------
    StorageError
        A file is missing or is not the one that was saved.
    """
    contents = []
    for name in (WEIGHTS, DESCRIPTION):
        where = f"{store.uri}/{name}"
        try:
            content = store.get(name)
        except StorageError as error:
            raise StorageError(f"cannot read the encoder: {error.what}", where=where, todo=error.todo) from None
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            raise StorageError("the encoder's file is not the one that was saved", where=where)
        contents.append(content)
    return contents[0], contents[1]


def checkpoint_name(name: str) -> str:
    """Return the name of the file of a training's checkpoint."""
    return f"{CHECKPOINT}{name[:32]}.safetensors"


def save_checkpoint(store: Store, *, name: str, content: bytes) -> None:
    """Keep a training under way; the file appears whole.

    Parameters
    ----------
    store : Store
    name : str
        Of the training: 64 hexadecimal digits.
    content : bytes
        safetensors.
    """
    store.put(checkpoint_name(name), content)


def find_checkpoint(stores: Iterable[Store], *, name: str) -> bytes | None:
    """Return the newest checkpoint of a training among those of runs that failed, None without any."""
    # One that cannot be read is as good as none.
    with contextlib.suppress(StorageError):
        newest = _newest(stores, name)
        return newest[0].get(newest[1].name) if newest else None
    return None


def set_aside_checkpoint(stores: Iterable[Store], *, name: str) -> str:
    """Give what `find_checkpoint` returned another name, so that nobody finds it again; return where it is."""
    newest = _newest(stores, name)
    if newest is None:
        return ""
    store, entry = newest
    aside = f"{_BROKEN}{entry.name}"
    # Where that cannot be done the next run says the same again.
    with contextlib.suppress(StorageError):
        store.put(aside, store.get(entry.name))
        store.delete([entry.name])
        return f"{store.uri}/{aside}"
    return f"{store.uri}/{entry.name}"


def newest_checkpoints(stores: Iterable[Store]) -> list[str]:
    """Return where the checkpoints are that lie beside the newest of all, none where there are none."""
    found = [(store, entry) for store in stores for entry in _checkpoints(store)]
    newest = max(found, key=lambda each: each[1].written, default=None)
    return [f"{store.uri}/{entry.name}" for store, entry in found if newest and store.uri == newest[0].uri]


def drop_checkpoints(store: Store) -> None:
    """Delete the checkpoints of a run whose training is done."""
    store.delete([entry.name for entry in _checkpoints(store)])


def _checkpoints(store: Store) -> Iterator[Entry]:
    return (entry for entry in store.entries() if entry.name.startswith(CHECKPOINT))


def _newest(stores: Iterable[Store], name: str) -> tuple[Store, Entry] | None:
    wanted = checkpoint_name(name)
    found = [(store, entry) for store in stores for entry in _checkpoints(store) if entry.name == wanted]
    return max(found, key=lambda each: each[1].written, default=None)
