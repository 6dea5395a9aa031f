"""The neighbor join as a product of its own: Parquet of ids and vectors in, Parquet of neighbors out."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from musicrec.catalog.number import write_vector_numbers
from musicrec.config import Config, config_as_dict
from musicrec.config_lists import NO_RULES
from musicrec.context import Context, log, recorded
from musicrec.errors import InputError
from musicrec.lists.rank import write_lists
from musicrec.neighbors.cells import has_repeated_keys, write_cells
from musicrec.neighbors.join import write_neighbors
from musicrec.neighbors.pack import write_packed
from musicrec.neighbors.plan import plan_cells
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.start import start_workers
from musicrec.neighbors.truth import find_truth
from musicrec.neighbors.tune import tune_family
from musicrec.spark.failures import input_errors
from musicrec.spark.session import application_of, hadoop_settings
from musicrec.storage import node_copies, runs
from musicrec.storage.lease import locked
from musicrec.storage.outputs import check_output, neighbors_directory, replace_output, staged_neighbors
from musicrec.storage.plain import without_secrets
from musicrec.storage.retention import drop_failed
from musicrec.storage.stores import NIGHT_S
from musicrec.vectors import ids
from musicrec.vectors.read import VectorsInput, check_vectors, read_vectors, refuse_repeated_ids
from musicrec.vectors.write import write_rows

STAGES = ("start", "read", "pack", "plan", "cells", "truth", "tune", "join", "number", "rank", "write")


def join_vectors(session: SparkSession, config: Config, source: VectorsInput, *, overwrite: bool) -> str:
    """Write the k nearest neighbors of each vector and a report; return the output directory.

    Parameters
    ----------
    session : SparkSession
    config : Config
        Whose `output.root` gets `neighbors/` and `report.json`.
    source : VectorsInput
    overwrite : bool
        Replace what the output holds.

    Raises
    ------
    MusicrecError
        One of its kinds; what stood in the output before is then still there.
    """
    root = runs.open_root(config.output.root, hadoop=hadoop_settings(session), patience_s=NIGHT_S)
    with locked(root, application=application_of(session)) as lease:
        check_output(root, overwrite=overwrite)
        drop_failed(root)
        run = runs.start_run(root, run_date=datetime.now(UTC).date())
        context = Context(session, _each_by_itself(config), run, plan=STAGES, lease=lease)
        vectors = without_secrets(source.uri)
        header = {"run_id": run.run_id, "vectors": vectors}
        with recorded(context, header=header), node_copies.cleared(run.work):
            start_workers(context)
            started = time.monotonic()
            n_files, figures = _join(context, source)
            report = {
                "vectors": vectors,
                "metric": source.metric,
                **figures,
                "seconds": round(time.monotonic() - started, 2),
                "stages": context.stages,
                "config": config_as_dict(config)["neighbors"],
            }
            lease.confirm()
            replace_output(run, n_files=n_files, report=report)
    log.info("wrote %s", neighbors_directory(root))
    return root.uri


def _join(context: Context, source: VectorsInput) -> tuple[int, dict[str, object]]:
    """Write the neighbors into the run's work; return how many files, and what the report says of them."""
    read = read_vectors(context, source)
    with input_errors(source.uri):
        packed = write_packed(context, read.pieces(), n_rows=read.n)
        survey = packed.survey
        if packed.n_songs:
            check_vectors(read.rows, survey, source)
    if not packed.n_songs:
        raise InputError("there are no vectors", where=source.uri, todo="check the export")
    context = _with_neighbors_for_all(context, n=packed.n_songs)
    log.info("%d vectors of %d dimensions", packed.n_songs, survey["max_dim"])
    space = Space(source.metric, max_norm=survey["max_norm"], vector_type="<f2" if survey["is_half"] else "<f4")
    plan = plan_cells(context, packed.sample, n_songs=packed.n_songs, space=space)
    cells = write_cells(context, packed, plan)
    if has_repeated_keys(cells):
        refuse_repeated_ids(read.rows(), source)
    truth = find_truth(context, cells)
    family = tune_family(context, cells, truth)
    shared = ids.shared_items(cells) if read.has_whole_ids else None
    if shared is not None:
        staged = staged_neighbors(context.run)
        write = ids.row_writer(staged, shared, context.config.neighbors.k)
        found = write_neighbors(context, cells, family, truth, write=write)
        n_files = int(found["n_units"])
    else:
        found = write_neighbors(context, cells, family, truth)
        songs = ids.as_embeddings(read.rows())
        numbered = write_vector_numbers(context, songs, n_songs=packed.n_songs)
        lists = write_lists(context, cells, numbered)
        write_rows(context, lists, whole_ids=read.has_whole_ids)
        n_files = numbered.n_ranges
    about = {"n_vectors": packed.n_songs, "dim": survey["max_dim"], "half_precision": survey["is_half"]}
    return n_files, {**about, **found}


def _with_neighbors_for_all(context: Context, *, n: int) -> Context:
    """Return the context with a k that n vectors have neighbors for."""
    k = context.config.neighbors.k
    if k < n:
        return context
    log.warning("k is %d, but there are only %d vectors: each gets %d neighbors", k, n, n - 1)
    neighbors = context.config.neighbors.model_copy(update={"k": n - 1})
    return replace(context, config=context.config.model_copy(update={"neighbors": neighbors}))


def _each_by_itself(config: Config) -> Config:
    """Return the configuration for vectors of which nothing else is known: lists then need no places to spare."""
    return config.model_copy(update={"lists": NO_RULES})
