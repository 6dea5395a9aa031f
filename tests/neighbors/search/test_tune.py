"""Settings chosen from memberships alone, judged on other songs."""

import numpy as np
import pytest

from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.leaders import fit_leaders
from musicrec.neighbors.search.spaces import Space, distances
from musicrec.neighbors.search.tune import (
    Queries,
    choose_tau,
    intrinsic_dimension,
    recall_of,
    required_distances,
    tune,
)
from musicrec.neighbors.search.voronoi import Voronoi
from tests.neighbors.search.test_hashing import cells_by_query, clustered

N = 6000


@pytest.fixture(scope="module")
def songs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, and two groups of 800 rows."""
    vectors, _ = clustered(N, 12, 30)
    chosen, judged = np.split(np.random.default_rng(1).permutation(N)[:1600], 2)
    return vectors, chosen, judged


def as_queries(vectors: np.ndarray, rows: np.ndarray, family: Voronoi) -> Queries:
    keys = np.arange(N)
    songs = Items(keys, keys[:, None], vectors)
    lists = exact_nearest(songs.take(rows), songs, k=10, space=Space())
    return Queries(vectors[rows], family.assign(vectors)[:, 0][lists.keys])


def test_required_distances_are_what_probes_do(songs) -> None:
    vectors, chosen, _ = songs
    leaders = fit_leaders(vectors, n_leaders=40, seed=0)
    queries = as_queries(vectors, chosen[:50], Voronoi(leaders, np.inf, 40))
    required = required_distances(Voronoi(leaders, np.inf, 40), queries)
    for tau in (0.0, 0.6, 0.9):
        asked = cells_by_query(Voronoi(leaders, tau, 40), queries.vectors)
        found = [[cell in cells for cell in row] for row, cells in zip(queries.cells.tolist(), asked, strict=True)]
        np.testing.assert_array_equal(required <= tau, found)


@pytest.mark.parametrize("target", [0.9, 0.99])
def test_the_reach_meets_the_target_on_other_songs(songs, target: float) -> None:
    vectors, chosen, judged = songs
    family = Voronoi(fit_leaders(vectors[::2], n_leaders=100, seed=0), np.inf, 40)
    tuned, recall = tune(family, as_queries(vectors, chosen, family), target_recall=target)
    assert recall.lower >= target
    others = as_queries(vectors, judged, family)
    assert recall_of(required_distances(tuned, others), others.known, tau=tuned.tau).mean > target - 0.01
    met = np.mean([len(cells) for cells in cells_by_query(tuned, vectors[judged])])
    assert met < 60


def test_too_few_near_leaders_are_widened_until_the_target_is_met(songs) -> None:
    vectors, chosen, _ = songs
    narrow = Voronoi(fit_leaders(vectors, n_leaders=200, seed=0), np.inf, 2)
    tuned, recall = tune(narrow, as_queries(vectors, chosen, narrow), target_recall=0.995)
    assert recall.lower >= 0.995
    assert tuned.n_near > 2


def test_the_smallest_reach_that_is_enough() -> None:
    required = np.linspace(0.0, 1.0, 2000, dtype=np.float32).reshape(200, 10)
    known = np.ones((200, 10), dtype=bool)
    tau = choose_tau(required, known, target_recall=0.8)
    assert recall_of(required, known, tau=tau).lower >= 0.8
    assert recall_of(required, known, tau=tau - 0.001).lower < 0.8


def test_what_no_reach_finds_is_said() -> None:
    required = np.full((100, 10), np.inf, dtype=np.float32)
    required[:, :5] = 0.25
    known = np.ones((100, 10), dtype=bool)
    assert choose_tau(required, known, target_recall=0.9) == 0.25
    assert recall_of(required, known, tau=0.25).mean == 0.5


@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_intrinsic_dimension_of_a_known_one(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    low = rng.uniform(-0.5, 0.5, (20_000, dimension))
    # A flat patch of the sphere in 64 dimensions.
    flat = np.hstack([np.ones((20_000, 1)), low]) @ np.linalg.qr(rng.standard_normal((64, dimension + 1)))[0].T
    vectors = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    keys = np.arange(20_000)
    songs = Items(keys, keys[:, None], vectors)
    lists = exact_nearest(songs.take(slice(0, 300)), songs, k=20, space=Space())
    assert intrinsic_dimension(distances(lists.scores, "cosine")) == pytest.approx(dimension, rel=0.2)


def test_intrinsic_dimension_of_equal_songs_is_unknown() -> None:
    assert np.isnan(intrinsic_dimension(np.zeros((10, 10))))
