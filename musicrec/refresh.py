"""The whole nightly run, in order: a stage a line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pyspark
import torch
from pyspark.sql import SparkSession

from musicrec import __version__
from musicrec.catalog.barred import check_barred, read_barred
from musicrec.catalog.clean import Catalog, write_catalog
from musicrec.catalog.number import write_numbers
from musicrec.catalog.refusals import preview
from musicrec.catalog.relations import Relations, read_relations
from musicrec.catalog.sources import read_source
from musicrec.config import Config, config_as_dict, for_day
from musicrec.context import Context, log, recorded
from musicrec.encoder.artists import write_artists
from musicrec.encoder.embed import write_embeddings
from musicrec.encoder.gate import write_encoder
from musicrec.encoder.learning.learner import find_device
from musicrec.encoder.sample import Songs, draw_songs
from musicrec.encoder.train import train
from musicrec.encoder.training_set import fit_kept
from musicrec.errors import ConfigError, StorageError, shorten
from musicrec.lists.check import write_status
from musicrec.lists.favorites import write_user_recommendations
from musicrec.lists.match import write_matched
from musicrec.lists.rank import write_lists
from musicrec.lists.sort import write_recommendations
from musicrec.lists.spread import write_spread
from musicrec.neighbors.cells import write_cells
from musicrec.neighbors.join import write_neighbors
from musicrec.neighbors.plan import plan_cells
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.truth import find_truth
from musicrec.neighbors.tune import tune_family
from musicrec.report.report import draw_report
from musicrec.shown import masked
from musicrec.songs import newest_year
from musicrec.spark.failures import input_errors
from musicrec.spark.session import application_of, hadoop_settings
from musicrec.storage import datasets, history, node_copies, runs
from musicrec.storage.iceberg import check_catalog, follow, prepare_catalog
from musicrec.storage.lease import locked
from musicrec.storage.plain import without_secrets
from musicrec.storage.promises import check_writable
from musicrec.storage.publish import publish
from musicrec.storage.retention import drop_old
from musicrec.storage.runs import Root
from musicrec.storage.snapshots import previous_manifest
from musicrec.storage.stores import NIGHT_S
from musicrec.storage.uris import is_within

STAGES = (
    "clean", "number", "match", "sample", "artists", "train", "gate", "embed", "plan", "cells", "truth",
    "tune", "join", "rank", "spread", "sort", "favorites", "check", "report", "publish",
)  # fmt: skip


def refresh(
    session: SparkSession, config: Config, *, run_date: date, accept: str = "", promote: bool = False
) -> str:
    """Run all stages and publish the result; return the directory of the snapshot.

    Parameters
    ----------
    session : SparkSession
    config : Config
    run_date : date
        The day that the run is for, which names it.
    accept : str
        Why the night is published although a gate of `[gates]` would stop it; stands in the manifest.
    promote : bool
        Make the result current also where what is current is of a later day.

    Raises
    ------
    MusicrecError
        One of its kinds; what was published before is then still live.
    """
    config = for_day(config, run_date)
    find_device(config.model.device)
    root = runs.open_root(config.output.root, hadoop=hadoop_settings(session), patience_s=NIGHT_S)
    _check_apart(config, root)
    check_writable(root)
    with locked(root, application=application_of(session)) as lease:
        prepare_catalog(root, config.output.iceberg_catalog)
        base = history.settle(root)
        # First of all: the run needs the space.
        drop_old(root, config.output, is_over=False)
        run = runs.start_run(root, run_date=run_date)
        published = _published(root)
        context = Context(
            session, config, run, plan=STAGES, lease=lease, base=base, promote=promote,
            before=_stages_of(published), published=_counts_of(published),
            accepted=without_secrets(shorten(accept)),
        )  # fmt: skip
        header = _header(context, run_date)
        log.info("run %s", run.run_id)
        with recorded(context, header=header), node_copies.cleared(run.work):
            relations = read_relations(session, config.input)
            for relation in filter(None, (relations.playlists, relations.favorites)):
                for sentence in relation.said:
                    log.info(sentence)
            snapshot = _run(context, header, relations)
        run.note("published", **header)
        lease.confirm()
        # Before what they name until then is deleted.
        for table in follow(root, config.output.iceberg_catalog):
            log.info("table %s.%s follows", config.output.iceberg_catalog, table)
        drop_old(root, config.output, is_over=True)
    log.info("published %s", snapshot)
    return snapshot


def plan(session: SparkSession, config: Config, *, run_date: date) -> dict[str, Any]:
    """Read the input's columns and check that the output can be written; write nothing.

    Parameters
    ----------
    session : SparkSession
    config : Config
    run_date : date
        The day that the run would be for.

    Raises
    ------
    MusicrecError
        What `refresh` would fail with at its start.
    """
    config = for_day(config, run_date)
    find_device(config.model.device)
    root = runs.open_root(config.output.root, hadoop=hadoop_settings(session), patience_s=NIGHT_S)
    _check_apart(config, root)
    check_writable(root)
    check_catalog(root, config.output.iceberg_catalog)
    with input_errors(config.input.tracks):
        source = read_source(session, config.input, lists=config.lists)
        first_rows = preview(source)
    relations = read_relations(session, config.input)
    barred = read_barred(session, config.lists.exclude, config.input)
    given = {"songs": source, "playlists": relations.playlists, "favorites": relations.favorites}
    said = {name: "; ".join(one.said) for name, one in given.items() if one is not None and one.said}
    return {
        "files": len(source.rows.files),
        "columns": source.meaning.serving,
        "rows": first_rows,
        **said,
        **({"excluded": len(barred)} if config.lists.exclude else {}),
        "output": root.uri,
    }


def _check_apart(config: Config, root: Root) -> None:
    """Refuse to write among what is read: the next run would take it for songs."""
    for uri in (config.input.tracks, config.input.playlists, config.input.favorites, config.lists.exclude):
        if uri and is_within(root.uri, uri):
            raise ConfigError(
                "output.root lies within an input: what is written there would be read",
                where=f"{root.uri} in {masked(uri)}", todo="choose another output.root, or a glob such as *.csv",
            )  # fmt: skip


def _run(context: Context, header: dict[str, Any], relations: Relations) -> str:
    config = context.config
    barred = read_barred(context.session, config.lists.exclude, config.input)
    catalog = write_catalog(context, barred=barred, newest_year=newest_year(int(header["run_date"][:4])))
    numbered = write_numbers(context, catalog.ordered)
    check_barred(barred, numbered, uri=config.lists.exclude)
    favorites = write_matched(context, numbered, relations.favorites)
    songs = draw_songs(context, catalog, numbered, relations.playlists)
    values = fit_kept(songs, config.model)
    artists = write_artists(context, catalog, values)
    trained = train(context, songs, values, artists)
    shipped = write_encoder(context, songs, trained)
    packed = write_embeddings(context, catalog, shipped)
    cell_plan = plan_cells(context, packed.sample, n_songs=catalog.n_tracks, space=Space())
    cells = write_cells(context, packed, cell_plan)
    truth = find_truth(context, cells)
    family = tune_family(context, cells, truth)
    neighbors = write_neighbors(context, cells, family, truth)
    lists = write_lists(context, cells, numbered)
    spread = write_spread(context, lists)
    recommended = write_recommendations(context, spread.lists)
    listeners, of_listeners = write_user_recommendations(context, spread.lists, favorites)
    checked, status = write_status(context, catalog, spread.lists)
    record = {
        **header,
        "inputs": _inputs(config, catalog, songs),
        "counts": {**catalog.counts, **_memberships(songs), **checked, "n_barred": spread.n_barred},
        "model": {**trained.describe(config.model), **shipped.figures},
        "neighbors": neighbors, "occurrence": spread.figures, "gates": context.gates(),
        **({"favorites": listeners} if listeners is not None else {}),
    }  # fmt: skip
    report = draw_report(context, catalog, songs, trained, shipped, packed=packed, spread=spread, record=record)
    with context.stage("publish"):
        return publish(
            context.run, manifest={**record, "stages": context.stages}, report=report,
            tables={
                datasets.RECOMMENDATIONS: recommended, datasets.USER_RECOMMENDATIONS: of_listeners,
                datasets.STATUS: status,
            },
            base=context.base, promote=context.promote,
        )  # fmt: skip


def _header(context: Context, run_date: date) -> dict[str, Any]:
    return {
        "run_id": context.run.run_id,
        "run_date": run_date.isoformat(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"musicrec": __version__, "pyspark": pyspark.__version__, "torch": torch.__version__},
        "config": without_secrets(config_as_dict(context.config)),
    }


def _inputs(config: Config, catalog: Catalog, songs: Songs) -> dict[str, Any]:
    """Return what was read, without credentials that a URI may hold."""
    read = {"tracks": config.input.tracks, "columns": catalog.columns, "files": catalog.files}
    if songs.memberships is not None:
        read["playlists"] = config.input.playlists
    if config.input.favorites:
        read["favorites"] = config.input.favorites
    if config.lists.exclude:
        read["exclude"] = config.lists.exclude
    cleaned: dict[str, Any] = without_secrets(read)
    return cleaned


def _memberships(songs: Songs) -> dict[str, int]:
    return {} if songs.memberships is None else {"n_sampled_memberships": songs.memberships.num_rows}


def _published(root: Root) -> dict[str, Any]:
    """Return the manifest of the published run; nothing where there is none, or it cannot be trusted."""
    try:
        return previous_manifest(root) or {}
    except StorageError as error:
        log.warning("stages have no estimates, for %s (%s)", error.what, error.where)
        return {}


def _stages_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each stage of a run took, by its name; nothing where that cannot be told."""
    before = manifest.get("stages")
    known = [stage for stage in before if isinstance(stage, dict)] if isinstance(before, list) else []
    return {stage["stage"]: stage for stage in known if {"stage", "seconds"} <= set(stage)}


def _counts_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    counts = manifest.get("counts")
    return counts if isinstance(counts, dict) else {}
