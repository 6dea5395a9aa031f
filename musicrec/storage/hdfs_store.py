"""HDFS as a store: objects are files, each written under another name and renamed when it is whole.

The client is hdfs-native, which speaks to NameNode and DataNodes itself: no Java, no libhdfs. It reads
`core-site.xml` and `hdfs-site.xml` of HADOOP_CONF_DIR for nameservices, and takes Kerberos' ticket from its cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from musicrec.errors import ConfigError, StorageError
from musicrec.storage.stores import Entry, MissingError, Part, checked_name

if TYPE_CHECKING:
    from hdfs_native import Client, FileStatus

SCHEME = "hdfs"
# A swap takes milliseconds. Who has begun one and did not end it for so long is gone.
STALE_S, GIVE_UP_S, PAUSE_S, LOOK_TRIES = 30.0, 90.0, 0.05, 100
_REFUSED = re.compile(r"(?i)AccessControl|Permission denied|Kerberos|SASL|token")
_NO_ANSWER = re.compile(r"(?i)connect|timed? ?out|refused|unreachable|no such host|lookup")


@dataclass(frozen=True)
class HdfsStore:
    """What stands below the directory `root` of a file system.

    Attributes
    ----------
    service : str
        `hdfs://HOST:PORT`, or that of a nameservice.
    root : str
        From the first "/" on, without one at its end.
    """

    service: str
    root: str

    @property
    def uri(self) -> str:
        """The place."""
        return f"{self.service}{self.root}"

    @property
    def server(self) -> str:
        """Nothing: the URI tells them apart."""
        return ""

    def below(self, name: str) -> HdfsStore:
        """Return the store of what stands below a name."""
        return HdfsStore(self.service, self._path(name))

    def path(self, name: str = "") -> None:
        """Return None: the machine's own file system has no object."""

    def put(self, name: str, *parts: Part) -> None:
        """Write an object, in place of the one that is there; its parts follow each other."""
        with self._asking(name):
            self._rename(self._staged(name, *parts), self._path(name), overwrite=True)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there yet; return whether this call did."""
        with self._asking(name):
            return self._rename(self._staged(name, content), self._path(name), overwrite=False)

    def replace_if(self, name: str, content: bytes, *, tag: str) -> bool:
        """Write an object in place of the one that was read; return False where that is gone.

        Parameters
        ----------
        name : str
        content : bytes
        tag : str
            What `get_tagged` gave with it.
        """
        with self._asking(name):
            staged = self._staged(name, content)
            try:
                with self._alone(name, staged):
                    try:
                        _, found = self.get_tagged(name)
                    except MissingError:
                        return False
                    return found == tag and self._rename(staged, self._path(name), overwrite=True)
            finally:
                with contextlib.suppress(OSError):
                    self._client.delete(staged)

    def get(self, name: str) -> bytes:
        """Return an object; `MissingError` where there is none."""
        with self._asking(name), self._client.read(self._path(name)) as file:
            return bytes(file.read())

    def get_tagged(self, name: str) -> tuple[bytes, str]:
        """Return an object, and the digest of its content."""
        content = self.get(name)
        return content, hashlib.sha256(content).hexdigest()

    def stat(self, name: str) -> Entry:
        """Return what is known of an object; `MissingError` where there is none."""
        with self._asking(name):
            found = self._client.get_file_info(self._path(name))
            if found.isdir:
                raise MissingError("no such file", where=f"{self.uri}/{name}")
            return _entry(name, found)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of an object from each first position to the one behind the last."""
        with self._asking(name), self._client.read(self._path(name)) as file:
            return [bytes(file.read_range(first, last - first)) for first, last in ranges]

    def entries(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects below a name, by their names; none where nothing is there.

        Parameters
        ----------
        prefix : str
        after : str
            Leave out what is not behind this name.
        """
        start, found = len(self.root) + 1, list[Entry]()
        for status in self._listed(prefix, recursive=True):
            name = status.path[start:]
            # What is under way, and locks, are no objects.
            if not status.isdir and not any(part.startswith(".") for part in name.split("/")):
                found.append(_entry(name, status))
        yield from sorted((entry for entry in found if entry.name > after), key=lambda entry: entry.name)

    def children(self, prefix: str = "") -> list[str]:
        """Return the names directly below a name that others stand below, in order."""
        names = [each.path.rpartition("/")[2] for each in self._listed(prefix, recursive=False) if each.isdir]
        return sorted(name for name in names if not name.startswith("."))

    def delete_all(self, prefix: str) -> None:
        """Delete all objects below a name."""
        self.delete([prefix])

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        for name in names:
            with self._asking(name), contextlib.suppress(FileNotFoundError):
                self._client.delete(self._path(name), recursive=True)

    def _path(self, name: str) -> str:
        return f"{self.root}/{checked_name(name)}"

    def _listed(self, prefix: str, *, recursive: bool) -> list[FileStatus]:
        try:
            with self._asking(prefix or "."):
                return list(
                    self._client.list_status(self._path(prefix) if prefix else self.root or "/", recursive)
                )
        except MissingError:
            return []

    def _staged(self, name: str, *parts: Part) -> str:
        """Write an object under another name beside its place, and return that."""
        from hdfs_native import WriteOptions

        directory, _, last = self._path(name).rpartition("/")
        staged = f"{directory}/.{last}.{uuid.uuid4().hex}"
        with self._client.create(staged, WriteOptions(create_parent=True)) as file:
            for part in parts:
                file.write(memoryview(part).cast("B"))
        return staged

    def _rename(self, source: str, target: str, *, overwrite: bool) -> bool:
        """Give a file its name; return False where that is taken and stays."""
        try:
            self._client.rename(source, target, overwrite)
        except FileExistsError:
            if overwrite:
                raise
            return False
        finally:
            # Gone where it has its name now.
            with contextlib.suppress(OSError):
                self._client.delete(source)
        return True

    @contextlib.contextmanager
    def _alone(self, name: str, staged: str) -> Iterator[None]:
        """Keep others who replace this object out: HDFS makes a file for one of all who try."""
        from hdfs_native import WriteOptions

        directory, _, last = self._path(name).rpartition("/")
        lock, begun, n_tries = f"{directory}/.{last}.lock", time.monotonic(), 0
        while True:
            try:
                self._client.create(lock, WriteOptions(overwrite=False, create_parent=True)).close()
                break
            except FileExistsError:
                if time.monotonic() - begun > GIVE_UP_S:
                    raise
            n_tries += 1
            if n_tries % LOOK_TRIES == 0:
                self._drop_stale(lock, staged)
            time.sleep(PAUSE_S)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._client.delete(lock)

    def _drop_stale(self, lock: str, staged: str) -> None:
        """Delete a lock whose holder is gone, by the NameNode's own clock; of all who try, one renames it away."""
        gone = f"{lock}.{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            if self._now(staged) - self._client.get_file_info(lock).modification_time > STALE_S * 1000:
                self._client.rename(lock, gone)
                self._client.delete(gone)

    def _now(self, beside: str) -> int:
        """Return the NameNode's time in milliseconds: that of a file that is made this moment."""
        probe = f"{beside}.now"
        self._client.create(probe).close()
        found: int = self._client.get_file_info(probe).modification_time
        self._client.delete(probe)
        return found

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._refuse(error, name)
        except (RuntimeError, ValueError) as error:
            # What the client says of a protocol's or a configuration's fault.
            self._refuse(OSError(str(error)), name)

    def _refuse(self, error: OSError, name: str) -> NoReturn:
        # Java's trace follows.
        where, said = f"{self.uri}/{name}", (str(error).splitlines() or [""])[0]
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise MissingError("no such file", where=where) from None
        if isinstance(error, PermissionError) or _REFUSED.search(said):
            todo = "give the user that runs the job access there, or renew its Kerberos ticket"
            raise StorageError("HDFS refuses access", where=where, todo=todo) from None
        if _NO_ANSWER.search(said):
            todo = "look at the NameNode and at the network, and run again"
            raise StorageError("HDFS gives no answer", where=where, todo=todo) from None
        raise StorageError(f"HDFS fails: {said}", where=where, todo="run again") from None

    @property
    def _client(self) -> Client:
        return _find_client(self.service)


@lru_cache(8)
def _find_client(service: str) -> Client:
    try:
        from hdfs_native import Client
    except ImportError:
        raise ConfigError(
            "hdfs:// needs a client that is not installed", where=service, todo='pip install "musicrec[hdfs]"'
        ) from None
    # Without a host the file system that Hadoop has by default.
    return Client(service) if service != f"{SCHEME}://" else Client()


def _entry(name: str, found: FileStatus) -> Entry:
    return Entry(name, found.length, datetime.fromtimestamp(found.modification_time / 1000, UTC))
