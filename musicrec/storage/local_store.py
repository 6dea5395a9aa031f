"""A directory as a store: objects are files, each written under another name and renamed when it is whole."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from musicrec.errors import StorageError
from musicrec.storage.files import drop, sync, write_bytes, write_joined, writing
from musicrec.storage.stores import Entry, MissingError, Part, checked_name

# What a file system says that has no second names for files.
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True)
class LocalStore:
    """The directory `uri`, an absolute path; it is made with the first object."""

    uri: str

    @property
    def server(self) -> str:
        """Nothing: the URI tells them apart."""
        return ""

    def below(self, name: str) -> LocalStore:
        """Return the store of what stands below a name."""
        return LocalStore(str(self._path(name)))

    def path(self, name: str = "") -> str:
        """Return where an object is, or the whole store."""
        return str(self._path(name)) if name else self.uri

    def put(self, name: str, *parts: Part) -> None:
        """Write an object, in place of the one that is there; its parts follow each other."""
        write_joined(self._path(name), parts)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there yet; return whether this call did. It is on the disk then."""
        target = self._path(name)
        staged = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                staged.write_bytes(content)
                sync(staged)
                is_new = self._link(staged, target)
                sync(target.parent)
            return is_new
        finally:
            with contextlib.suppress(OSError):
                staged.unlink()

    def _link(self, staged: Path, target: Path) -> bool:
        """Give a file a second name; return False where that name is taken, which a rename would replace."""
        try:
            os.link(staged, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            with self._alone(target.relative_to(self.uri).as_posix()):
                if target.exists():
                    return False
                os.replace(staged, target)
        return True

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
                write_bytes(self._path(name), content, durable=True)
            return found == tag

    def get(self, name: str) -> bytes:
        """Return an object; `MissingError` where there is none."""
        with self._reading(name):
            return self._path(name).read_bytes()

    def get_tagged(self, name: str) -> tuple[bytes, str]:
        """Return an object, and the digest of its content."""
        content = self.get(name)
        return content, hashlib.sha256(content).hexdigest()

    def stat(self, name: str) -> Entry:
        """Return what is known of an object; `MissingError` where there is none."""
        with self._reading(name):
            path = self._path(name)
            found = path.stat()
            if not path.is_file():
                raise MissingError("no such file", where=str(path))
            return _entry(name, found)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of an object from each first position to the one behind the last."""
        with self._reading(name), self._path(name).open("rb") as file:
            return [os.pread(file.fileno(), last - first, first) for first, last in ranges]

    def entries(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects below a name, by their names; none where nothing is there.

        Parameters
        ----------
        prefix : str
        after : str
            Leave out what is not behind this name.
        """
        root = Path(self.path(prefix))
        for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(self.uri).as_posix()):
            # What is under way, and locks, are no objects.
            if any(part.startswith(".") for part in path.relative_to(self.uri).parts):
                continue
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                name = path.relative_to(self.uri).as_posix()
                if path.is_file() and name > after:
                    yield _entry(name, found)

    def children(self, prefix: str = "") -> list[str]:
        """Return the names directly below a name that others stand below, in order."""
        root = Path(self.path(prefix))
        found = root.iterdir() if root.is_dir() else ()
        return sorted(path.name for path in found if path.is_dir() and not path.name.startswith("."))

    def delete_all(self, prefix: str) -> None:
        """Delete all objects below a name; what cannot be deleted stays."""
        drop(self._path(prefix))

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


def _entry(name: str, found: os.stat_result) -> Entry:
    return Entry(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))
