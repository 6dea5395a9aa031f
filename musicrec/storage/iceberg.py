"""The published tables in a catalog of Iceberg: its tables name the very files of the snapshot that is current.

The pointer says what is current; each table follows it in one commit of its own. The client is pyiceberg, which
finds catalogs, and the credentials for them and for the files, in `~/.pyiceberg.yaml` or `PYICEBERG_CATALOG__...`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from musicrec.errors import ConfigError, MusicrecError, StorageError
from musicrec.storage.datasets import RECOMMENDATIONS, STATUS, TABLES, Dataset
from musicrec.storage.iceberg_catalogs import Namespace, in_time
from musicrec.storage.lookup import columns_of
from musicrec.storage.pointer import read_pointer
from musicrec.storage.runs import POINTER, PUBLISHED, SNAPSHOTS, Root
from musicrec.storage.snapshots import Snapshot, load_snapshot, open_snapshot
from musicrec.storage.uris import connector_uri

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

_log = logging.getLogger("musicrec")
# The others are made when there is one to publish.
ALWAYS_PUBLISHED = (RECOMMENDATIONS, STATUS)
ASK_S, COMMIT_S = 30.0, 900.0
# Of commits that lose against another one.
N_TRIES = 10
# Of which run the rows of a table's snapshot are.
OF_RUN = "musicrec.run_id"


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
    if name:
        _refuse_place(root)
        _configured(name, lambda: _check(root, Namespace.open(name)))


def prepare_catalog(root: Root, name: str) -> None:
    """Check the catalog, and make the namespace and the tables that each run publishes, where they are not there.

    Parameters
    ----------
    root : Root
    name : str
        As `check_catalog` takes it.

    Raises
    ------
    ConfigError
        As there, or they cannot be made.
    """
    if name:
        _refuse_place(root)
        _configured(name, lambda: _prepare(root, Namespace.open(name)))


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
        The catalog or the files' store fails, or a table is not ours; each table names all files of one snapshot.
    """
    try:
        return in_time(name, lambda: _follow(root, Namespace.open(name)), COMMIT_S) if name else []
    except MusicrecError as error:
        raise StorageError(
            f"what is live is published, but tables of Iceberg are behind it: {error.what}", where=error.where,
            todo="`musicrec iceberg --root ROOT` brings them up to it, and so does the next run",
        ) from None  # fmt: skip


