"""The whole nightly run, in order."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyspark
import torch
from pyspark.sql import DataFrame, SparkSession

from musicrec import __version__
from musicrec.catalog.clean import Catalog, ingest
from musicrec.catalog.sources import check_relations, read_source
from musicrec.config import Config, config_as_dict
from musicrec.context import Context, log
from musicrec.encoder.embed import embed_catalog
from musicrec.encoder.learning.learner import find_device
from musicrec.encoder.train import Learned, learn
from musicrec.lists.check import check_lists
from musicrec.lists.favorites import rank_favorites
from musicrec.lists.rank import rank_lists
from musicrec.lists.sort import publish_lists
from musicrec.lists.spread import spread_lists
from musicrec.neighbors.join import join_neighbors
from musicrec.report.page import render_report
from musicrec.report.pictures import collect_pictures
from musicrec.spark import failures
from musicrec.storage import plain, publish, runs
from musicrec.storage.runs import Root


def refresh(session: SparkSession, config: Config, *, run_date: date) -> Path:
    """Run all stages and publish the result; return the directory of the snapshot.

    Raises
    ------
    MusicrecError
        One of its kinds; what was published before is then still live.
    """
    find_device(config.model.device)
    root = runs.open_root(config.output.root)
    with runs.locked(root):
        context = Context(session, config, runs.start_run(root, run_date=run_date))
        log.info("run %s", context.run.run_id)
        context.record = _header(context, run_date)
        check_relations(session, config.input)
        with context.stage("clean"):
            catalog = ingest(context)
        with context.stage("train"):
            learned = learn(context, catalog)
        embeddings = embed_catalog(context, catalog, learned)
        joined = join_neighbors(context, embeddings)
        with context.stage("rank"):
            lists = rank_lists(context, joined)
        with context.stage("spread"):
            spread = spread_lists(context, catalog, lists)
        with context.stage("sort"):
            recommendations = publish_lists(context, catalog, spread.lists)
        with context.stage("favorites"):
            rank_favorites(context, catalog, spread.lists)
        with context.stage("check"):
            context.record["counts"].update(check_lists(context, catalog, recommendations))
        return _publish(context, catalog, learned, occurrences=spread.occurrences)


def plan(session: SparkSession, config: Config) -> dict[str, Any]:
    """Read the input's columns and check that the output can be written; write nothing.

    Raises
    ------
    MusicrecError
        What `refresh` would fail with at its start.
    """
    find_device(config.model.device)
    root = runs.open_root(config.output.root)
    runs.check_writable(root)
    with failures.input_errors(config.input.tracks):
        rows, columns = read_source(session, config.input)
    check_relations(session, config.input)
    return {"files": len(rows.inputFiles()), "columns": columns, "output": str(root.path)}


def _publish(context: Context, catalog: Catalog, learned: Learned, *, occurrences: DataFrame) -> Path:
    root: Root = context.run.root
    with context.stage("report"):
        pictures = collect_pictures(context, catalog, learned, occurrences=occurrences)
        report = render_report({**context.record, "stages": context.stages}, pictures)
    manifest = {
        **context.record,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "stages": context.stages,
    }
    snapshot = publish.publish(context.run, manifest=manifest, report=report)
    runs.drop_old(root, keep_snapshots=context.config.output.keep_snapshots, newest=context.run.run_id)
    log.info("published %s", snapshot)
    return snapshot


def _header(context: Context, run_date: date) -> dict[str, Any]:
    return {
        "run_id": context.run.run_id,
        "run_date": run_date.isoformat(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"musicrec": __version__, "pyspark": pyspark.__version__, "torch": torch.__version__},
        "config": plain.without_secrets(config_as_dict(context.config)),
    }
