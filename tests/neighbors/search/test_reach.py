"""The rule by which queries look, chosen on one sample and judged on another whose law is known."""

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.leaders import fit_leaders
from musicrec.neighbors.search.reach import Needs, Reach, candidate_reaches, same_reach
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.search.tune import Queries, needs_of, pairs_of, tune
from musicrec.neighbors.search.voronoi import Voronoi
from tests.neighbors.search.test_hashing import cells_by_query, unit

K = 10
N = 24_000


def planted(n: int, seed: int) -> Needs:
    """Queries that need about half the scale and the distance to their leader; in sparse surroundings more."""
    rng = np.random.default_rng(seed)
    own, scale = rng.uniform(0.1, 1.0, n), rng.uniform(1.0, 1.2, n)
    tau = (0.5 + own[:, None]) * rng.uniform(0.0, 1.0, (n, K))
    required = np.where(rng.random((n, K)) < 0.2, 0.0, 0.5 * own[:, None] + tau * scale[:, None])
    return Needs(required, np.ones((n, K), dtype=bool), own, scale)


def tenths_of(recalls: np.ndarray, by: np.ndarray) -> np.ndarray:
    return np.array([recalls[rows].mean() for rows in np.array_split(np.argsort(by), 10)])


@pytest.fixture(scope="module")
def uneven() -> tuple[np.ndarray, Voronoi, Queries, Queries, np.ndarray]:
    """Vectors of uneven density, their cells, queries to choose by and to judge, and the reach of the latter."""
    rng = np.random.default_rng(4)
    centers, spread = rng.standard_normal((300, 8)), np.exp(rng.uniform(np.log(0.05), np.log(0.2), 300))
    sizes = rng.pareto(1.5, 300) + 1.0
    cluster = rng.choice(300, N, p=sizes / sizes.sum())
    latent = centers[cluster] + spread[cluster, None] * rng.standard_normal((N, 8))
    vectors = np.tanh(latent @ rng.standard_normal((8, 16)) / 3.0)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    family = Voronoi(fit_leaders(vectors, n_leaders=400, seed=0), same_reach(np.inf), 400)
    keys, cells = np.arange(N), family.assign(vectors)[:, 0]
    songs = Items(keys, keys[:, None], vectors)
    drawn = rng.permutation(N)[:4000]
    lists = exact_nearest(songs.take(drawn), songs, k=K, space=Space())
    queries = [
        Queries(vectors[drawn[half]], cells[lists.keys[half]]) for half in (slice(0, 2000), slice(2000, 4000))
    ]
    return np.bincount(cells, minlength=400), family, *queries, -lists.scores[2000:, -1]


@pytest.mark.parametrize("target", [0.9, 0.95, 0.98])
@pytest.mark.parametrize("seed", range(3))
def test_each_tenth_reaches_the_target_on_another_sample(target: float, seed: int) -> None:
    judged = planted(20_000, seed=100)
    for reach in next(candidate_reaches(planted(2000, seed), target_recall=target)):
        recalls = judged.recalls(reach.of(judged.own, judged.scale))
        assert recalls.mean() >= target
        assert tenths_of(recalls, judged.own).min() > target - 0.75 * (1.0 - target)
    one = list(candidate_reaches(planted(2000, seed), target_recall=target))[-1][0]
    assert tenths_of(judged.recalls(one.of(judged.own, judged.scale)), judged.own).min() < target - 0.02


def test_candidates_run_from_even_to_one_tau_for_all() -> None:
    needs = planted(2000, 0)
    least = []
    for reaches in candidate_reaches(needs, target_recall=0.95):
        for reach in reaches:
            assert needs.recall(reach).lower >= 0.95
        least.append(tenths_of(needs.recalls(reaches[0].of(needs.own, needs.scale)), needs.own).min())
    assert least == sorted(least, reverse=True)
    assert (len(reaches[0].taus), reaches[0].own_share) == (1, 0.0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), n=st.integers(1, 400), target=st.floats(0.5, 0.99))
def test_a_sample_of_any_size_reaches_the_target_where_it_can(seed: int, n: int, target: float) -> None:
    needs = planted(n, seed)
    for reaches in candidate_reaches(needs, target_recall=target):
        for reach in reaches:
            longest = needs.recall(same_reach(1e9)).lower
            assert needs.recall(reach.rounded_up()).lower >= min(target, longest)


def test_a_higher_target_never_finds_less() -> None:
    needs = planted(1000, 0)
    by_target = [list(candidate_reaches(needs, target_recall=target)) for target in (0.8, 0.95, 0.99)]
    for less, more in pairwise(by_target):
        for few, many in zip(chain(*less), chain(*more), strict=True):
            assert (few.of(needs.own, needs.scale) <= many.of(needs.own, needs.scale)).all()


def test_neighbors_that_no_reach_finds_leave_the_longest_that_does() -> None:
    required = np.full((100, K), np.inf)
    required[:, :5] = 0.25
    needs = Needs(required, np.ones((100, K), dtype=bool), np.full(100, 0.1), np.ones(100))
    for reaches in candidate_reaches(needs, target_recall=0.9):
        for reach in reaches:
            np.testing.assert_allclose(reach.of(needs.own, needs.scale), 0.25)
            assert needs.recall(reach.rounded_up()).mean == 0.5


def test_what_does_not_exist_is_not_looked_for() -> None:
    needs = planted(500, 0)
    known = np.ones((500, K), dtype=bool)
    known[:, K // 2 :], known[::7] = False, False
    needs = Needs(np.where(known, needs.required, np.inf), known, needs.own, needs.scale)
    for reaches in candidate_reaches(needs, target_recall=0.95):
        assert all(needs.recall(reach).lower >= 0.95 for reach in reaches)


@pytest.mark.parametrize("target", [0.95, 0.98])
def test_recall_of_uneven_vectors_is_even_for_no_more_pairs(uneven, target: float) -> None:
    n_items, family, chosen, judged, density = uneven
    tuned, recall = tune(family, chosen, target_recall=target, n_items=n_items)
    assert recall.lower >= target
    one = list(candidate_reaches(needs_of(family, chosen), target_recall=target))[-1][0]
    needs = needs_of(family, judged)
    far = np.stack([reach.of(needs.own, needs.scale) for reach in (tuned.reach, one)], axis=1)
    pairs = pairs_of(family, judged, far, n_items=n_items)
    assert pairs[0] <= pairs[1]
    even, uneven_recall = (tenths_of(needs.recalls(column), density) for column in far.T)
    assert even.mean() > target - 0.003
    assert even.min() > target - 2.0 * (1.0 - target)
    assert even.min() > uneven_recall.min()


def test_what_a_query_asks_does_not_depend_on_the_others() -> None:
    vectors = unit(2500, 16)
    leaders = fit_leaders(unit(2000, 16, seed=1), n_leaders=700, seed=0)
    family = Voronoi(leaders, Reach(np.array([0.1, 0.3, 0.6]), np.array([0.7, 0.8]), 0.4), 600)
    asked = cells_by_query(family, vectors)
    assert cells_by_query(family, vectors[2400:]) == asked[2400:]
    assert cells_by_query(family, vectors[::-1].copy())[::-1] == asked


def test_one_tau_by_hand_is_one_tau_for_all() -> None:
    own, scale = np.linspace(0.0, 1.0, 50), np.linspace(0.5, 2.0, 50)
    np.testing.assert_array_equal(same_reach(0.75).of(own, scale), 0.75 * scale)
