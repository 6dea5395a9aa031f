"""How good the encoder is beside simple methods where a catalog is small: samples of whole playlists of a catalog.

Prints P@10 on artists held out, the mean over draws, of the encoder and each simple method with the same inputs.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pyarrow as pa

from musicrec.arrays import Bools, Floats
from musicrec.config import Config, load_config
from musicrec.encoder import labels
from musicrec.encoder.gate import ENCODER, K, simple_methods
from musicrec.encoder.learning.model import Encoder, embed
from musicrec.encoder.learning.training import train_encoder
from musicrec.encoder.sample import Songs
from musicrec.encoder.training_set import prepare
from musicrec.evaluation.evaluate import load_songs
from musicrec.evaluation.protocol import is_test
from musicrec.launch import session_for
from musicrec.measures.retrieval import Collection, answer, by_cosine


def draw(songs: Songs, n: int, *, seed: int) -> Songs:
    """Return the songs of playlists in random order, until there are n; all songs where n is 0."""
    kept = np.zeros(len(songs.raw), dtype=bool)
    for group in np.random.default_rng(seed).permutation(np.unique(songs.group)):
        if kept.sum() < n:
            kept[songs.song[songs.group == group]] = True
    return songs if n == 0 else take(songs, kept)


def take(songs: Songs, kept: Bools) -> Songs:
    """Return the songs `kept` (n,), with what they share."""
    inside, position = kept[songs.song], np.cumsum(kept) - 1
    memberships = songs.memberships.filter(pa.array(inside)) if songs.memberships is not None else None
    labeled = songs.labeled.filter(pa.array(kept))
    return Songs(labeled, songs.raw[kept], memberships, position[songs.song[inside]], songs.group[inside],
                 songs.judged_by)  # fmt: skip


def judge(songs: Songs, config: Config) -> dict[str, float]:
    """Return P@k of each method on the artists of the first split."""
    first = config.evaluate.expert.first_split
    test = is_test(labels.artists_of(songs.labeled), share=config.evaluate.test_share, split=first)
    made, candidates = prepare(songs, config.model, kept=~test), songs.candidates(test)
    encoder, _ = train_encoder(made.learned, settings=config.model, on_epoch=lambda _: None)
    methods = {ENCODER: encoder, **simple_methods(made.learned, seed=config.model.seed)}
    return {name: precision(method, made.inputs[test], candidates) for name, method in methods.items()}


def precision(encoder: Encoder, inputs: Floats, candidates: Collection) -> float:
    """Return the mean P@k."""
    found = answer(by_cosine(embed(encoder, inputs)), candidates, k=K, own_artist=False)
    return float(found.measures.precision.mean())


def main() -> int:
    """Parse the command line, judge each draw and print the means."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--songs", type=int, nargs="+", default=[1000, 3000, 10_000, 0], metavar="N",
                        help="of a sample; 0 is all")  # fmt: skip
    parser.add_argument("--draws", type=int, default=5, metavar="N")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    given = parser.parse_args()
    config = load_config(overrides=given.set)
    with session_for(config.spark, app_name="few songs", reads=config.input.tracks) as session:
        songs = load_songs(session, config)
    for n in given.songs:
        found = [judge(draw(songs, n, seed=seed), config) for seed in range(given.draws if n else 1)]
        means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        ratio = means[ENCODER] / max(mean for name, mean in means.items() if name != ENCODER)
        told = ", ".join(f"{name} {mean:.4f}" for name, mean in means.items())
        print(
            f"{n or len(songs.raw)} songs, {len(found)} draws: {told}; ratio to the best {ratio:.2f}", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
