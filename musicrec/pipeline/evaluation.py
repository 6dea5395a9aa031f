"""The artist-held-out protocol: is the encoder better than simple vectors on artists it has never seen?

A quarter of the artists, with all their songs, are kept from training. Queries and candidates are their
songs; candidates by the query's own artist are removed. P@10 is the share of the ten nearest that share a
playlist (or, without playlists, the genre) with the query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from musicrec.algorithms.encoder import embed
from musicrec.algorithms.encodings import encode, fit_encodings
from musicrec.algorithms.metrics import Estimate, bootstrap, nearest_by_other_artists, shares_a_group
from musicrec.algorithms.training import train_encoder
from musicrec.arrow import numbers
from musicrec.config import Config
from musicrec.errors import InputError
from musicrec.pipeline.context import log
from musicrec.pipeline.ingest import read_relation, read_source
from musicrec.stages import clean, features, sample, train
from musicrec.storage import tables

K = 10
BASELINE = "z-scored features"


@dataclass(frozen=True)
class Songs:
    """Songs by rising key: labels, raw features and the groups (playlists or the genre) of each."""

    table: pa.Table
    memberships: pa.Table | None
    groups: list[frozenset[int]]
    judged_by: str


@dataclass(frozen=True)
class Line:
    """One row of the result: means over the queries of all splits, with 95 % intervals."""

    vectors: str
    precision: Estimate
    hit: Estimate
    ratio: float


def evaluate(session: SparkSession, config: Config) -> dict[str, Any]:
    """Return the table of the protocol as plain values.

    Raises
    ------
    InputError
        There is nothing to judge by: neither playlists nor genres.
    """
    songs = _load(session, config)
    shared: dict[str, list[NDArray[np.bool_]]] = {}
    for split in range(config.evaluate.n_splits):
        log.info("split %d of %d", split + 1, config.evaluate.n_splits)
        for name, found in _judge_split(songs, config, split=split).items():
            shared.setdefault(name, []).append(found)
    lines = _lines(shared, config)
    return {
        "protocol": "artist-held-out",
        "judged_by": songs.judged_by,
        "n_songs": songs.table.num_rows,
        "n_queries": sum(len(found) for found in shared[BASELINE]),
        "n_splits": config.evaluate.n_splits,
        "k": K,
        "lines": [
            {
                "vectors": line.vectors,
                "precision_at_10": vars(line.precision),
                "hit_at_10": vars(line.hit),
                "ratio_to_baseline": line.ratio,
            }
            for line in lines
        ],
    }


def as_text(result: dict[str, Any]) -> str:
    """Return the result as a Markdown table."""
    head = (
        f"{result['n_songs']:,} songs, {result['n_queries']:,} queries in {result['n_splits']} splits by artist, "
        f"judged by {result['judged_by']}; 95 % intervals\n\n"
        "| vectors | P@10 | hit@10 | P@10 / z-scored |\n|---|---|---|---:|\n"
    )
    rows = [
        f"| {line['vectors']} | {_interval(line['precision_at_10'])} | {_interval(line['hit_at_10'])} "
        f"| {line['ratio_to_baseline']:.2f} |"
        for line in result["lines"]
    ]
    return head + "\n".join(rows)


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.4f} ({estimate['lower']:.4f} to {estimate['upper']:.4f})"


def _load(session: SparkSession, config: Config) -> Songs:
    with tables.input_errors(config.input.tracks):
        rows, columns = read_source(session, config.input)
        tracks = clean.keep_tracks(clean.audit_rows(rows, columns=columns, settings=config.input)).persist()
        drawn = sample.keep_sample(
            tracks,
            key="track_key",
            n_rows=tracks.count(),
            sample_size=config.evaluate.max_songs,
            seed=config.model.seed,
        )
        labeled = train.as_labeled(drawn, seed=config.model.seed)
        table = train.sort_by_key(labeled.toArrow())
    memberships = _memberships(session, config, labeled)
    if memberships is not None:
        pairs = zip(memberships["track_key"].to_pylist(), memberships["playlist_key"].to_pylist(), strict=True)
        return Songs(table, memberships, _groups(table, pairs), "playlists")
    pairs = zip(table["track_key"].to_pylist(), table["genre_key"].to_pylist(), strict=True)
    groups = _groups(table, ((key, genre) for key, genre in pairs if genre is not None))
    if not any(groups):
        raise InputError(
            "quality cannot be judged: the input has neither playlists nor genres",
            where=config.input.tracks,
            todo="set input.playlists, or map a genre with [input.columns]",
        )
    return Songs(table, None, groups, "genre")


def _memberships(session: SparkSession, config: Config, labeled: DataFrame) -> pa.Table | None:
    if not config.input.playlists:
        return None
    with tables.input_errors(config.input.playlists):
        rows = read_relation(session, config.input.playlists, owner="playlist_id", settings=config.input)
        return train.sort_by_key(train.as_memberships(rows, songs=labeled).toArrow())


def _groups(table: pa.Table, pairs: Any) -> list[frozenset[int]]:
    by_key: dict[int, set[int]] = {}
    for key, group in pairs:
        by_key.setdefault(key, set()).add(group)
    return [frozenset(by_key.get(key, ())) for key in table["track_key"].to_pylist()]


def _judge_split(songs: Songs, config: Config, *, split: int) -> dict[str, NDArray[np.bool_]]:
    artists = _artists(songs.table)
    test = _fold(artists, seed=split) < config.evaluate.test_share
    raw = features.raw_features(songs.table)
    encodings = fit_encodings(raw[~test])
    inputs = encode(raw, encodings=encodings)
    learnt_from = songs.table.filter(pa.array(~test))
    data, objective = train.as_training_set(
        learnt_from,
        inputs[~test],
        memberships=_only(songs.memberships, learnt_from),
        objective=config.model.objective,
        holdout_share=config.model.holdout_share,
    )
    log.info(
        "             %d songs to learn from, %d queries, objective: %s",
        len(data.inputs),
        test.sum(),
        objective,
    )
    encoder, history = train_encoder(data, settings=config.model, on_epoch=lambda _: None)
    log.info("             %d epochs, held-out loss %.4f", len(history), min(e.held_out_loss for e in history))
    center, scale = np.nanmean(raw[~test], axis=0), np.nanstd(raw[~test], axis=0)
    zscored = np.nan_to_num((raw[test] - center) / np.where(scale > 0, scale, 1.0))
    vectors = {
        "random": np.random.default_rng(split).standard_normal((int(test.sum()), 16)),
        BASELINE: zscored,
        "encoded inputs": inputs[test],
        f"encoder ({objective})": embed(encoder, inputs[test]),
    }
    groups = [group for group, chosen in zip(songs.groups, test, strict=True) if chosen]
    return {name: _shared(v.astype(np.float32), artists[test], groups) for name, v in vectors.items()}


def _shared(
    vectors: NDArray[np.float32], artists: NDArray[np.int64], groups: list[frozenset[int]]
) -> NDArray[np.bool_]:
    shared = shares_a_group(nearest_by_other_artists(vectors, artists, k=K), groups)
    # A song without a group can neither be right nor wrong.
    judged: NDArray[np.bool_] = shared[np.array([bool(group) for group in groups])]
    return judged


def _artists(table: pa.Table) -> NDArray[np.int64]:
    return numbers(pc.coalesce(table["artist_key"], table["track_key"]))


def _fold(artists: NDArray[np.int64], *, seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) per artist: the same for all songs of one."""
    distinct, which = np.unique(artists, return_inverse=True)
    return np.random.default_rng([seed, 25]).random(len(distinct))[which]


def _only(memberships: pa.Table | None, table: pa.Table) -> pa.Table | None:
    if memberships is None:
        return None
    return memberships.filter(pc.is_in(memberships["track_key"], value_set=table["track_key"].combine_chunks()))


def _lines(precisions: dict[str, list[NDArray[np.bool_]]], config: Config) -> list[Line]:
    settings, seed = config.evaluate, config.model.seed
    means = {name: float(np.mean([s.mean() for s in splits])) for name, splits in precisions.items()}
    lines = []
    for name, splits in precisions.items():
        shared = np.concatenate(splits)
        precision = bootstrap(shared.mean(axis=1), n_resamples=settings.n_bootstrap, seed=seed)
        hit = bootstrap(shared.any(axis=1).astype(float), n_resamples=settings.n_bootstrap, seed=seed)
        ratio = means[name] / means[BASELINE] if means[BASELINE] else float("nan")
        lines.append(Line(name, precision, hit, round(ratio, 4)))
    return lines
