from itertools import combinations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from musicrec.measures.exposure import gini, k_occurrence, measure_exposure, skewness


def exposure(nearest, popularity=None, descriptions=None):
    nearest = np.array(nearest)
    n = len(nearest)
    popularity = np.full(n, np.nan) if popularity is None else np.array(popularity, dtype=float)
    descriptions = np.eye(n, dtype=np.float32) if descriptions is None else descriptions
    return measure_exposure(nearest, popularity=popularity, descriptions=descriptions)


def test_each_song_once_is_even() -> None:
    ring = exposure([[1, 2], [2, 3], [3, 0], [0, 1]])
    assert (ring.coverage, ring.gini, ring.skewness) == (1.0, 0.0, 0.0)
    assert np.isnan(ring.popular_share)
    assert np.isnan(ring.novelty_bits)


def test_a_hub_has_everything() -> None:
    hub = exposure([[-1], *[[0]] * 99])
    assert hub.coverage == 0.01
    assert hub.gini == pytest.approx(0.99)
    assert hub.skewness > 9


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60))
def test_gini_is_half_the_relative_mean_difference(counts: list[int]) -> None:
    values = np.array(counts)
    if values.sum():
        differences = np.abs(values[:, None] - values[None, :]).mean()
        assert gini(values) == pytest.approx(differences / (2 * values.mean()), abs=1e-12)
    else:
        assert gini(values) == 0.0


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60))
def test_skewness_equals_scipy(counts: list[int]) -> None:
    values = np.array(counts)
    expected = scipy.stats.skew(values) if values.std() else 0.0
    assert skewness(values) == pytest.approx(expected, abs=1e-9)


def test_k_occurrence_counts_lists() -> None:
    assert k_occurrence(np.array([[1, 2], [2, -1], [1, 0]])).tolist() == [1, 2, 2]


def test_popular_songs_get_their_share() -> None:
    n = 20
    fair = [[(i + 1) % n] for i in range(n)]
    assert exposure(fair, popularity=range(n)).popular_share == pytest.approx(0.1)
    assert exposure([[n - 1]] * n, popularity=range(n)).popular_share == 1.0
    # All equally popular: any tenth is as good.
    assert exposure([[n - 1]] * n, popularity=[7] * n).popular_share == pytest.approx(0.1)


def test_unknown_songs_are_new() -> None:
    popularity = [99, 99, 0, 0]
    known, unknown = exposure([[1], [0], [0], [0]], popularity), exposure([[2], [2], [3], [2]], popularity)
    assert known.novelty_bits == pytest.approx(-np.log2(100 / 202))
    assert unknown.novelty_bits == pytest.approx(-np.log2(1 / 202))


def test_diversity_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((12, 4)).astype(np.float32)
    lists = np.array([rng.permutation(12)[:4] for _ in range(12)])
    lists[0, 2:], lists[1, 1:] = -1, -1
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = []
    for row in lists:
        songs = row[row >= 0]
        if len(songs) > 1:
            expected.append(np.mean([1 - unit[a] @ unit[b] for a, b in combinations(songs, 2)]))
    assert exposure(lists, descriptions=vectors).diversity == pytest.approx(np.mean(expected), abs=1e-6)
    assert np.isnan(exposure([[1], [0]]).diversity)
