"""Where files are: one small interface over a local file system and object stores.

Objects have names below the store's place, with "/" between their parts. Each write is one step: a reader sees
the old object or the new one, never a part of one. Two promises let several writers agree without a lock, and a
store is asked for them before it is trusted (`promises.py`): `create` makes an object that is not there yet, and
`replace_if` replaces the one that was read, both for one of all who try at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from musicrec.errors import ConfigError, StorageError
from musicrec.storage.uris import KINDS, local_path

# What Hadoop's S3A is told in Spark's settings, and what the client calls it.
_S3A = "spark.hadoop.fs.s3a."
_S3_NAMES = {
    "endpoint": "aws_endpoint",
    "access.key": "aws_access_key_id",
    "secret.key": "aws_secret_access_key",
    "session.token": "aws_session_token",
    "endpoint.region": "aws_region",
}
S3_SETTINGS = tuple(f"{_S3A}{name}" for name in (*_S3_NAMES, "connection.ssl.enabled", "path.style.access"))

# Who types a command is told soon. A store that is away for a minute, as one that is started again, ends no night.
COMMAND_S, NIGHT_S = 15, 90

# Bytes of an object, wherever they lie: of an array no copy is made.
Part = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Entry:
    """An object: its name, its bytes, and when the store's own clock says that it was written."""

    name: str
    n_bytes: int
    written: datetime


class MissingError(StorageError):
    """No object of this name."""


class Store(Protocol):
    """A place for objects. It can be handed to a task.

    All that is asked of it raises `StorageError` where the store refuses, fails or gives no answer in time.
    """

    @property
    def uri(self) -> str:
        """The place, without credentials."""
        ...

    @property
    def server(self) -> str:
        """What tells stores of one URI apart, as servers of buckets; empty where the URI does."""
        ...

    def below(self, name: str) -> Store:
        """Return the store of what stands below a name."""
        ...

    def path(self, name: str = "") -> str | None:
        """Return where the file system has an object, or the whole store; None where no file system has it."""
        ...

    def put(self, name: str, *parts: Part) -> None:
        """Write an object, in place of the one that is there; its parts follow each other."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there yet; return whether this call did."""
        ...

    def replace_if(self, name: str, content: bytes, *, tag: str) -> bool:
        """Write an object in place of the one that was read; return False where that is gone.

        Parameters
        ----------
        name : str
        content : bytes
        tag : str
            What `get_tagged` gave with it.
        """
        ...

    def get(self, name: str) -> bytes:
        """Return an object; `MissingError` where there is none."""
        ...

    def get_tagged(self, name: str) -> tuple[bytes, str]:
        """Return an object, and a tag that another content does not have."""
        ...

    def stat(self, name: str) -> Entry:
        """Return what is known of an object; `MissingError` where there is none."""
        ...

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of an object from each first position to the one behind the last."""
        ...

    def entries(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects below a name, by their names; none where nothing is there.

        Parameters
        ----------
        prefix : str
        after : str
            Leave out what is not behind this name.
        """
        ...

    def children(self, prefix: str = "") -> list[str]:
        """Return the names directly below a name that others stand below, in order."""
        ...

    def delete_all(self, prefix: str) -> None:
        """Delete all objects below a name."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        ...


def checked_name(name: str) -> str:
    """Return the name of an object, or of a place where some are, that leads nowhere else.

    Raises
    ------
    StorageError
        It is empty, would lead out of the store, or be another one's name, too.
    """
    whole = name.strip("/")
    if not all(part and part not in (".", "..") for part in whole.split("/")):
        raise StorageError(f"no name of an object: {name!r}")
    return whole


def open_store(uri: str, *, hadoop: Mapping[str, str] | None = None, patience_s: int | None = None) -> Store:
    """Return the store at a URI or a path.

    Parameters
    ----------
    uri : str
        A path, `file:`, `s3://` (also `s3a://`), `gs://`, `az://`, `abfss://` or `hdfs://`. What stands before an
        "@" in a URI of S3 or GCS is refused: a place is no place for a secret.
    hadoop : mapping, optional
        Spark's settings, of which `spark.hadoop.fs.s3a.*` tell endpoint and keys.
    patience_s : int, optional
        How long a request is repeated that is not answered, in seconds; by default as people wait.

    Raises
    ------
    ConfigError
        No such kind of store, or its client is not installed.
    """
    path = local_path(uri)
    if path is not None:
        from musicrec.storage.local_store import LocalStore

        return LocalStore(str(Path(path).absolute()))
    scheme = urlsplit(uri).scheme
    if scheme not in KINDS:
        raise ConfigError(
            f"no store of kind {scheme}://",
            todo=f"give a directory, or one of {', '.join(f'{name}://' for name in KINDS)}",
        )  # fmt: skip
    if "://" not in uri:
        raise ConfigError(f"no URI of a store: {uri!r}", todo=f"write {scheme}://...")
    if scheme == "hdfs":
        from musicrec.storage.hdfs_store import HdfsStore

        host, _, below = uri.partition("://")[2].partition("/")
        return HdfsStore(f"hdfs://{host}", "/" + below.strip("/") if below.strip("/") else "")
    from musicrec.storage.object_store import ObjectStore

    options = _s3_options(hadoop or {}) if KINDS[scheme] == "s3" else ()
    return ObjectStore(*_place(uri, scheme), options, COMMAND_S if patience_s is None else patience_s)


def _place(uri: str, scheme: str) -> tuple[str, str, str]:
    """Return the kind of store, its bucket (or account and container), and the name below which all stands."""
    # As it is written: a "#" or "?" is a letter of a name.
    place = uri.partition("://")[2]
    bucket, _, below = place.partition("/")
    if not bucket:
        raise ConfigError("the URI names no bucket", where=f"{scheme}://", todo=f"write {scheme}://BUCKET/PREFIX")
    if "@" in bucket and KINDS[scheme] != "azure":
        raise ConfigError(
            "a URI must not hold credentials", where=f"{scheme}://...@{bucket.rpartition('@')[2]}",
            todo="put them where the store's own tools look for them",
        )  # fmt: skip
    return KINDS[scheme], unquote(bucket), below.strip("/")


def _s3_options(hadoop: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what the keys of Hadoop's S3A say, as the client names it."""
    found = {
        ours: hadoop[f"{_S3A}{theirs}"] for theirs, ours in _S3_NAMES.items() if hadoop.get(f"{_S3A}{theirs}")
    }
    endpoint = found.get("aws_endpoint", "")
    if endpoint and "://" not in endpoint:
        secure = hadoop.get(f"{_S3A}connection.ssl.enabled", "true") != "false"
        found["aws_endpoint"] = f"{'https' if secure else 'http'}://{endpoint}"
    if hadoop.get(f"{_S3A}path.style.access") == "false":
        found["aws_virtual_hosted_style_request"] = "true"
    return tuple(sorted(found.items()))
