"""The artist-held-out protocol: is the encoder better than simple vectors on artists it has never seen?

A quarter of the artists, with all their songs, are kept from training. Queries and candidates are their
songs; candidates by the query's own artist are removed. A neighbor is right when it shares a playlist (or, without
playlists, the genre) with the query.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import date
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from musicrec.catalog.barred import read_barred
from musicrec.catalog.clean_tasks import as_tracks, rules_of
from musicrec.catalog.relations import read_relations
from musicrec.catalog.sources import read_source
from musicrec.config import Config
from musicrec.context import log
from musicrec.encoder.gate import K
from musicrec.encoder.sample import Songs, sample_songs
from musicrec.encoder.sample_tasks import TrackRows
from musicrec.encoder.training_set import known_inputs
from musicrec.errors import InputError
from musicrec.evaluation.protocol import BASELINE, SplitResult, evaluate_split
from musicrec.evaluation.whole_lists import evaluate_lists
from musicrec.measures.metrics import percentile_interval, resampled_means
from musicrec.measures.retrieval import ListMeasures
from musicrec.songs import newest_year
from musicrec.spark import failures
from musicrec.storage import tables

MEASURES = tuple(field.name for field in fields(ListMeasures))


def evaluate(session: SparkSession, config: Config) -> dict[str, Any]:
    """Return the table of the protocol as plain values.

    Raises
    ------
    InputError
        There is nothing to judge by: neither playlists nor genres.
    """
    barred = read_barred(session, config.lists.exclude, config.input)
    songs = load_songs(session, config)
    if config.lists.exclude:
        n_excluded = int(np.isin(songs.labeled["track_key"].to_numpy(), barred).sum())
        log.info("%d of %d songs are excluded", n_excluded, songs.labeled.num_rows)
    settings, inputs = config.evaluate, known_inputs(config.model, songs)
    outcomes: dict[str, list[SplitResult]] = {}
    known: dict[str, list[ListMeasures]] = {}
    for split in range(settings.expert.first_split, settings.expert.first_split + settings.n_splits):
        log.info("split %d (%d of %d)", split, split - settings.expert.first_split + 1, settings.n_splits)
        of_split, known_of_split = evaluate_split(songs, config, inputs=inputs, split=split)
        for name, outcome in of_split.items():
            outcomes.setdefault(name, []).append(outcome)
        for name, measures in known_of_split.items():
            known.setdefault(name, []).append(measures)
    return {
        "protocol": "artist-held-out",
        "judged_by": songs.judged_by,
        "n_songs": songs.labeled.num_rows,
        "n_queries": sum(len(outcome.measures.precision) for outcome in outcomes[BASELINE]),
        "splits": [settings.expert.first_split, settings.expert.first_split + settings.n_splits - 1],
        "k": K,
        "methods": _summaries(outcomes, config),
        "known_to_playlists": _known_summaries(known, config),
        "lists": evaluate_lists(songs, config, barred=barred),
    }


def load_songs(session: SparkSession, config: Config) -> Songs:
    """Return the songs that the protocol judges by.

    Raises
    ------
    InputError
        There is nothing to judge by: neither playlists nor genres.
    """
    playlists = read_relations(session, config.input).playlists
    with failures.input_errors(config.input.tracks):
        source = read_source(session, config.input, lists=config.lists)
        tracks = as_tracks(source, rules_of(source, newest_year=newest_year(date.today().year)))
    # What a session keeps of an input that is refused, its next run would take for the input of then.
    with tables.kept(tracks):
        with failures.input_errors(config.input.tracks):
            n_tracks = tracks.count()
        songs = sample_songs(
            TrackRows(tracks),
            config,
            playlists=playlists,
            n_tracks=n_tracks,
            sample_size=config.evaluate.max_songs,
        )
    if not songs.judged_by:
        raise InputError(
            "quality cannot be judged: the input has neither playlists nor genres",
            where=config.input.tracks,
            todo="set input.playlists, or map a genre with [input.columns]",
        )
    return songs


def _summaries(outcomes: dict[str, list[SplitResult]], config: Config) -> list[dict[str, Any]]:
    """Return a summary of each method over all queries of all splits."""
    judged = {name: ListMeasures.join([each.measures for each in splits]) for name, splits in outcomes.items()}
    values = np.stack([getattr(one, name) for one in judged.values() for name in MEASURES])
    resampled = resampled_means(values, n_resamples=config.evaluate.expert.n_bootstrap, seed=config.model.seed)
    means = values.mean(axis=1).reshape(len(judged), len(MEASURES))
    resampled = resampled.reshape(len(judged), len(MEASURES), -1)
    first = list(judged).index(BASELINE)
    summaries = []
    for i, (name, splits) in enumerate(outcomes.items()):
        own = np.concatenate([each.with_own_artist.precision for each in splits])
        lone = np.concatenate([each.measures.precision[each.is_lone] for each in splits])
        exposures = [asdict(each.exposure) for each in splits]
        summaries.append(
            {
                "method": name,
                "means": {
                    measure: asdict(percentile_interval(means[i, j], resampled[i, j]))
                    for j, measure in enumerate(MEASURES)
                },
                "ratio": asdict(
                    percentile_interval(means[i, 0] / means[first, 0], resampled[i, 0] / resampled[first, 0])
                ),
                "precision_with_own_artist": float(own.mean()),
                "precision_of_lone_artists": float(lone.mean()) if len(lone) else float("nan"),
                "exposure": {key: float(np.mean([one[key] for one in exposures])) for key in exposures[0]},
            }
        )
    return summaries


def _known_summaries(known: dict[str, list[ListMeasures]], config: Config) -> dict[str, Any]:
    """Return precision and hit rate of each method over the queries of all splits."""
    judged = {name: ListMeasures.join(splits) for name, splits in known.items()}
    if not judged or not len(next(iter(judged.values())).precision):
        return {}
    values = np.stack([row for one in judged.values() for row in (one.precision, one.hit)])
    resampled = resampled_means(values, n_resamples=config.evaluate.expert.n_bootstrap, seed=config.model.seed)
    found = [asdict(percentile_interval(row.mean(), means)) for row, means in zip(values, resampled, strict=True)]
    return {
        "n_queries": values.shape[1],
        "methods": dict(zip(judged, zip(found[::2], found[1::2], strict=True), strict=True)),
    }
