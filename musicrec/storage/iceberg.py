"""The published tables in a catalog of Iceberg: its tables name the very files of the snapshot that is current.

The pointer says what is current; each table follows it in one commit of its own. The client is pyiceberg, which
finds catalogs, and the credentials for them and for the files, in `~/.pyiceberg.yaml` or `PYICEBERG_CATALOG__...`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from musicrec.errors import ConfigError, MusicrecError, StorageError, shorten
from musicrec.shown import masked
from musicrec.storage.datasets import RECOMMENDATIONS, STATUS, USER_RECOMMENDATIONS
from musicrec.storage.pointer import read_pointer
from musicrec.storage.rows import columns_of
from musicrec.storage.runs import POINTER, PUBLISHED, Root
from musicrec.storage.snapshots import open_snapshot
from musicrec.storage.uris import connector_uri

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

Answer = TypeVar("Answer")
DATASETS = (RECOMMENDATIONS, USER_RECOMMENDATIONS, STATUS)
EXTRA = 'pip install "musicrec[iceberg]"'
# The client knows no limit of time for some catalogs.
ASK_S, COMMIT_S = 30.0, 900.0
# Of commits that lose against another one.
N_TRIES = 10
OF_ROOT, OF_RUN = "musicrec.root", "musicrec.run_id"
# The files are the output's own: an engine that expires snapshots must leave them. A commit that lost is made anew
# here, as what is current may have changed with it. Old metadata goes with the commits.
PROPERTIES = {
    "gc.enabled": "false", "commit.retry.num-retries": "0", "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}  # fmt: skip


def check_catalog(root: Root, name: str) -> None:
    """See, before anything is done, that the catalog answers, and that tables of our names are this output's.

    Parameters
    ----------
    root : Root
    name : str
        `CATALOG.NAMESPACE`; nothing is looked at where it is empty.

    Raises
    ------
    ConfigError
        The client is not installed, no such catalog is configured or it does not answer, a table of another
        origin has one of the names, or readers would not find the files.
    """
    if not name:
        return
    if any(letter in root.uri for letter in "#?%"):
        raise ConfigError("tables of Iceberg cannot name files whose place has a #, ? or %", where=root.uri)
    try:
        _in_time(name, lambda: _check(root, _Place.open(name)), ASK_S)
    except StorageError as error:
        raise ConfigError(error.what, where=error.where, todo=error.todo) from None


def follow(root: Root, name: str) -> list[str]:
    """Have the tables name the files of what is current; return the tables that were changed.

    Parameters
    ----------
    root : Root
    name : str
        `CATALOG.NAMESPACE`; nothing is done where it is empty.

    Raises
    ------
    StorageError
        The catalog or the files' store fails; each table names all files of one snapshot all the same.
    """
    try:
        return _in_time(name, lambda: _follow(root, _Place.open(name)), COMMIT_S) if name else []
    except StorageError as error:
        raise StorageError(
            f"what is live is published, but tables of Iceberg are behind it: {error.what}", where=error.where,
            todo="`musicrec iceberg --root ROOT` brings them up to it, and so does the next run",
        ) from None  # fmt: skip


def catalog_of(root: Root) -> str:
    """Return the catalog of the run that is current; empty where it has none, or cannot be read."""
    try:
        config = open_snapshot(root).manifest.get("config", {})
    except StorageError:
        return ""
    return str(config.get("output", {}).get("iceberg_catalog", ""))


@dataclass(frozen=True)
class _Place:
    """A namespace of a catalog."""

    catalog: Catalog
    namespace: tuple[str, ...]

    @classmethod
    def open(cls, name: str) -> _Place:
        try:
            from pyiceberg.catalog import load_catalog
        except ImportError:
            raise ConfigError("Iceberg needs a client that is not installed", where=name, todo=EXTRA) from None
        catalog, *namespace = name.split(".")
        if not all((catalog, *namespace, namespace)):
            raise ConfigError(f"no name of a catalog and a namespace: {name!r}", todo="write CATALOG.NAMESPACE")
        return cls(load_catalog(catalog), tuple(namespace))


def _in_time(name: str, work: Callable[[], Answer], seconds: float) -> Answer:
    """Return what a function returns; whatever fails in a client of many kinds is told in one sentence."""
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
    said = (
        shorten(f"{type(failed[0]).__name__}: {masked(str(failed[0]))}")
        if failed
        else f"no answer in {seconds:g} s"
    )
    raise StorageError(
        f"the catalog of Iceberg fails: {said}", where=name,
        todo="look at ~/.pyiceberg.yaml or PYICEBERG_CATALOG__..., and run again",
    )  # fmt: skip


def _check(root: Root, place: _Place) -> None:
    from pyiceberg.io import load_file_io

    for dataset in DATASETS:
        _own_table(place, dataset.name, root)
    # The catalog's client opens the files by its own means.
    pointer = _location(root, POINTER)
    load_file_io(place.catalog.properties, pointer).new_input(pointer).exists()


def _own_table(place: _Place, name: str, root: Root) -> Table | None:
    """Return a table, None where there is none yet; one that we have not made is refused: its rows would go."""
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    try:
        table = place.catalog.load_table((*place.namespace, name))
    except (NoSuchTableError, NoSuchNamespaceError):
        return None
    if table.properties.get(OF_ROOT) != root.uri:
        raise ConfigError(
            f"the table {name} is not one of this output: its property {OF_ROOT} is not {root.uri}",
            where=".".join((place.catalog.name, *place.namespace)),
            todo="name another namespace in output.iceberg_catalog",
        )  # fmt: skip
    return table


def _follow(root: Root, place: _Place) -> list[str]:
    place.catalog.create_namespace_if_not_exists(place.namespace)
    kept = {*root.snapshots()}
    changed = [dataset.name for dataset in DATASETS if _follow_with(place, dataset.name, root)]
    for dataset in DATASETS:
        if (table := _own_table(place, dataset.name, root)) is not None:
            _forget(table, kept)
    return changed


def _follow_with(place: _Place, name: str, root: Root) -> bool:
    """Have a table name the files of what is current; return whether it named others."""
    from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError

    for _ in range(N_TRIES):
        # The table first: who makes another snapshot current meanwhile changes the table after it, and so one of
        # the two commits fails and looks again.
        table = _own_table(place, name, root)
        pointer = read_pointer(root)
        names = [f"{PUBLISHED}/{each}" for each in pointer.get("files", {}).get(name, [])]
        try:
            if table is None:
                if not names:
                    return False
                table = place.catalog.create_table(
                    (*place.namespace, name), schema=columns_of(root.store, names[0]),
                    properties={**PROPERTIES, OF_ROOT: root.uri},
                )  # fmt: skip
            return _commit(table, root, names, run_id=pointer["run_id"])
        except (CommitFailedException, TableAlreadyExistsError):
            continue
    raise StorageError(f"the table {name} is changed by others all the time", where=".".join(place.namespace))


def _commit(table: Table, root: Root, names: list[str], *, run_id: str) -> bool:
    from pyiceberg.expressions import AlwaysTrue

    files = [_location(root, name) for name in names]
    named = {task.file.file_path for task in table.scan().plan_files()}
    if named == set(files):
        return False
    about = {OF_RUN: run_id}
    with table.transaction() as change:
        if files:
            with change.update_schema() as update:
                update.union_by_name(columns_of(root.store, names[0]))
        if named:
            change.delete(AlwaysTrue(), snapshot_properties=about)
        if files:
            # Whether the table has them was looked at above, by fewer reads.
            change.add_files(files, snapshot_properties=about, check_duplicate_files=False)
    return True


def _forget(table: Table, kept: set[str]) -> None:
    """Take out what the table remembers of snapshots that are deleted: their rows cannot be read any more."""
    from pyiceberg.exceptions import CommitFailedException

    current = table.current_snapshot()
    gone = [
        each.snapshot_id
        for each in table.metadata.snapshots
        if each != current and each.summary is not None and each.summary.get(OF_RUN, "") not in {*kept, ""}
    ]
    if gone:
        try:
            table.maintenance.expire_snapshots().by_ids(gone).commit()
        except CommitFailedException:
            # Whoever changed it meanwhile does this, too.
            return


def _location(root: Root, name: str) -> str:
    """Return where a file is, as engines that read Iceberg write it."""
    where = root.where(name)
    return connector_uri(where) if "://" in where else f"file://{where}"
