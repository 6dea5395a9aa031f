"""Metrics against float64 by hand, and the reductions that hashing relies on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest, pair_scores
from musicrec.neighbors.search.spaces import Space, as_stored, distances
from tests.oracles import best_scores, scores_by_hand

METRICS = ("cosine", "dot", "euclidean")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_nearest_are_those_by_hand(metric: str, offset: float) -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((700, 12)) * rng.uniform(0.5, 2.0, (700, 1)) + offset).astype(np.float32)
    keys = np.arange(700)
    songs = Items(keys, keys[:, None], vectors)
    space = Space(metric, max_norm=float(np.linalg.norm(vectors, axis=1).max()), vector_type="<f4")
    lists = exact_nearest(songs, songs, k=5, space=space)
    exact = scores_by_hand(vectors, metric)
    # Cosines are rounded to six digits; the others are as exact as their type.
    np.testing.assert_allclose(lists.scores, best_scores(vectors, metric, k=5), rtol=1e-6, atol=1.1e-6)
    np.testing.assert_allclose(np.take_along_axis(exact, lists.keys, axis=1), lists.scores, rtol=1e-6, atol=1.1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_score_does_not_depend_on_its_block(metric: str) -> None:
    a, b = (np.random.default_rng(i).standard_normal((300, 33)).astype(np.float32) for i in (0, 1))
    space = Space(metric, vector_type="<f4")
    whole = pair_scores(a, b, space)
    np.testing.assert_array_equal(
        np.concatenate([pair_scores(a[i : i + 1], b[i : i + 1], space) for i in range(300)]), whole
    )


def test_what_is_stored_is_what_is_compared() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 7))
    halves, rounded = as_stored(vectors, "<f2")
    assert halves.dtype == np.float16
    np.testing.assert_array_equal(halves, vectors.astype(np.float32).astype(np.float16))
    np.testing.assert_array_equal(rounded, halves.astype(np.float32))
    np.testing.assert_array_equal(as_stored(vectors, "<f4")[0], vectors.astype(np.float32))


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), d=st.integers(2, 9))
def test_the_largest_product_is_the_smallest_distance(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((n, d)) * rng.uniform(0.1, 3.0, (n, 1))).astype(np.float32)
    space = Space("dot", max_norm=float(np.linalg.norm(vectors, axis=1).max()))
    found, asking = space.as_found(vectors), space.as_asking(vectors)
    assert asking is not None
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), space.max_norm, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(asking, axis=1), space.max_norm, rtol=1e-4)
    squared = ((asking[:, None, :].astype(np.float64) - found[None]) ** 2).sum(axis=2)
    # |q - x|^2 = 2 M^2 - 2 (M / |q|) <q, x>: falling in the product.
    lengths = np.linalg.norm(vectors, axis=1)[:, None]
    expected = 2 * space.max_norm**2 - 2 * space.max_norm / lengths * scores_by_hand(vectors, "dot")
    np.testing.assert_allclose(squared, expected, rtol=1e-3, atol=1e-3)


def test_distances_of_scores() -> None:
    scores = np.array([[1.0, 0.5, -1.0]], dtype=np.float32)
    np.testing.assert_allclose(distances(scores, "cosine"), [[0.0, 1.0, 2.0]])
    np.testing.assert_allclose(distances(np.array([[-3.0]], dtype=np.float32), "euclidean"), [[3.0]])
    assert np.isnan(distances(scores, "dot")).all()
