"""Catalogs of Iceberg, by pyiceberg: tables of ours in a namespace, and what fails told in one sentence."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from musicrec.errors import ConfigError, MusicrecError, StorageError, shorten
from musicrec.shown import SECRET, is_secret, masked
from musicrec.storage.runs import Root
from musicrec.storage.uris import is_within

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

Answer = TypeVar("Answer")
EXTRA = 'pip install "musicrec[iceberg]"'
# Whose a table is.
OF_ROOT = "musicrec.root"
# The files are the output's own: an engine that expires snapshots must leave them. A commit that lost is made anew
# here, as what is current may have changed with it. Old metadata goes with the commits.
PROPERTIES = {
    "gc.enabled": "false", "commit.retry.num-retries": "0", "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}  # fmt: skip


@dataclass(frozen=True)
class Namespace:
    """A namespace of a catalog."""

    catalog: Catalog
    namespace: tuple[str, ...]

    @classmethod
    def open(cls, name: str) -> Namespace:
        """Return what `CATALOG.NAMESPACE` names."""
        try:
            from pyiceberg.catalog import load_catalog
        except ImportError:
            raise ConfigError("Iceberg needs a client that is not installed", where=name, todo=EXTRA) from None
        catalog, *namespace = name.split(".")
        if not all((catalog, *namespace, namespace)):
            raise ConfigError(f"no name of a catalog and a namespace: {name!r}", todo="write CATALOG.NAMESPACE")
        return cls(load_catalog(catalog), tuple(namespace))

    def make(self) -> None:
        """Make the namespace; who may not make one may still have one."""
        if not self.catalog.namespace_exists(self.namespace):
            self.catalog.create_namespace_if_not_exists(self.namespace)

    def own_table(self, name: str, root: Root) -> Table | None:
        """Return a table, None where there is none yet.

        Raises
        ------
        ConfigError
            We have not made it: its rows would go.
        """
        from pyiceberg.exceptions import NoSuchIcebergTableError, NoSuchNamespaceError, NoSuchTableError

        where = ".".join((self.catalog.name, *self.namespace, name))
        try:
            table = self.catalog.load_table((*self.namespace, name))
        except NoSuchIcebergTableError:
            todo = "name another namespace in output.iceberg_catalog"
            raise ConfigError(f"the table {name} is none of Iceberg", where=where, todo=todo) from None
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        theirs = table.properties.get(OF_ROOT, "")
        # One place may have several names.
        if theirs != root.uri and not (theirs and is_within(theirs, root.uri) and is_within(root.uri, theirs)):
            raise ConfigError(
                f"the table {name} is not one of this output: its property {OF_ROOT} is {theirs or 'not set'}, "
                f"and not {root.uri}", where=where,
                todo=f"name another namespace; of an output that was moved, set {OF_ROOT} anew",
            )  # fmt: skip
        return table

    def make_table(self, name: str, root: Root, columns: pa.Schema) -> Table:
        """Make a table of this output's.

        Parameters
        ----------
        name : str
        root : Root
        columns : pyarrow.Schema
        """
        properties = {**PROPERTIES, OF_ROOT: root.uri}
        return self.catalog.create_table((*self.namespace, name), schema=columns, properties=properties)


def in_time(name: str, work: Callable[[], Answer], seconds: float) -> Answer:
    """Return what a function returns; whatever fails in a client of many kinds is told in one sentence.

    Parameters
    ----------
    name : str
        `CATALOG.NAMESPACE`.
    work : callable
    seconds : float
        So long it is waited for; the client knows no limit of time for some catalogs.

    Raises
    ------
    StorageError
        It has failed, or there is no answer in time.
    """
    done: list[Answer] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    running = threading.Thread(target=run, daemon=True, name="iceberg")
    running.start()
    running.join(seconds)
    if done:
        return done[0]
    if failed and isinstance(failed[0], MusicrecError):
        raise failed[0]
    said = f"{type(failed[0]).__name__}: {_harmless(name, failed[0])}" if failed else f"no answer in {seconds:g} s"
    raise StorageError(
        f"the catalog of Iceberg fails: {shorten(said)}", where=name,
        todo="look at ~/.pyiceberg.yaml or PYICEBERG_CATALOG__..., and run again",
    )  # fmt: skip


def _harmless(name: str, error: BaseException) -> str:
    """Return what a failure says without the secrets of the catalog's configuration, however it quotes them."""
    from pyiceberg.utils.config import Config

    said = str(error)
    for key, value in (Config().get_catalog_config(name.partition(".")[0]) or {}).items():
        text = str(value).strip()
        user = text.rpartition("@")[0]
        for secret in (text if is_secret(key) else "", user.rpartition("://")[2], user):
            said = said.replace(secret, SECRET) if secret else said
    return masked(said)
