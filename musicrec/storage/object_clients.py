"""Clients of buckets: made once for each, with limits of time and patience."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

CONNECT_S, REQUEST_S = 5, 60
# Not the number of tries ends a request, but the time.
RETRIES, FIRST_PAUSE_S, LONGEST_PAUSE_S = 10_000, 0.2, 5.0
_AZURE_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
# Where the client finds an endpoint by itself; an account of Azure's is one, too.
_ENDPOINTS = (
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "GOOGLE_BASE_URL",
    *_AZURE_ENDPOINTS,
    "AZURE_STORAGE_ACCOUNT_NAME",
)
# What begins the names of all variables that it looks at.
_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "OBJECT_STORE_")


def find_client(kind: str, bucket: str, options: tuple[tuple[str, str], ...], *, patience_s: int) -> Client:
    """Return the client of a bucket: one for all places in it, so that connections are used again.

    Parameters
    ----------
    kind : {"s3", "gcs", "azure"}
    bucket : str
    options : tuple of (str, str)
        Beside what the client finds by itself.
    patience_s : int
        How long a request is repeated that is not answered, in seconds.
    """
    return _make_client(kind, bucket, options, patience_s, _surroundings())


def find_endpoints(options: tuple[tuple[str, str], ...]) -> list[str]:
    """Return the servers that the client is told to ask; none where it asks the store's own."""
    told = [dict(options).get("aws_endpoint", ""), *(os.environ.get(name, "") for name in _ENDPOINTS)]
    return list(filter(None, told))


def _surroundings() -> int:
    """Return a number that is another one where the client would find other credentials."""
    return hash(tuple(item for item in sorted(os.environ.items()) if item[0].startswith(_VARIABLES)))


@lru_cache(16)
def _make_client(
    kind: str, bucket: str, options: tuple[tuple[str, str], ...], patience_s: int, _surroundings: int
) -> Client:
    from obstore import store

    retry: Any = {
        "max_retries": RETRIES,
        "retry_timeout": timedelta(seconds=patience_s),
        "backoff": {
            "base": 2,
            "init_backoff": timedelta(seconds=FIRST_PAUSE_S),
            "max_backoff": timedelta(seconds=LONGEST_PAUSE_S),
        },
    }
    given: Any = dict(options)
    # Whoever gives an endpoint without TLS wants it.
    http = {"allow_http": True} if any(each.startswith("http://") for each in find_endpoints(options)) else {}
    client: Any = {"connect_timeout": f"{CONNECT_S}s", "timeout": f"{REQUEST_S}s", **http}
    shared: Any = {"client_options": client, "retry_config": retry}
    if kind == "azure":
        container, _, host = bucket.partition("@")
        given |= _account_of(host)
        return store.AzureStore(container, config=given, **shared)
    make: Any = store.S3Store if kind == "s3" else store.GCSStore
    made: Client = make(bucket, config=given, **shared)
    return made


def _account_of(host: str) -> dict[str, str]:
    """Return what the client is told of Azure's account that a URI names; nothing where it names none."""
    account, _, domain = host.partition(".")
    if not account:
        return {}
    if not domain or any(os.environ.get(name) for name in _AZURE_ENDPOINTS):
        return {"account_name": account}
    # By an account's name alone the client finds those of one cloud only.
    return {"account_name": account, "endpoint": f"https://{host.replace('.dfs.', '.blob.', 1)}"}
