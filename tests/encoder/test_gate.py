"""The gate ships whatever is better on artists that nobody has seen, and says so."""

import numpy as np
import pyarrow as pa
import pytest

from musicrec.encoder.gate import choose_encoder
from musicrec.encoder.learning.baselines import Affine
from musicrec.encoder.learning.batches import Positives, TrainingSet
from musicrec.encoder.learning.inputs import InputLayout
from musicrec.encoder.learning.model import Encoder, embed, make_linear
from musicrec.encoder.sample import Songs

N, DIM = 1200, 6
NAMES = [f"value {i}" for i in range(DIM)]
LAYOUT = InputLayout(n_numeric=DIM, source=np.arange(DIM), is_mask=np.zeros(DIM, dtype=bool))


def encoder_that_sees(*columns: int) -> Encoder:
    return make_linear(Affine(np.zeros(DIM), np.eye(DIM)[:, list(columns)]))


def planted(
    *, judged_by: str = "a playlist", n_artists: int = 300
) -> tuple[Songs, np.ndarray, TrainingSet, np.ndarray]:
    """Songs whose group is the direction of inputs 0 and 1, which are small beside the noise of the others."""
    rng = np.random.default_rng(8)
    group = rng.integers(0, 8, N)
    angle = 2 * np.pi * group / 8
    inputs = rng.normal(0, 3, (N, DIM)).astype(np.float32)
    inputs[:, :2] = np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.25, (N, 2))
    artist = rng.integers(0, n_artists, N)
    labeled = pa.table({"track_key": np.arange(N), "artist_key": artist, "recording_key": np.arange(N)})
    songs = Songs(labeled, inputs.astype(np.float64), None, np.arange(N), group, judged_by)
    kept = artist >= n_artists // 4
    positives = (Positives("playlists", 1.0, np.arange(kept.sum()), group[kept]),)
    learned = TrainingSet(
        inputs[kept], LAYOUT, np.arange(kept.sum()), artist[kept], np.zeros(kept.sum(), dtype=bool), positives
    )
    return songs, inputs, learned, kept


def test_a_better_encoder_is_shipped() -> None:
    songs, inputs, learned, kept = planted()
    # Fisher's directions are those of the groups as well, but for the noise that they were fitted with.
    encoder = encoder_that_sees(0, 1)
    choice = choose_encoder(encoder, songs, inputs, learned, kept=kept, names=NAMES, seed=1)
    assert choice.encoder is encoder
    assert choice.figures["shipped"] == "encoder"
    assert choice.figures["best_baseline"] == "linear discriminant"
    assert choice.figures["precision"]["encoder"]["mean"] > 0.6
    ratio = choice.figures["ratio"]
    assert choice.rival is not None
    assert 1.0 < ratio["lower"] <= ratio["mean"] <= ratio["upper"]


def test_a_worse_encoder_is_not() -> None:
    songs, inputs, learned, kept = planted()
    choice = choose_encoder(encoder_that_sees(3, 4), songs, inputs, learned, kept=kept, names=NAMES, seed=1)
    assert choice.figures["shipped"] == choice.figures["best_baseline"] == "linear discriminant"
    assert choice.figures["ratio"]["upper"] < 1.0
    assert choice.rival is not None
    assert not choice.encoder.architecture.trained
    # What is shipped is what was judged: its nearest are right.
    vectors = embed(choice.encoder, inputs)
    nearest = np.argsort(-vectors @ vectors.T, axis=1)[:, 1:11]
    right = (songs.group[nearest] == songs.group[:, None]).mean()
    assert right > 3 * np.mean(songs.group[:, None] == songs.group[None, :])


def test_equal_is_not_better() -> None:
    songs, inputs, learned, kept = planted()
    choice = choose_encoder(encoder_that_sees(3, 4), songs, inputs, learned, kept=kept, names=NAMES, seed=1)
    discriminant = choose_encoder(encoder_that_sees(3, 4), songs, inputs, learned, kept=kept, names=NAMES, seed=1)
    again = choose_encoder(discriminant.encoder, songs, inputs, learned, kept=kept, names=NAMES, seed=1)
    assert (
        again.figures["precision"]["encoder"]["mean"] == choice.figures["precision"]["linear discriminant"]["mean"]
    )
    assert again.figures["shipped"] == "linear discriminant"


@pytest.mark.parametrize(
    ("judged_by", "n_artists", "reason"),
    [("", 300, "neither playlists nor genres"), ("the genre", 4, "only 0 sampled songs")],
)
def test_what_cannot_be_judged_is_said(judged_by: str, n_artists: int, reason: str) -> None:
    # With four artists one judges alone, and its own songs are no answer.
    songs, inputs, learned, kept = planted(judged_by=judged_by, n_artists=n_artists)
    encoder = encoder_that_sees(3, 4)
    choice = choose_encoder(encoder, songs, inputs, learned, kept=kept, names=NAMES, seed=1)
    # An encoder that sees what tells nothing: unjudged it would have been published.
    assert choice.encoder is not encoder
    assert choice.figures["shipped"] == "z-scored inputs"
    assert choice.rival is None
    assert reason in choice.figures["reason"]
    scores = (inputs - inputs[kept].mean(axis=0)) / inputs[kept].std(axis=0)
    by_hand = embed(make_linear(Affine(np.zeros(DIM), np.eye(DIM))), scores)
    np.testing.assert_allclose(embed(choice.encoder, inputs), by_hand, atol=2e-3)


def test_values_that_decide_are_important() -> None:
    songs, inputs, learned, kept = planted()
    choice = choose_encoder(encoder_that_sees(0, 1, 4), songs, inputs, learned, kept=kept, names=NAMES, seed=1)
    importance = choice.figures["importance"]
    assert list(importance) == NAMES
    assert min(importance["value 0"], importance["value 1"]) > 0.2
    assert max(abs(importance[f"value {i}"]) for i in (2, 3, 5)) < 0.1
