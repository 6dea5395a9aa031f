"""The artist-held-out protocol: is the encoder better than simple vectors on artists it has never seen?

A quarter of the artists, with all their songs, are kept from training. Queries and candidates are their
songs; candidates by the query's own artist are removed. A neighbor is right when it shares a playlist (or, without
playlists, the genre) with the query.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from musicrec.algorithms.metrics import percentile_interval, resampled_means
from musicrec.algorithms.retrieval import Judged
from musicrec.config import Config
from musicrec.errors import InputError
from musicrec.pipeline.context import log
from musicrec.pipeline.gate import K
from musicrec.pipeline.ingest import read_source
from musicrec.pipeline.judging import BASELINE, Outcome, judge_split
from musicrec.pipeline.labels import Songs, optional_inputs, sample_songs
from musicrec.pipeline.occurrence import judge_spreading
from musicrec.songs import RAW_INPUTS
from musicrec.stages import clean
from musicrec.storage import tables

MEASURES = tuple(field.name for field in fields(Judged))


def evaluate(session: SparkSession, config: Config) -> dict[str, Any]:
    """Return the table of the protocol as plain values.

    Raises
    ------
    InputError
        There is nothing to judge by: neither playlists nor genres.
    """
    songs = _load(session, config)
    settings, optional = config.evaluate, _optional(songs, config)
    outcomes: dict[str, list[Outcome]] = {}
    known: dict[str, list[Judged]] = {}
    for split in range(settings.first_split, settings.first_split + settings.n_splits):
        log.info("split %d (%d of %d)", split, split - settings.first_split + 1, settings.n_splits)
        of_split, known_of_split = judge_split(songs, config, optional=optional, split=split)
        for name, outcome in of_split.items():
            outcomes.setdefault(name, []).append(outcome)
        for name, judged in known_of_split.items():
            known.setdefault(name, []).append(judged)
    return {
        "protocol": "artist-held-out",
        "judged_by": songs.judged_by,
        "n_songs": songs.labeled.num_rows,
        "n_queries": sum(len(outcome.judged.precision) for outcome in outcomes[BASELINE]),
        "splits": [settings.first_split, settings.first_split + settings.n_splits - 1],
        "k": K,
        "methods": _summaries(outcomes, config),
        "known_to_playlists": _known_summaries(known, config),
        "spreading": judge_spreading(songs, config, optional=optional),
    }


def as_text(result: dict[str, Any]) -> str:
    """Return the result as Markdown tables: how good the lists are, and what they do to the catalog."""
    k, methods = result["k"], result["methods"]
    return "\n".join(
        [
            f"{result['n_songs']:,} songs; {result['n_queries']:,} queries of splits {result['splits'][0]} to "
            f"{result['splits'][1]}, by artist; right is who shares {result['judged_by']}; 95 % intervals",
            "",
            f"| method | P@{k} | / z-scored | hit@{k} | nDCG@{k} | recall@{k} | MAP | R-precision "
            f"| P@{k} with own artist |",
            "|---|---|---:|---|---|---:|---:|---:|---:|",
            *[_quality_line(method) for method in methods],
            "",
            "| method | recommended to nobody | Gini | k-occurrence skewness | places of the popular tenth "
            "| novelty, bits | diversity |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *[_exposure_line(method) for method in methods],
            "",
            *_known_lines(result["known_to_playlists"], k=k),
            f"lists of all {result['n_songs']:,} songs by the encoder of split {result['splits'][0]}, "
            "P of the held-out songs' lists",
            "",
            "| spreading | recommended to nobody | k-occurrence skewness | P |",
            "|---|---:|---:|---:|",
            *[_spreading_line(name, found) for name, found in result["spreading"].items()],
        ]
    )


def _quality_line(method: dict[str, Any]) -> str:
    means = method["means"]
    cells = [
        method["method"],
        _interval(means["precision"]),
        f"{method['ratio']['mean']:.2f} ({method['ratio']['lower']:.2f} to {method['ratio']['upper']:.2f})",
        _interval(means["hit"]),
        _interval(means["ndcg"]),
        *[f"{means[name]['mean']:.4f}" for name in ("recall", "average_precision", "r_precision")],
        f"{method['precision_with_own_artist']:.4f}",
    ]
    return f"| {' | '.join(cells)} |"


def _exposure_line(method: dict[str, Any]) -> str:
    exposure = method["exposure"]
    cells = [
        f"{1 - exposure['coverage']:.2%}".replace("%", " %"),
        *[f"{exposure[name]:.2f}" for name in ("gini", "skewness")],
        f"{exposure['popular_share']:.1%}".replace("%", " %"),
        *[f"{exposure[name]:.2f}" for name in ("novelty_bits", "diversity")],
    ]
    return f"| {' | '.join([method['method'], *cells])} |"


def _known_lines(known: dict[str, Any], *, k: int) -> list[str]:
    if not known:
        return []
    return [
        f"half of the playlists given, {known['n_queries']:,} songs in them judged by the others",
        "",
        f"| method | P@{k} | hit@{k} |",
        "|---|---|---|",
        *[f"| {name} | {_interval(p)} | {_interval(hit)} |" for name, (p, hit) in known["methods"].items()],
        "",
    ]


def _spreading_line(name: str, found: dict[str, float]) -> str:
    share = f"{found['forgotten_share']:.2%}".replace("%", " %")
    return f"| {name} | {share} | {found['skewness']:.2f} | {found['precision']:.4f} |"


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.4f} ({estimate['lower']:.4f} to {estimate['upper']:.4f})"


def _load(session: SparkSession, config: Config) -> Songs:
    with tables.input_errors(config.input.tracks):
        rows, columns = read_source(session, config.input)
        tracks = clean.keep_tracks(clean.audit_rows(rows, columns=columns, settings=config.input)).persist()
        n_tracks = tracks.count()
    songs = sample_songs(session, tracks, config, n_tracks=n_tracks, sample_size=config.evaluate.max_songs)
    tracks.unpersist()
    if not songs.judged_by:
        raise InputError(
            "quality cannot be judged: the input has neither playlists nor genres",
            where=config.input.tracks,
            todo="set input.playlists, or map a genre with [input.columns]",
        )
    return songs


def _optional(songs: Songs, config: Config) -> list[str]:
    """Return the optional inputs that are switched on and known of at least one song."""
    switched_on = optional_inputs(config.model, songs)
    return [name for name in switched_on if not np.isnan(songs.raw[:, RAW_INPUTS.index(name)]).all()]


def _summaries(outcomes: dict[str, list[Outcome]], config: Config) -> list[dict[str, Any]]:
    """Return a summary of each method over all queries of all splits."""
    judged = {name: Judged.join([each.judged for each in splits]) for name, splits in outcomes.items()}
    values = np.stack([getattr(one, name) for one in judged.values() for name in MEASURES])
    resampled = resampled_means(values, n_resamples=config.evaluate.n_bootstrap, seed=config.model.seed)
    means = values.mean(axis=1).reshape(len(judged), len(MEASURES))
    resampled = resampled.reshape(len(judged), len(MEASURES), -1)
    first = list(judged).index(BASELINE)
    summaries = []
    for i, (name, splits) in enumerate(outcomes.items()):
        own = np.concatenate([each.with_own_artist.precision for each in splits])
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
                "exposure": {key: float(np.mean([one[key] for one in exposures])) for key in exposures[0]},
            }
        )
    return summaries


def _known_summaries(known: dict[str, list[Judged]], config: Config) -> dict[str, Any]:
    """Return precision and hit rate of each method over the queries of all splits."""
    judged = {name: Judged.join(splits) for name, splits in known.items()}
    if not judged or not len(next(iter(judged.values())).precision):
        return {}
    values = np.stack([row for one in judged.values() for row in (one.precision, one.hit)])
    resampled = resampled_means(values, n_resamples=config.evaluate.n_bootstrap, seed=config.model.seed)
    found = [asdict(percentile_interval(row.mean(), means)) for row, means in zip(values, resampled, strict=True)]
    return {
        "n_queries": values.shape[1],
        "methods": dict(zip(judged, zip(found[::2], found[1::2], strict=True), strict=True)),
    }
