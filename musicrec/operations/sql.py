"""Statements that make the current snapshot's tables known to an engine: DuckDB, Spark, Trino, Athena."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from musicrec.storage.datasets import TABLES
from musicrec.storage.lookup import columns_of
from musicrec.storage.runs import Root
from musicrec.storage.snapshots import Snapshot, open_snapshot
from musicrec.storage.uris import connector_uri

TRINO = {"string": "varchar", "int32": "integer", "int64": "bigint", "float": "real", "double": "double"}
HIVE = {"string": "string", "int32": "int", "int64": "bigint", "float": "float", "double": "double"}
# A place of Azure's that names the account: container, account's host.
_OF_AN_ACCOUNT = re.compile("^az://([^/@]+)@([^/]+)/")


def statements(root: Root, *, dialect: str) -> Iterator[str]:
    """Yield a statement for each table of the current snapshot; the next night makes others.

    Parameters
    ----------
    root : Root
    dialect : {"duckdb", "spark", "trino", "athena"}

    Raises
    ------
    StorageError
        Nothing is published, or it cannot be read.
    """
    snapshot = open_snapshot(root)
    yield f"-- run {snapshot.run_id}: these statements name its files; print them anew after each night"
    for dataset in TABLES:
        if names := snapshot.names(dataset):
            yield _WRITERS[dialect](dataset.name, snapshot, names)


def _duckdb(table: str, snapshot: Snapshot, names: Sequence[str]) -> str:
    # It knows the account before the container.
    places = [_OF_AN_ACCOUNT.sub(r"abfss://\2/\1/", snapshot.where(name)) for name in names]
    files = ",\n    ".join(map(_quoted, places))
    # It is shown, and not run.
    return f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet([\n    {files}\n]);"  # noqa: S608


def _spark(table: str, snapshot: Snapshot, _: Sequence[str]) -> str:
    # As Spark's own connector is called.
    place = re.sub("^s3://", "s3a://", _place(table, snapshot))
    return f"CREATE OR REPLACE TEMPORARY VIEW {table} USING parquet OPTIONS (path {_quoted(place, escape=True)});"


def _trino(table: str, snapshot: Snapshot, names: Sequence[str]) -> str:
    columns = _columns(snapshot, names[0], TRINO)
    where = f"external_location = {_quoted(_place(table, snapshot))}, format = 'PARQUET'"
    return f"DROP TABLE IF EXISTS {table};\nCREATE TABLE {table} (\n    {columns}\n) WITH ({where});"


def _athena(table: str, snapshot: Snapshot, names: Sequence[str]) -> str:
    columns = _columns(snapshot, names[0], HIVE, quote="`")
    where = _quoted(_place(table, snapshot), escape=True)
    return (
        f"DROP TABLE IF EXISTS `{table}`;\n"
        f"CREATE EXTERNAL TABLE `{table}` (\n    {columns}\n) STORED AS PARQUET LOCATION {where};"
    )


_WRITERS: dict[str, Callable[[str, Snapshot, Sequence[str]], str]] = {
    "duckdb": _duckdb,
    "spark": _spark,
    "trino": _trino,
    "athena": _athena,
}


def _place(table: str, snapshot: Snapshot) -> str:
    return connector_uri(f"{snapshot.store.uri}/{table}/")


def _quoted(text: str, *, escape: bool = False) -> str:
    """Return a text of SQL; Hive and Spark know escapes by a backslash, the others only the quote itself."""
    if escape:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "'" + text.replace("'", "''") + "'"


def _columns(snapshot: Snapshot, name: str, types: dict[str, str], *, quote: str = '"') -> str:
    schema = columns_of(snapshot, name)
    return ",\n    ".join(f"{quote}{field.name}{quote} {types[str(field.type)]}" for field in schema)
