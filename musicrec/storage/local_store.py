"""A directory as a store: objects are files, each written under another name and renamed when it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from musicrec.errors import StorageError
from musicrec.storage.files import write_bytes, writing
from musicrec.storage.stores import Entry, MissingError, checked_name


@dataclass(frozen=True)
class LocalStore:
    """The directory `uri`, an absolute path; it is made with the first object."""

    uri: str

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in place of the one that is there."""
        write_bytes(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there yet; return whether this call did."""
        target = self._path(name)
        staged = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                staged.write_bytes(content)
                try:
                    # A second name for the whole file: refused where that name is taken, unlike a rename.
                    os.link(staged, target)
                except FileExistsError:
                    return False
            return True
        finally:
            with contextlib.suppress(OSError):
                staged.unlink()

    def replace_if(self, name: str, content: bytes, *, tag: str) -> bool:
        """Write an object in place of the one that was read; return False where that is gone.

        Parameters
        ----------
        name : str
        content : bytes
        tag : str
            What `get_tagged` gave with it.
        """
        with self._alone(name):
            try:
                _, found = self.get_tagged(name)
            except MissingError:
                return False
            if found == tag:
                self.put(name, content)
            return found == tag

    def get(self, name: str) -> bytes:
        """Return an object; `MissingError` where there is none."""
        with self._reading(name):
            return self._path(name).read_bytes()

    def get_tagged(self, name: str) -> tuple[bytes, str]:
        """Return an object, and the digest of its content."""
        content = self.get(name)
        return content, hashlib.sha256(content).hexdigest()

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of an object from each first position to the one behind the last."""
        with self._reading(name), self._path(name).open("rb") as file:
            return [os.pread(file.fileno(), last - first, first) for first, last in ranges]

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects below a name, by their names; none where nothing is there."""
        root = self._path(prefix) if prefix else Path(self.uri)
        for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(self.uri).as_posix()):
            # What is under way, and locks, are no objects.
            if any(part.startswith(".") for part in path.relative_to(self.uri).parts):
                continue
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                if path.is_file():
                    name = path.relative_to(self.uri).as_posix()
                    yield Entry(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        for name in names:
            with writing(self._path(name)):
                self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return Path(self.uri, checked_name(name))

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Keep others who replace this object out; the system frees the lock however the process ends."""
        path = self._path(name)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingError("no such file", where=str(self._path(name))) from None
        except OSError as error:
            raise StorageError(f"cannot read: {error.strerror}", where=str(self._path(name))) from None
