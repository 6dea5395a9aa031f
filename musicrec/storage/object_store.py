"""Buckets as a store: S3 and what speaks like it, Google's, Azure's.

The client is obstore, the binding of Rust's `object_store`. It finds credentials where each store's own tools do:
environment, web identity, roles of the machine. What a store answers is told in our words: its own may hold keys
and signed texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from musicrec.errors import ConfigError, StorageError
from musicrec.storage.object_clients import find_client, find_endpoints
from musicrec.storage.stores import Entry, MissingError, Part, checked_name

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "az"}
# Where the client asks last for credentials, at the machine itself: all others have given none.
_NO_CREDENTIALS = "169.254.169.254"
# What the client says where nobody answers.
_NO_ANSWER = re.compile(r"(?i)\btimed? ?out|error sending request|connection|dns error|operation timed")
# Not every request of the client says by its error's class that it was refused.
_REFUSED, _ASKED_WRONGLY = re.compile(r"status code: 40[13]\b"), re.compile(r"status code: 4\d\d\b")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
CREDENTIALS = "give credentials where the store's own tools look for them, such as the environment"


@dataclass(frozen=True)
class ObjectStore:
    """What stands below `prefix` in a bucket.

    Attributes
    ----------
    kind : {"s3", "gcs", "azure"}
    bucket : str
    prefix : str
        Without a "/" at its ends; empty for the whole bucket.
    options : tuple of (str, str)
        Of the client, beside what it finds by itself; never shown.
    patience_s : int
        How long a request is repeated that is not answered, in seconds.
    """

    kind: str
    bucket: str
    prefix: str
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    patience_s: int = 90

    @property
    def uri(self) -> str:
        """The place, without credentials."""
        return "/".join(filter(None, (f"{SCHEMES[self.kind]}://{self.bucket}", self.prefix)))

    @property
    def server(self) -> str:
        """What tells stores of one URI apart: the endpoints, where the client is told any."""
        return " ".join(find_endpoints(self.options))

    def below(self, name: str) -> ObjectStore:
        """Return the store of what stands below a name."""
        return replace(self, prefix=self._key(name))

    def path(self, name: str = "") -> None:
        """Return None: no file system has the objects."""

    def put(self, name: str, *parts: Part) -> None:
        """Write an object, in place of the one that is there; its parts follow each other."""
        self._write(name, b"".join(parts) if len(parts) > 1 else memoryview(parts[0]).cast("B"), mode="overwrite")

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there yet; return whether this call did."""
        return self._write(name, content, mode="create")

    def replace_if(self, name: str, content: bytes, *, tag: str) -> bool:
        """Write an object in place of the one that was read; return False where that is gone.

        Parameters
        ----------
        name : str
        content : bytes
        tag : str
            What `get_tagged` gave with it.
        """
        return self._write(name, content, mode={"version" if self.kind == "gcs" else "e_tag": tag})

    def get(self, name: str) -> bytes:
        """Return an object; `MissingError` where there is none."""
        return self.get_tagged(name)[0]

    def get_tagged(self, name: str) -> tuple[bytes, str]:
        """Return an object, and the store's tag of its content."""
        obstore = self._package
        try:
            found = obstore.get(self._client, self._key(name))
            tag = found.meta["version"] if self.kind == "gcs" else found.meta["e_tag"]
            return bytes(found.bytes()), tag or ""
        except _failures() as error:
            self._refuse(error, name)

    def stat(self, name: str) -> Entry:
        """Return what is known of an object; `MissingError` where there is none."""
        try:
            found = self._package.head(self._client, self._key(name))
        except _failures() as error:
            self._refuse(error, name)
        return Entry(name, found["size"], found["last_modified"])

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of an object from each first position to the one behind the last."""
        obstore = self._package
        starts, ends = [first for first, _ in ranges], [last for _, last in ranges]
        try:
            return [
                bytes(each) for each in obstore.get_ranges(self._client, self._key(name), starts=starts, ends=ends)
            ]
        except _failures() as error:
            self._refuse(error, name)

    def entries(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects below a name, by their names; none where nothing is there.

        Parameters
        ----------
        prefix : str
        after : str
            Leave out what is not behind this name.
        """
        obstore, start = self._package, len(self._key("x")) - 1
        behind = self._key(after) if after else ""
        # Of Azure's servers some do not know where a list begins: they tell all, or nothing.
        offset = None if self.kind == "azure" else behind or None
        try:
            asked = obstore.list(self._client, self._place(prefix), offset=offset)
            found = [each for some in asked for each in some if each["path"] > behind]
        except _failures() as error:
            self._refuse(error, prefix)
        for each in sorted(found, key=lambda each: each["path"]):
            yield Entry(each["path"][start:], each["size"], each["last_modified"])

    def children(self, prefix: str = "") -> list[str]:
        """Return the names directly below a name that others stand below, in order."""
        try:
            found = self._package.list_with_delimiter(self._client, self._place(prefix))
        except _failures() as error:
            self._refuse(error, prefix)
        names = sorted(each.rstrip("/").rpartition("/")[2] for each in found["common_prefixes"])
        # Some servers go on to tell places for a while when all that stood there is deleted.
        return [name for name in names if self._has_any("/".join(filter(None, (prefix, name))))]

    def _has_any(self, prefix: str) -> bool:
        try:
            return any(some for some in self._package.list(self._client, self._place(prefix)))
        except _failures() as error:
            self._refuse(error, prefix)

    def delete_all(self, prefix: str) -> None:
        """Delete all objects below a name."""
        self.delete([entry.name for entry in self.entries(prefix)])

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        keys = [self._key(name) for name in names]
        try:
            if keys:
                self._package.delete(self._client, keys)
        except FileNotFoundError:
            # Some stores say so, and may have left the others.
            self._delete_each(keys)
        except _failures() as error:
            self._refuse(error, "")

    def _delete_each(self, keys: Iterable[str]) -> None:
        for key in keys:
            try:
                self._package.delete(self._client, key)
            except FileNotFoundError:
                continue
            except _failures() as error:
                self._refuse(error, "")

    def _key(self, name: str) -> str:
        """Return what an object is called in its bucket."""
        return "/".join(filter(None, (self.prefix, checked_name(name))))

    def _place(self, prefix: str) -> str | None:
        return self._key(prefix) if prefix else self.prefix or None

    def _write(self, name: str, content: Part, *, mode: Any) -> bool:
        obstore = self._package
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            # In one request: parts of an upload that is cut would lie about for days.
            obstore.put(self._client, self._key(name), content, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return False
        except FileNotFoundError:
            if isinstance(mode, dict):
                return False
            raise self._no_bucket() from None
        except _failures() as error:
            self._refuse(error, name)
        return True

    @property
    def _package(self) -> ModuleType:
        try:
            import obstore
        except ImportError:
            raise ConfigError(
                f"{SCHEMES[self.kind]}:// needs a client that is not installed", where=self.uri,
                todo=f'pip install "musicrec[{self.kind}]"',
            ) from None  # fmt: skip
        return obstore

    @property
    def _client(self) -> Client:
        try:
            return find_client(self.kind, self.bucket, self.options, patience_s=self.patience_s)
        except _failures() as error:
            # What is wrong has a name; the text around it may hold a value.
            found = re.search(r"source: ([A-Z]\w+)", str(error))
            told = f"the store's client finds wrong settings, or too few{f': {found[1]}' if found else ''}"
            raise ConfigError(told, where=self.uri, todo=CREDENTIALS) from None

    def _no_bucket(self) -> StorageError:
        what = "container" if self.kind == "azure" else "bucket"
        return StorageError(f"no such {what}: {self.bucket}", where=self.uri, todo="make it, or name another")

    def _refuse(self, error: Exception, name: str) -> NoReturn:
        """Raise what a failure is in our words."""
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        where = f"{self.uri}/{name}" if name else self.uri
        said = str(error)
        code = _code(said)
        if code in _NO_BUCKET:
            raise self._no_bucket() from None
        if isinstance(error, FileNotFoundError):
            raise MissingError("no such object", where=where) from None
        if _NO_CREDENTIALS in said:
            raise StorageError("no credentials were found", where=where, todo=CREDENTIALS) from None
        if isinstance(error, UnauthenticatedError | PermissionDeniedError) or _REFUSED.search(said):
            raise StorageError(
                f"the store refuses access{code and f': {code}'}", where=where, todo=CREDENTIALS
            ) from None
        if not code and _NO_ANSWER.search(said):
            raise StorageError(
                "the store gives no answer", where=where,
                todo="look at the network and at the endpoint, and run again",
            ) from None  # fmt: skip
        todo = "look at the URI and at the endpoint" if _ASKED_WRONGLY.search(said) else "run again"
        raise StorageError(f"the store fails{code and f': {code}'}", where=where, todo=todo) from None


def _code(said: str) -> str:
    """Return the code of a store's answer: all else of it may hold what was signed, and with what."""
    found = re.search(r"<Code>(\w{1,60})</Code>", said) or re.search(r"status code: (\d{3})", said)
    return found[1] if found else ""


def _failures() -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError

    return BaseError, OSError
