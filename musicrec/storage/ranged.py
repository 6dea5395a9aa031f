"""An object of a store as a file, of which only what is looked at is read."""

from __future__ import annotations

import io
from typing import BinaryIO, cast

from musicrec.storage.stores import Store

# At least so much is read at once: a request takes as long as a megabyte.
READ_BYTES = 2**20


def open_ranged(store: Store, name: str, *, n_bytes: int) -> BinaryIO:
    """Return an object as a file that is read where it is looked at.

    Parameters
    ----------
    store : Store
    name : str
    n_bytes : int
        Of the object.
    """
    path = store.path(name)
    if path is not None:
        return open(path, "rb")
    if n_bytes <= READ_BYTES:
        return io.BytesIO(store.get(name))
    return cast(BinaryIO, io.BufferedReader(_Ranges(store, name, n_bytes), READ_BYTES))


class _Ranges(io.RawIOBase):
    def __init__(self, store: Store, name: str, n_bytes: int) -> None:
        super().__init__()
        self._store, self._name, self._n_bytes, self._at = store, name, n_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._n_bytes}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self._n_bytes, self._at + len(buffer))
        if end <= self._at:
            return 0
        (content,) = self._store.get_ranges(self._name, [(self._at, end)])
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
