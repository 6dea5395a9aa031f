"""Gate: is the encoder better than what anyone has? The better one is shipped.

On artists that neither has seen: right are songs that share a playlist (or, without playlists, the genre). Where
nothing tells right from wrong an encoder could be worse than none, and nobody would know: it is not shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from musicrec.arrays import Bools, Doubles, Floats
from musicrec.context import Context, log
from musicrec.encoder.judges import draw_judges
from musicrec.encoder.learning import baselines
from musicrec.encoder.learning.artists import KnownArtists
from musicrec.encoder.learning.batches import TrainingSet
from musicrec.encoder.learning.inputs import InputLayout
from musicrec.encoder.learning.model import Encoder, as_files, embed, make_linear
from musicrec.encoder.sample import Songs
from musicrec.encoder.train import Trained
from musicrec.gates import Measured
from musicrec.measures.metrics import percentile_interval, resampled_means
from musicrec.measures.retrieval import Collection, answer, by_cosine
from musicrec.storage import artifacts, datasets

# What may be shipped; the second needs no judge.
ENCODER, SIMPLEST = "encoder", "z-scored inputs"
K = 10
N_RESAMPLES = 1000
N_COMPONENTS = 64
# In place of 0 where it would divide.
MIN_PRECISION = 1e-6


@dataclass(frozen=True)
class Choice:
    """What is shipped, what it was compared with (None where nothing could be judged), and the figures."""

    encoder: Encoder
    rival: Encoder | None
    figures: dict[str, Any]


@dataclass(frozen=True)
class Shipped:
    """What embeds the catalog.

    Attributes
    ----------
    digests : dict
        SHA-256 of the encoder's files, by their names.
    figures : dict
        What the manifest says of what is shipped.
    rival : tuple of bytes, or None
        The two files of the encoder that it was compared with.
    artists : KnownArtists, optional
        The catalog's, where what they tell is an input of both.
    """

    digests: dict[str, str]
    figures: dict[str, Any]
    rival: tuple[bytes, bytes] | None
    artists: KnownArtists | None


def write_encoder(context: Context, songs: Songs, trained: Trained) -> Shipped:
    """Choose what is shipped, save it with its digests and return it.

    Parameters
    ----------
    context : Context
    songs : Songs
    trained : Trained
        On most of the songs.
    """
    with context.stage("gate", n_rows=int((~trained.kept).sum())):
        choice = _choose(songs, trained, seed=context.config.model.seed)
        if "ratio" in choice.figures:
            lower, n = choice.figures["ratio"]["lower"], choice.figures["n_queries"]
            told = f"the encoder is at least {lower:.2f} times as good as the best simple method, on {n} songs"
            context.judge([Measured("min_encoder_ratio", lower, n, told)])
        weights, description = as_files(choice.encoder, encodings=trained.encodings)
        digests = artifacts.save_encoder(
            context.run.place(datasets.MODEL), weights=weights, description=description
        )
        figures = {
            "architecture": asdict(choice.encoder.architecture),
            "sha256": digests,
            "gate": choice.figures,
        }
        rival = as_files(choice.rival, encodings=trained.encodings) if choice.rival else None
        return Shipped(digests, figures, rival, trained.artists)


def _choose(songs: Songs, trained: Trained, *, seed: int) -> Choice:
    if trained.learned is None:
        return Choice(trained.encoder, None, {"shipped": SIMPLEST, "reason": trained.why_untrained})
    if trained.kept.all():
        log.info("no song judges, as model.expert.gate_share = 0 asks: the encoder is shipped")
        return Choice(trained.encoder, None, {"shipped": ENCODER, "reason": "model.expert.gate_share is 0"})
    return choose_encoder(
        trained.encoder,
        songs,
        trained.inputs,
        trained.learned,
        kept=trained.kept,
        names=trained.encodings.source_names,
        seed=seed,
    )


def choose_encoder(
    encoder: Encoder,
    songs: Songs,
    inputs: Floats,
    learned: TrainingSet,
    *,
    kept: Bools,
    names: Sequence[str],
    seed: int,
) -> Choice:
    """Choose the encoder or the best of the simple methods; where nothing can judge, the simplest of them.

    Parameters
    ----------
    encoder : Encoder
        Trained on `learned`.
    songs : Songs
    inputs : float32 array, shape (n, n_inputs)
        Of all songs.
    learned : TrainingSet
        The songs that are `kept`.
    kept : bool array, shape (n,)
        The others judge.
    names : sequence of str
        Of the raw values that the inputs come from, as `InputLayout.source` counts them.
    seed : int
        Of the resampling and of the permutations.
    """
    judges = draw_judges(songs, kept=kept, seed=seed)
    at_gate, candidates, n_queries = judges.at_gate, judges.candidates, judges.n_queries
    simple = simple_methods(learned, seed=seed)
    if judges.why_not:
        log.warning("quality could not be judged: %s; %s are compared", judges.why_not, SIMPLEST)
        return Choice(simple[SIMPLEST], None, {"shipped": SIMPLEST, "reason": judges.why_not})
    contenders = {ENCODER: encoder, **simple}
    judged = {name: _precision(each, inputs[at_gate], candidates) for name, each in contenders.items()}
    figures = _compare(judged, seed=seed)
    log.info(
        "P@%d on %d songs of unseen artists: encoder %.4f, %s %.4f; %s is shipped",
        K, n_queries, judged[ENCODER].mean(), figures["best_baseline"],
        judged[figures["best_baseline"]].mean(), figures["shipped"],
    )  # fmt: skip
    if not figures["is_certain"]:
        log.warning("which is better is not certain: %s", told_ratio(figures["ratio"]))
    shipped, best = contenders[figures["shipped"]], contenders[figures["best_baseline"]]
    importance = _importance(shipped, inputs[at_gate], candidates, learned.layout, seed=seed)
    figures |= {"importance": dict(zip(names, importance, strict=True))}
    return Choice(
        shipped,
        best if shipped is encoder else encoder,
        {"judged_by": songs.judged_by, "k": K, "n_queries": n_queries, **figures},
    )


def told_ratio(ratio: dict[str, float]) -> str:
    """Return what a ratio with its interval says, as a text."""
    return f"{ratio['mean']:.2f} times, {ratio['lower']:.2f} to {ratio['upper']:.2f} (95 %)"


def simple_methods(learned: TrainingSet, *, seed: int) -> dict[str, Encoder]:
    """Return the linear maps that the encoder must beat, fitted on what it learned from, some songs by `seed`."""
    n_songs = len(learned.inputs)
    some = np.random.default_rng(seed).permutation(n_songs)[: baselines.MAX_FITTED]
    fitted = learned.take(np.sort(some))
    inputs = fitted.inputs.astype(np.float64)
    maps = {SIMPLEST: baselines.fit_zscore(inputs), "whitened inputs": baselines.fit_whitened(inputs)}
    if fitted.positives:
        maps["linear discriminant"] = baselines.fit_discriminant(
            inputs, fitted.positives, n_components=N_COMPONENTS
        )
    return {name: make_linear(projection) for name, projection in maps.items()}


def _precision(encoder: Encoder, inputs: Floats, candidates: Collection) -> Doubles:
    """Return P@k of each query that has a right answer."""
    vectors = embed(encoder, inputs)
    return answer(by_cosine(vectors), candidates, k=K, own_artist=False).measures.precision


def _importance(
    encoder: Encoder, inputs: Floats, candidates: Collection, layout: InputLayout, *, seed: int
) -> list[float]:
    """Return by which share P@k falls when songs swap one raw value, each in its turn (Breiman 2001)."""
    rng = np.random.default_rng(seed)
    whole = float(_precision(encoder, inputs, candidates).mean())
    falls = []
    for source in range(layout.n_sources):
        columns, mixed = layout.source == source, inputs.copy()
        mixed[:, columns] = inputs[rng.permutation(len(inputs))][:, columns]
        fallen = float(_precision(encoder, mixed, candidates).mean())
        falls.append(round(1 - fallen / max(whole, MIN_PRECISION), 4))
    return falls


def _compare(judged: dict[str, Doubles], *, seed: int) -> dict[str, Any]:
    """Return what is shipped, each method's precision, and the encoder's ratio to the best of the others."""
    names = list(judged)
    resampled = resampled_means(np.stack([*judged.values()]), n_resamples=N_RESAMPLES, seed=seed)
    means = np.array([values.mean() for values in judged.values()])
    # The encoder comes first; it must be better, not only as good.
    best = 1 + int(np.argmax(means[1:]))
    ratios = resampled[0] / np.maximum(resampled[best], MIN_PRECISION)
    ratio = percentile_interval(means[0] / max(means[best], MIN_PRECISION), ratios)
    return {
        "shipped": ENCODER if means[0] > means[best] else names[best],
        "best_baseline": names[best],
        "ratio": asdict(ratio),
        "is_certain": not ratio.lower <= 1.0 <= ratio.upper,
        "precision": {
            name: asdict(percentile_interval(mean, row))
            for name, mean, row in zip(names, means, resampled, strict=True)
        },
    }
