"""Settings chosen from memberships alone, judged on other songs."""

import numpy as np
import pytest

from musicrec.algorithms.exact import exact_nearest
from musicrec.algorithms.hashing import Voronoi
from musicrec.algorithms.kernel import Members
from musicrec.algorithms.leaders import fit_leaders
from musicrec.algorithms.metrics import Estimate
from musicrec.algorithms.spaces import distances
from musicrec.algorithms.tuning import (
    Queries,
    Setting,
    choose_setting,
    choose_tau,
    intrinsic_dimension,
    make_setting,
    recall_of,
    required_margins,
)
from tests.algorithms.test_hashing import clustered, unit

N = 6000


@pytest.fixture(scope="module")
def songs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, and two groups of 800 rows."""
    vectors, _ = clustered(N, 12, 30)
    chosen, judged = np.split(np.random.default_rng(1).permutation(N)[:1600], 2)
    return vectors, chosen, judged


def as_queries(vectors: np.ndarray, rows: np.ndarray) -> Queries:
    keys = np.arange(N)
    lists = exact_nearest(Members(keys[rows], keys[rows], vectors[rows]), Members(keys, keys, vectors), k=10)
    return Queries(vectors[rows], vectors[lists.keys], np.ones((len(rows), 10), dtype=bool))


def test_required_margins_are_what_assign_does(songs) -> None:
    vectors, chosen, _ = songs
    queries = as_queries(vectors, chosen[:50])
    family = Voronoi(fit_leaders(vectors, n_leaders=40, seed=0), 0.0, 8)
    required = required_margins(family, queries)
    for tau in (0.0, 0.02, 0.1):
        wide = Voronoi(family.leaders, tau, 8)
        home = wide.assign(queries.vectors)[:, 0]
        found = wide.assign(queries.neighbors.reshape(-1, 12)).reshape(50, 10, -1) == home[:, None, None]
        np.testing.assert_array_equal(required <= tau, found.any(axis=2))


def test_the_setting_reaches_the_target_on_other_songs(songs) -> None:
    vectors, chosen, judged = songs
    leaders = fit_leaders(vectors[::2], n_leaders=100, seed=0)
    setting = make_setting(
        leaders,
        queries=as_queries(vectors, chosen),
        sample=vectors,
        n_items=N,
        max_copies=16,
        target_recall=0.95,
    )
    assert setting.recall.lower >= 0.95
    others = as_queries(vectors, judged)
    recall = recall_of(required_margins(setting.family, others), others.known, tau=setting.family.tau)
    assert recall.mean > 0.94
    # The cost is that of the whole catalog, here known exactly.
    buckets = setting.family.assign(vectors)
    assert setting.loads.n_copies == (buckets >= 0).sum()
    home, rows = (np.bincount(b, minlength=100) for b in (buckets[:, 0], buckets[buckets >= 0]))
    assert setting.loads.n_pairs == (home * rows).sum()


def test_the_smallest_margin_that_is_enough() -> None:
    required = np.linspace(0.0, 1.0, 2000, dtype=np.float32).reshape(200, 10)
    known = np.ones((200, 10), dtype=bool)
    tau = choose_tau(required, known, target_recall=0.8)
    assert recall_of(required, known, tau=tau).lower >= 0.8
    assert recall_of(required, known, tau=tau - 0.001).lower < 0.8


def test_what_no_margin_finds_is_said(songs) -> None:
    required = np.full((100, 10), np.inf, dtype=np.float32)
    required[:, :5] = 0.25
    known = np.ones((100, 10), dtype=bool)
    assert choose_tau(required, known, target_recall=0.9) == 0.25
    assert recall_of(required, known, tau=0.25).mean == 0.5
    vectors, chosen, _ = songs
    narrow = make_setting(
        fit_leaders(vectors, n_leaders=200, seed=0),
        queries=as_queries(vectors, chosen),
        sample=vectors,
        n_items=N,
        max_copies=1,
        target_recall=0.99,
    )
    assert narrow.recall.lower < 0.99


def test_the_cheapest_that_is_enough_else_the_best(songs) -> None:
    vectors, _, _ = songs

    def setting(n_leaders: int, lower: float) -> Setting:
        family = Voronoi(unit(n_leaders, 12), 0.0, 1)
        loads = make_setting(
            family.leaders, queries=as_queries(vectors, np.arange(5)), sample=vectors, n_items=N, max_copies=1,
            target_recall=0.5, tau=0.0,
        ).loads  # fmt: skip
        return Setting(family, Estimate(lower + 0.01, lower, 1.0), loads)

    many, few = setting(60, 0.95), setting(6, 0.97)
    assert many.cost(N) < few.cost(N)
    assert choose_setting([few, many], target_recall=0.9, n_items=N) is many
    assert choose_setting([few, many], target_recall=0.96, n_items=N) is few
    assert choose_setting([few, many], target_recall=0.99, n_items=N) is few


@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_intrinsic_dimension_of_a_known_one(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    low = rng.uniform(-0.5, 0.5, (20_000, dimension))
    # A flat patch of the sphere in 64 dimensions.
    flat = np.hstack([np.ones((20_000, 1)), low]) @ np.linalg.qr(rng.standard_normal((64, dimension + 1)))[0].T
    vectors = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    keys = np.arange(20_000)
    lists = exact_nearest(Members(keys[:300], keys[:300], vectors[:300]), Members(keys, keys, vectors), k=20)
    assert intrinsic_dimension(distances(lists.scores, "cosine")) == pytest.approx(dimension, rel=0.2)


def test_intrinsic_dimension_of_equal_songs_is_unknown() -> None:
    assert np.isnan(intrinsic_dimension(np.zeros((10, 10))))
