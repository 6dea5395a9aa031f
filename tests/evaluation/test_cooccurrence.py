"""Co-occurrence is given half of the playlists, and judged by the other half alone."""

import numpy as np
import pyarrow as pa

from musicrec.arrays import is_drawn
from musicrec.encoder.sample import Songs
from musicrec.evaluation.cooccurrence import COOCCURRENCE, GIVEN_SEED, GIVEN_SHARE, evaluate_known
from musicrec.measures.retrieval import by_cosine


def make_songs(song: np.ndarray, group: np.ndarray, n: int) -> Songs:
    keys = np.arange(n)
    labeled = pa.table({"track_key": keys, "artist_key": keys})
    memberships = pa.table({"track_key": keys[song], "playlist_key": group})
    return Songs(labeled, np.zeros((n, 15)), memberships, song, group, "a playlist")


def test_it_finds_the_style_of_the_playlists_and_chance_does_not() -> None:
    rng = np.random.default_rng(0)
    n, n_styles = 300, 10
    style = rng.integers(0, n_styles, n)
    song = np.repeat(np.arange(n), 8)
    group = style[song] * 100 + rng.integers(0, 30, len(song))
    chance = by_cosine(rng.standard_normal((n, 8)).astype(np.float32))
    found = evaluate_known(make_songs(song, group, n), {"chance": chance}, test=np.ones(n, dtype=bool), k=10)
    assert list(found) == [COOCCURRENCE, "chance"]
    assert found[COOCCURRENCE].precision.mean() > 4 * found["chance"].precision.mean()
    # The same queries for all.
    assert len(found[COOCCURRENCE].precision) == len(found["chance"].precision) > 200


def test_playlists_that_are_given_do_not_judge() -> None:
    names = np.arange(400)
    given = is_drawn(names, share=GIVEN_SHARE, seed=GIVEN_SEED)
    shared, asked = names[given][:40], names[~given][:80]
    # Pairs of songs share a given playlist; each song is alone in another one, and so has no right answer.
    song = np.tile(np.arange(80), 2)
    group = np.concatenate([np.repeat(shared, 2), asked])
    found = evaluate_known(make_songs(song, group, 80), {}, test=np.ones(80, dtype=bool), k=10)
    assert len(found[COOCCURRENCE].precision) == 0
    # Where the other half says the same, every answer is right.
    group[80:] = np.repeat(asked[:40], 2)
    found = evaluate_known(make_songs(song, group, 80), {}, test=np.ones(80, dtype=bool), k=1)
    assert found[COOCCURRENCE].precision.tolist() == [1.0] * 80


def test_without_playlists_there_is_nothing_to_ask() -> None:
    songs = Songs(pa.table({"track_key": [1]}), np.zeros((1, 15)), None, np.array([0]), np.array([1]), "the genre")
    assert evaluate_known(songs, {}, test=np.ones(1, dtype=bool), k=10) == {}
