"""Buckets as a store: S3 and what speaks like it, Google's, Azure's.

The client is obstore, the binding of Rust's `object_store`. It finds credentials where each store's own tools do:
environment, web identity, roles of the machine. What a store answers is told in our words: its own may hold keys
and signed texts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from musicrec.errors import ConfigError, StorageError
from musicrec.storage.stores import Entry, MissingError, checked_name

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "az"}
CONNECT_S, REQUEST_S = 5, 60
# A store that is away for half a minute, as one that is started again, ends no night.
RETRIES, RETRY_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 12, 90, 0.2, 8.0
# Where the client finds an endpoint by itself.
_ENDPOINTS = (
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "GOOGLE_BASE_URL",
    "AZURE_STORAGE_ENDPOINT",
)
# Where the client asks last for credentials, at the machine itself: all others have given none.
_NO_CREDENTIALS = "169.254.169.254"
# What the client says where nobody answers.
_NO_ANSWER = re.compile(r"(?i)timed? ?out|error sending request|connection|dns error|operation timed")
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
    """

    kind: str
    bucket: str
    prefix: str
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def uri(self) -> str:
        """The place, without credentials."""
        return "/".join(filter(None, (f"{SCHEMES[self.kind]}://{self.bucket}", self.prefix)))

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in place of the one that is there."""
        self._write(name, content, mode="overwrite")

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
        return self._write(name, content, mode={"e_tag": tag})

    def get(self, name: str) -> bytes:
        """Return an object; `MissingError` where there is none."""
        return self.get_tagged(name)[0]

    def get_tagged(self, name: str) -> tuple[bytes, str]:
        """Return an object, and the store's tag of its content."""
        obstore = self._package
        try:
            found = obstore.get(self._client, checked_name(name))
            return bytes(found.bytes()), found.meta["e_tag"] or ""
        except _failures() as error:
            self._refuse(error, name)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of an object from each first position to the one behind the last."""
        obstore = self._package
        starts, ends = [first for first, _ in ranges], [last for _, last in ranges]
        try:
            return [
                bytes(each)
                for each in obstore.get_ranges(self._client, checked_name(name), starts=starts, ends=ends)
            ]
        except _failures() as error:
            self._refuse(error, name)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects below a name, by their names; none where nothing is there."""
        obstore = self._package
        try:
            found = [
                each
                for some in obstore.list(self._client, checked_name(prefix) if prefix else None)
                for each in some
            ]
        except _failures() as error:
            self._refuse(error, prefix)
        for each in sorted(found, key=lambda each: each["path"]):
            yield Entry(each["path"], each["size"], each["last_modified"])

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        obstore = self._package
        for name in names:
            try:
                obstore.delete(self._client, checked_name(name))
            except FileNotFoundError:
                continue
            except _failures() as error:
                self._refuse(error, name)

    def _write(self, name: str, content: bytes, *, mode: Any) -> bool:
        obstore = self._package
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            # In one request: parts of an upload that is cut would lie about for days.
            obstore.put(self._client, checked_name(name), content, mode=mode, use_multipart=False)
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

    @cached_property
    def _client(self) -> Client:
        from obstore import store

        retry: Any = {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_S),
            "backoff": {
                "base": 2,
                "init_backoff": timedelta(seconds=FIRST_PAUSE_S),
                "max_backoff": timedelta(seconds=LONGEST_PAUSE_S),
            },
        }
        given: Any = dict(self.options)
        endpoints = [given.get("aws_endpoint", ""), *(os.environ.get(name, "") for name in _ENDPOINTS)]
        # Whoever gives an endpoint without TLS wants it.
        http = {"allow_http": True} if any(each.startswith("http://") for each in endpoints) else {}
        client: Any = {"connect_timeout": f"{CONNECT_S}s", "timeout": f"{REQUEST_S}s", **http}
        shared: Any = {"prefix": self.prefix or None, "client_options": client, "retry_config": retry}
        if self.kind == "azure":
            container, _, account = self.bucket.partition("@")
            if account:
                given["account_name"] = account.partition(".")[0]
            return store.AzureStore(container, config=given, **shared)
        make: Any = store.S3Store if self.kind == "s3" else store.GCSStore
        made: Client = make(self.bucket, config=given, **shared)
        return made

    def __getstate__(self) -> dict[str, Any]:
        # A client is of its process.
        return {name: value for name, value in self.__dict__.items() if name != "_client"}

    def _no_bucket(self) -> StorageError:
        return StorageError(f"no such bucket: {self.bucket}", where=self.uri, todo="make it, or name another")

    def _refuse(self, error: Exception, name: str) -> NoReturn:
        """Raise what a failure is in our words."""
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        where = f"{self.uri}/{name}" if name else self.uri
        code = _code(str(error))
        if code == "NoSuchBucket":
            raise self._no_bucket() from None
        if isinstance(error, FileNotFoundError):
            raise MissingError("no such object", where=where) from None
        if isinstance(error, UnauthenticatedError | PermissionDeniedError):
            raise StorageError(
                f"the store refuses access{code and f': {code}'}", where=where, todo=CREDENTIALS
            ) from None
        if _NO_CREDENTIALS in str(error):
            raise StorageError("no credentials were found", where=where, todo=CREDENTIALS) from None
        if _NO_ANSWER.search(str(error)):
            raise StorageError(
                "the store gives no answer", where=where,
                todo="look at the network and at the endpoint, and run again",
            ) from None  # fmt: skip
        raise StorageError(f"the store fails{code and f': {code}'}", where=where, todo="run again") from None


def _code(said: str) -> str:
    """Return the code of a store's answer: all else of it may hold what was signed, and with what."""
    found = re.search(r"<Code>(\w{1,60})</Code>", said) or re.search(r"status code: (\d{3})", said)
    return found[1] if found else ""


def _failures() -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError

    return BaseError, OSError
