"""The neighbor join as a product of its own: Parquet of ids and vectors in, Parquet of neighbors out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec import schemas
from musicrec.catalog import formats
from musicrec.config import Config, config_as_dict
from musicrec.context import Context, log
from musicrec.errors import InputError, StorageError
from musicrec.lists import rank
from musicrec.lists.members import Joined, as_joined
from musicrec.neighbors import pack
from musicrec.neighbors.cells import Cells, has_repeated_keys, make_cells
from musicrec.neighbors.join import join_cells
from musicrec.neighbors.join_tasks import Found
from musicrec.neighbors.pack import PackedSongs, pack_vectors
from musicrec.neighbors.search.spaces import Metric, Space
from musicrec.neighbors.search.warm import warm_up
from musicrec.spark import failures
from musicrec.spark.arrow import numbers
from musicrec.spark.start import warm_workers
from musicrec.storage import plain, publish, runs, tables
from musicrec.storage.rows import RowFiles
from musicrec.storage.runs import Root
from musicrec.vectors import ids
from musicrec.vectors.shared_items import Shared, expand, make_shared

# Songs that share their vector with others: 24 bytes each, for every task.
MAX_SHARED = 5_000_000
NEIGHBORS, REPORT, REPLACED = "neighbors", "report.json", "replaced"
FLOATS = ("array<float>", "array<double>")


@dataclass(frozen=True)
class VectorsInput:
    """Where the vectors are, and what near means."""

    uri: str
    id_column: str
    vector_column: str
    metric: Metric


def join_vectors(session: SparkSession, config: Config, source: VectorsInput, *, overwrite: bool) -> Path:
    """Write the k nearest neighbors of each vector and a report; return the output directory.

    Raises
    ------
    MusicrecError
        One of its kinds; what stood in the output before is then still there.
    """
    root = runs.open_root(config.output.root)
    target = root.path / NEIGHBORS
    with runs.locked(root, with_snapshots=False):
        with runs.writing(target):
            _put_back(root, target)
        if target.exists() and not overwrite:
            raise StorageError("the output exists", where=str(target), todo="choose another, or give --overwrite")
        context = Context(
            session, _each_by_itself(config), runs.start_run(root, run_date=datetime.now(UTC).date())
        )
        with context.stage("start"):
            warm_workers(session, warm_up)
        started = time.monotonic()
        with context.stage("read"):
            rows, n_rows = _read(session, source)
            embeddings = ids.as_embeddings(rows)
            pieces, space = _pack(context, rows, embeddings, source, n_rows=n_rows)
        cells = make_cells(context, pieces, space=space)
        if has_repeated_keys(cells):
            _refuse_repeated_ids(rows, source)
        shared = _shared(cells)
        if ids.has_whole_ids(rows) and shared is not None:
            # A key is an id: tasks write what is published.
            join_cells(context, cells, write=_row_writer(RowFiles(_staged(context)), shared, config.neighbors.k))
        else:
            joined = as_joined(context, embeddings, cells)
            with context.stage("write"):
                _write(context, rows, joined)
        report = {
            "vectors": plain.without_secrets(source.uri),
            "metric": source.metric,
            **context.record["vectors"],
            **context.record["neighbors"],
            "seconds": round(time.monotonic() - started, 2),
            "stages": context.stages,
            "config": config_as_dict(config)["neighbors"],
        }
        _publish(context, target, plain.as_json(report))
    log.info("wrote %s", target)
    return root.path


def _each_by_itself(config: Config) -> Config:
    """Return the configuration for vectors that have no recordings: lists then need no places to spare."""
    neighbors = config.neighbors.model_copy(update={"one_per_recording": False})
    return config.model_copy(update={"neighbors": neighbors})


def _read(session: SparkSession, source: VectorsInput) -> tuple[DataFrame, int]:
    """Return `id, vector` and how many there are."""
    rows, n_rows = formats.read_counted_parquet(session, source.uri)
    kinds = {field.name: field.dataType.simpleString() for field in rows.schema.fields}
    names = ", ".join(f"{name} {kind}" for name, kind in kinds.items() if not name.startswith("_"))
    for name, wanted in ((source.id_column, ("string", *ids.WHOLE_NUMBERS)), (source.vector_column, FLOATS)):
        if kinds.get(name) not in wanted:
            raise InputError(
                f"column {name} must be {' or '.join(wanted)}, found {kinds.get(name, 'no such column')}",
                where=f"{source.uri}: {names}",
                todo="name the columns with --id-column and --vector-column",
            )
    named = rows.select(
        F.col(f"`{source.id_column}`").alias("id"), F.col(f"`{source.vector_column}`").alias("vector")
    )
    return named, n_rows


def _pack(
    context: Context, rows: DataFrame, embeddings: DataFrame, source: VectorsInput, *, n_rows: int
) -> tuple[PackedSongs, Space]:
    """Look at each vector once and keep it in a piece; return what the join needs to know of them."""
    with failures.input_errors(source.uri):
        pieces, found = pack_vectors(context, embeddings, n_rows=n_rows)
        if pieces.n_songs:
            _check_vectors(rows, found, source, k=context.config.neighbors.k)
    if not pieces.n_songs:
        raise InputError("there are no vectors", where=source.uri, todo="check the export")
    context.record["vectors"] = {
        "n_vectors": pieces.n_songs,
        "dim": found["max_dim"],
        "half_precision": found["is_half"],
    }
    log.info("             %d vectors of %d dimensions", pieces.n_songs, found["max_dim"])
    return pieces, Space(
        source.metric, max_norm=found["max_norm"], vector_type="<f2" if found["is_half"] else "<f4"
    )


def _check_vectors(rows: DataFrame, found: dict[str, Any], source: VectorsInput, *, k: int) -> None:
    size, where = F.size(F.col("vector")), source.uri
    if found["n_without_key"]:
        raise InputError(
            f"{found['n_without_key']} rows have no id", where=where, todo="drop them, or give them ids"
        )
    not_finite = F.exists(F.coalesce("vector", F.array()), lambda x: x.isNull() | F.isnan(x) | (F.abs(x) > 3.4e38))
    if found["n_empty"]:
        empty = F.col("vector").isNull() | (size == 0)
        raise InputError(
            f"{found['n_empty']} rows have no vector", where=_some(rows, empty, where), todo="drop them"
        )
    if found["min_dim"] != found["max_dim"]:
        shorter = size == found["min_dim"]
        raise InputError(
            f"vectors have from {found['min_dim']} to {found['max_dim']} numbers; all must have as many",
            where=_some(rows, shorter, where),
            todo="drop or correct the odd ones",
        )
    if not ids.MIN_DIM <= found["max_dim"] <= ids.MAX_DIM:
        raise InputError(
            f"vectors must have {ids.MIN_DIM} to {ids.MAX_DIM} numbers, found {found['max_dim']}",
            where=where,
        )
    if found["n_not_finite"]:
        raise InputError(
            f"{found['n_not_finite']} vectors hold NaN, infinity or NULL",
            where=_some(rows, not_finite, where),
            todo="drop or correct them",
        )
    if found["n_zero"] and source.metric == "cosine":
        zero = F.forall("vector", lambda x: F.abs(x) < pack.MIN_LENGTH)
        raise InputError(
            f"{found['n_zero']} vectors are zero, or nearly, and have no direction",
            where=_some(rows, zero, where),
            todo="drop them, or use --metric euclidean",
        )
    if k >= found["n_rows"]:
        raise InputError(f"k is {k}, but there are only {found['n_rows']} vectors", where=where, todo="lower --k")


def _refuse_repeated_ids(rows: DataFrame, source: VectorsInput) -> None:
    repeated = ids.keep_repeated_ids(rows).orderBy("key").limit(3).collect()
    names = "; ".join(
        str(row["first"]) if row["first"] == row["last"] else f"{row['first']} and {row['last']} (same hash)"
        for row in repeated
    )
    raise InputError(f"ids in more than one row: {names}", where=source.uri, todo="keep one of each")


def _some(rows: DataFrame, condition: Any, where: str) -> str:
    # Ordered, so that the same input names the same rows.
    found = rows.where(condition).select(F.col("id").cast("string").alias("id")).orderBy("id").limit(3).collect()
    return f"{where}; ids {', '.join(str(row['id']) for row in found)}"


def _shared(cells: Cells) -> Shared | None:
    """Return what songs share, None where that is too much to send to every task."""
    if cells.n_repeated > MAX_SHARED:
        return None
    if not cells.n_repeated:
        nothing = np.empty(0, dtype=np.int64)
        return make_shared(nothing, nothing, np.empty(0, dtype=np.float32))
    table = cells.repeated.read()
    return make_shared(*(numbers(table.column(name)) for name in ("track_key", "item_key", "self_score")))


def _row_writer(files: RowFiles, shared: Shared, k: int) -> Callable[[int, Found], None]:
    def write(unit: int, found: Found) -> None:
        files.write(unit, ids.as_row_table(expand(found.keys, found.lists, shared, k=k)))

    return write


def _staged(context: Context) -> Path:
    return Path(context.run.table(NEIGHBORS + "-rows"))


def _write(context: Context, rows: DataFrame, joined: Joined) -> None:
    lists = rank.keep_best(rank.as_lists(joined.members, neighbors=joined.neighbors), k=context.config.neighbors.k)
    found = ids.as_rows(rank.as_recommendations(lists), whole_ids=ids.has_whole_ids(rows))
    schema = schemas.VECTOR_NEIGHBORS[found.schema["id"].dataType.simpleString()]
    tables.write_table(found, str(_staged(context)), schema=schema)


def _publish(context: Context, target: Path, report: str) -> None:
    staged, old = _staged(context), Path(context.run.table(REPLACED))
    with runs.writing(target):
        publish.drop_markers(staged)
        publish.sync_files(staged)
        if target.exists():
            target.rename(old)
        try:
            staged.rename(target)
        except OSError:
            _put_back(context.run.root, target)
            raise
        runs.write_atomically(target.parent / REPORT, report)
    # Under the lock all other work is that of runs that failed; that of a refresh belongs to its snapshot.
    for work in runs.run_directories(context.run.root.work):
        if not (context.run.root.snapshots / work.name).exists():
            shutil.rmtree(work, ignore_errors=True)


def _put_back(root: Root, target: Path) -> None:
    """Return what was about to be replaced to its place, where a run ended between the two renames."""
    replaced = [run / REPLACED for run in runs.run_directories(root.work) if (run / REPLACED).is_dir()]
    if replaced and not target.exists():
        replaced[-1].rename(target)
