"""How places are written: paths, URIs of local files, URIs of stores."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote, urlsplit

# What Java leaves as it is in a path.
SAFE = "/:@&=+$,;!*'()~"


def exists(path: str) -> bool:
    """Return whether something stands at a path."""
    return os.path.lexists(path)


def is_within(uri: str, place: str) -> bool:
    """Return whether a path or URI is below a directory or a place of a store, or is it."""
    path, directory = local_path(uri), local_path(place)
    if path is None or directory is None:
        inner, outer = (each.replace("s3a://", "s3://", 1).rstrip("/") + "/" for each in (uri, place))
        return inner.startswith(outer)
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return os.path.isdir(outer) and os.path.commonpath([inner, outer]) == outer


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
