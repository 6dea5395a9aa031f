"""How places are written: paths, URIs of local files, URIs of stores."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote, urlsplit

# What Java leaves as it is in a path.
SAFE = "/:@&=+$,;!*'()~"
# Schemes of stores that we know, and the kind of each, which is the extra that brings its client.
KINDS = {
    "s3": "s3", "s3a": "s3", "gs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure", "hdfs": "hdfs",
}  # fmt: skip

# Of an account that is named alone.
AZURE_HOST = "dfs.core.windows.net"
# What some call them whom we do not ask to.
_OLD_NAMES = {"s3n": "s3", "wasb": "azure", "wasbs": "azure"}


def exists(path: str) -> bool:
    """Return whether something stands at a path."""
    return os.path.lexists(path)


def is_within(uri: str, place: str) -> bool:
    """Return whether a path or URI is below a directory or a place of a store, or is it."""
    path, directory = local_path(uri), local_path(place)
    if path is None or directory is None:
        if path is not None or directory is not None:
            return False
        (store, account, inner), (other, theirs, outer) = _parts(uri), _parts(place)
        # Where a URI does not name the account, the environment does, and it may be that one.
        is_same = store == other and (account == theirs or not (account and theirs))
        return is_same and f"{inner}/".startswith(f"{outer}/" if outer else "")
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return os.path.isdir(outer) and os.path.commonpath([inner, outer]) == outer


def _parts(uri: str) -> tuple[str, str, str]:
    """Return the store of a URI however its scheme is written, Azure's account where it is named, and the rest."""
    scheme, _, place = uri.partition("://")
    bucket, _, below = place.partition("/")
    # Of what Spark alone knows the scheme is the kind.
    kind = {**KINDS, **_OLD_NAMES}.get(scheme, scheme)
    bucket, _, account = bucket.partition("@") if kind == "azure" else (bucket, "", "")
    return f"{kind}://{bucket}", account.partition(".")[0], below.strip("/")


def local_path(uri: str) -> str | None:
    """Return the path of a local URI or of what is no URI, None where it is of another store."""
    parts = urlsplit(uri) if uri.startswith("file:") else None
    if parts is not None:
        return None if parts.netloc else unquote(parts.path)
    # hdfs:/songs is of a store, unless it is a path that exists.
    is_uri = "://" in uri or (re.match(r"[a-zA-Z][\w+.-]+:/", uri) and not exists(uri))
    return None if is_uri else uri


def file_uri(path: str) -> str:
    """Return the URI of a local file, as Spark says it."""
    return f"file://{quote(path, safe=SAFE)}"


def connector_uri(uri: str) -> str:
    """Return a place of a store as connectors of Hadoop's kind call it: Azure's, where the account is named."""
    named = re.sub(r"^az://([^/@]+@[^/.]+)(?=/|$)", rf"az://\1.{AZURE_HOST}", uri)
    return re.sub("^az://(?=[^/@]+@)", "abfss://", named)
