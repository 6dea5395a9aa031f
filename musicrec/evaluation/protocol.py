"""One split of the artist-held-out protocol: fit every method on some artists, rank the songs of the others.

Queries and candidates are the songs of the artists held out. None of their features or playlists is seen before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from musicrec.arrays import Bools, Doubles, Floats, Ints, as_shares
from musicrec.config import Config, ModelConfig
from musicrec.context import log
from musicrec.encoder import labels
from musicrec.encoder.gate import ENCODER, N_COMPONENTS, K
from musicrec.encoder.learning import baselines
from musicrec.encoder.learning.inputs import InputLayout
from musicrec.encoder.learning.model import embed
from musicrec.encoder.learning.training import train_encoder
from musicrec.encoder.sample import Songs
from musicrec.encoder.training_set import prepare, with_inputs
from musicrec.evaluation.cooccurrence import evaluate_known
from musicrec.measures.exposure import Exposure, measure_exposure
from musicrec.measures.retrieval import ListMeasures, Scorer, answer, by_cosine, by_value
from musicrec.songs import FEATURES, RAW_INPUTS

BASELINE = "z-scored features"
FOLD_SEED = 25


@dataclass(frozen=True)
class SplitResult:
    """How one method did on one split: among other artists' songs, and with those of the query's own.

    `is_lone` (n_queries,) says which queries of `measures` are by artists of one song.
    """

    measures: ListMeasures
    with_own_artist: ListMeasures
    exposure: Exposure
    is_lone: Bools


def evaluate_split(
    songs: Songs, config: Config, *, inputs: Sequence[str], split: int
) -> tuple[dict[str, SplitResult], dict[str, ListMeasures]]:
    """Return the outcome of each method, and those of some beside co-occurrence on songs that playlists know.

    Parameters
    ----------
    songs : Songs
    config : Config
    inputs : sequence of str
        Which of `training_set.INPUTS` methods may see: none at first, then one after the other.
    split : int
    """
    artists = labels.artists_of(songs.labeled)
    test = is_test(artists, share=config.evaluate.test_share, split=split)
    candidates = songs.candidates(test)
    _, which, n_songs = np.unique(artists, return_inverse=True, return_counts=True)
    is_lone = (n_songs[which] == 1)[test][candidates.are_queries]
    raw = songs.raw[test]
    features = raw[:, : len(FEATURES)]
    descriptions = baselines.fit_zscore(songs.raw[~test, : len(FEATURES)])(features)
    popularity = raw[:, RAW_INPUTS.index("popularity")]
    outcomes = {}
    methods = _methods(songs, config, inputs=inputs, test=test, seed=split)
    for name, scorer in methods.items():
        others, own = (answer(scorer, candidates, k=K, own_artist=own) for own in (False, True))
        exposure = measure_exposure(others.nearest, popularity=popularity, descriptions=descriptions)
        outcomes[name] = SplitResult(others.measures, own.measures, exposure, is_lone)
    some = {name: methods[name] for name in (BASELINE, f"{ENCODER}{_suffix(inputs)}")}
    return outcomes, evaluate_known(songs, some, test=test, k=K)


def is_test(artists: Ints, *, share: float, split: int) -> Bools:
    """Return which songs (n,) are held out in a split; splits share no artist while their shares fit into 1.

    Parameters
    ----------
    artists : int64 array, shape (n,)
    share : float
        Of the artists, 0..1.
    split : int
        From 0.
    """
    turned = (as_shares(artists, seed=FOLD_SEED) - split * share) % 1.0
    test: Bools = turned < share
    return test


def _methods(songs: Songs, config: Config, *, inputs: Sequence[str], test: Bools, seed: int) -> dict[str, Scorer]:
    """Return the scorer of each method, from the simplest on."""
    learned, asked = songs.raw[~test], songs.raw[test]
    n_features = len(FEATURES)
    popularity = asked[:, RAW_INPUTS.index("popularity")]
    methods: dict[str, Scorer] = {"random": by_cosine(_random_vectors(len(asked), seed=seed))}
    if not np.isnan(popularity).all():
        methods["popularity"] = by_value(popularity)
        artists = labels.artists_of(songs.labeled)[test]
        methods["popularity of the artist"] = by_value(_mean_by(artists, popularity))
    fits: dict[str, Callable[[Doubles], baselines.Project]] = {
        BASELINE: baselines.fit_zscore,
        "whitened": baselines.fit_whitened,
        "quantiles": baselines.fit_quantiles,
    }
    for name, fit in fits.items():
        methods[name] = by_cosine(fit(learned[:, :n_features])(asked[:, :n_features]))
    for n in range(len(inputs) + 1):
        settings, with_gaps = with_inputs(config.model, inputs[:n]), n in (0, len(inputs))
        methods |= _learned_methods(songs, settings, inputs=inputs[:n], test=test, with_gaps=with_gaps)
    return methods


def _learned_methods(
    songs: Songs, settings: ModelConfig, *, inputs: Sequence[str], test: Bools, with_gaps: bool
) -> dict[str, Scorer]:
    made = prepare(songs, settings, kept=~test)
    suffix, told = _suffix(inputs), made.inputs[test]
    methods = {}
    if inputs:
        methods[f"{BASELINE}{suffix}"] = by_cosine(told)
    if made.learned.positives:
        project = baselines.fit_discriminant(
            made.inputs[~test].astype(np.float64), made.learned.positives, n_components=N_COMPONENTS
        )
        methods[f"linear discriminant{suffix}"] = by_cosine(project(told.astype(np.float64)))
    encoder, history = train_encoder(made.learned, settings=settings, on_epoch=lambda _: None)
    log.info("%d epochs, %.0f s", len(history), sum(epoch.seconds for epoch in history))
    whole = embed(encoder, told)
    methods[f"{ENCODER}{suffix}"] = by_cosine(whole)
    if not with_gaps:
        return methods
    half = embed(encoder, _without_half(told, made.encodings.layout, seed=settings.seed))
    methods[f"{ENCODER}{suffix}, half of the query's features missing"] = _by_cosine_of(half, whole)
    methods[f"{ENCODER}{suffix}, half of all songs' features missing"] = by_cosine(half)
    return methods


def _suffix(inputs: Sequence[str]) -> str:
    return " + ".join(["", *[name.replace("_", " ") for name in inputs]])


def _without_half(inputs: Floats, layout: InputLayout, *, seed: int) -> Floats:
    """Return the inputs with half of the audio features of each song marked as missing."""
    order = np.random.default_rng(seed).random((len(inputs), len(FEATURES))).argsort(axis=1)
    # Sources beyond the features are optional inputs, which stay.
    missing = np.zeros((len(inputs), layout.n_sources), dtype=np.bool_)
    missing[:, : len(FEATURES)] = order < len(FEATURES) // 2
    return layout.hide(inputs, missing)


def _by_cosine_of(queries: Floats, candidates: Floats) -> Scorer:
    asked, offered = (torch.nn.functional.normalize(torch.from_numpy(v), dim=1) for v in (queries, candidates))
    return lambda rows: asked[rows] @ offered.T


def _random_vectors(n: int, *, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, 16), dtype=np.float32)


def _mean_by(groups: Ints, values: Doubles) -> Doubles:
    _, which = np.unique(groups, return_inverse=True)
    known = ~np.isnan(values)
    total = np.bincount(which, weights=np.where(known, values, 0.0))
    n_known = np.bincount(which, weights=known)
    means = np.divide(total, n_known, out=np.full(len(total), np.nan), where=n_known > 0)
    by_song: Doubles = means[which]
    return by_song