def catalog_of(root: Root) -> str:
    """Return the catalog of the run that is current; empty where it has none, or cannot be read."""
    try:
        found: Any = open_snapshot(root).manifest
    except StorageError:
        return ""
    for key in ("config", "output", "iceberg_catalog"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _refuse_place(root: Root) -> None:
    if any(letter in root.uri for letter in "#?%"):
        raise ConfigError("tables of Iceberg cannot name files whose place has a #, ? or %", where=root.uri)
    if connector_uri(root.uri).startswith("az://"):
        what = "tables of Iceberg name Azure's files with their account, which output.root does not"
        raise ConfigError(what, where=root.uri, todo="write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/...")


def _configured(name: str, work: Callable[[], None]) -> None:
    """Do what shows that the configuration is right, before a run."""
    try:
        in_time(name, work, ASK_S)
    except StorageError as error:
        raise ConfigError(error.what, where=error.where, todo=error.todo) from None


def _check(root: Root, place: Namespace) -> None:
    from pyiceberg.io import load_file_io

    for dataset in TABLES:
        place.own_table(dataset.name, root)
    # The catalog's client opens the files by its own means.
    pointer = _location(root, POINTER)
    load_file_io(place.catalog.properties, pointer).new_input(pointer).exists()


def _prepare(root: Root, place: Namespace) -> None:
    from pyspark.sql.pandas.types import to_arrow_schema

    _check(root, place)
    place.make()
    for dataset in ALWAYS_PUBLISHED:
        if place.own_table(dataset.name, root) is None:
            place.make_table(dataset.name, root, to_arrow_schema(dataset.schema))


def _follow(root: Root, place: Namespace) -> list[str]:
    read_pointer(root)
    place.make()
    changed = [dataset.name for dataset in TABLES if _follow_with(place, dataset, root)]
    for dataset in TABLES:
        _forget(place, dataset, root)
    return changed


def _follow_with(place: Namespace, dataset: Dataset, root: Root) -> bool:
    """Have a table name the files of what is current; return whether it named others."""
    from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError, ValidationException

    for _ in range(N_TRIES):
        # The table first: who makes another snapshot current meanwhile changes the table after it, and so one of
        # the two commits fails and looks again.
        table = place.own_table(dataset.name, root)
        pointer = read_pointer(root)
        try:
            return _name_files(place, table, dataset, load_snapshot(root, pointer), root)
        except (CommitFailedException, TableAlreadyExistsError, ValidationException):
            continue
        except (OSError, StorageError):
            # What is current no more may be deleted.
            if read_pointer(root) == pointer:
                raise
    raise StorageError(f"the table {dataset.name} is changed by others all the time", where=str(place.namespace))


def _name_files(place: Namespace, table: Table | None, dataset: Dataset, live: Snapshot, root: Root) -> bool:
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import parquet_files_to_data_files
    from pyiceberg.table import TableProperties

    names = live.names(dataset)
    if table is None and not names:
        return False
    columns = columns_of(live, names[0]) if names else None
    table = table or place.make_table(dataset.name, root, columns)
    # A file without rows tells readers nothing, and not all of them pass over it.
    n_rows = {file["path"]: file.get("rows", 1) for file in live.manifest["files"]}
    wanted = {_location(root, f"{PUBLISHED}/{SNAPSHOTS}/{live.run_id}/{name}") for name in names if n_rows[name]}
    named = _named_by(table)
    if {file.file_path for file in named} == wanted:
        return False
    with table.transaction() as change:
        if columns is not None:
            with change.update_schema() as update:
                update.union_by_name(columns)
        # Our files name columns, and know no numbers of theirs.
        names_of = change.table_metadata.schema().name_mapping.model_dump_json()
        change.set_properties({TableProperties.DEFAULT_NAME_MAPPING: names_of})
        added = parquet_files_to_data_files(table.io, change.table_metadata, iter(sorted(wanted)))
        with change.update_snapshot(snapshot_properties={OF_RUN: live.run_id}).overwrite() as snapshot:
            snapshot.delete_by_predicate(AlwaysTrue())
            for file in named:
                snapshot.delete_data_file(file)
            for file in added:
                snapshot.append_data_file(file)
    return True


def _named_by(table: Table) -> list[DataFile]:
    """Return all files of a table, also those that a plan of a scan leaves out."""
    current = table.current_snapshot()
    manifests = current.manifests(table.io) if current else []
    return [entry.data_file for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io)]


def _forget(place: Namespace, dataset: Dataset, root: Root) -> None:
    """Take out what a table remembers of snapshots that are deleted: their rows cannot be read any more."""
    try:
        table = place.own_table(dataset.name, root)
        if table is None:
            return
        kept, held = {*root.snapshots(), ""}, {ref.snapshot_id for ref in table.metadata.refs.values()}
        runs = {
            each.snapshot_id: each.summary.get(OF_RUN, "") for each in table.metadata.snapshots if each.summary
        }
        gone = [number for number, run_id in runs.items() if run_id not in kept and number not in held]
        if gone:
            table.maintenance.expire_snapshots().by_ids(gone).commit()
    except Exception as error:
        # Somebody else has done it, or the next one does: it harms nobody meanwhile.
        _log.info("the table %s still remembers what is deleted: %s", dataset.name, type(error).__name__)


def _location(root: Root, name: str) -> str:
    """Return where a file is, as engines that read Iceberg write it."""
    where = root.where(name)
    return connector_uri(where) if "://" in where else f"file://{where}"
