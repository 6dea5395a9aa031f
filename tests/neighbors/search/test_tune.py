"""Settings chosen from memberships alone, judged on other songs."""

import numpy as np
import pytest

from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.leaders import fit_leaders
from musicrec.neighbors.search.reach import Reach, same_reach
from musicrec.neighbors.search.rules import ListRules, find_broken
from musicrec.neighbors.search.spaces import Space, distances
from musicrec.neighbors.search.tune import Queries, intrinsic_dimension, needs_of, pairs_of, tune
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


def items_of_cells(family: Voronoi, vectors: np.ndarray) -> np.ndarray:
    return np.bincount(family.assign(vectors)[:, 0], minlength=family.n_cells)


def test_needs_and_pairs_are_what_probes_do(songs) -> None:
    vectors, chosen, _ = songs
    family = Voronoi(fit_leaders(vectors, n_leaders=40, seed=0), same_reach(np.inf), 40)
    queries, n_items = as_queries(vectors, chosen[:50], family), items_of_cells(family, vectors)
    needs = needs_of(family, queries)
    uneven = Reach(np.array([-0.1, 0.2, 0.4]), np.quantile(needs.own, [0.3, 0.6]), 0.7)
    for reach in (same_reach(0.0), same_reach(0.6), same_reach(0.9), uneven):
        asked = cells_by_query(Voronoi(family.leaders, reach, 40), queries.vectors)
        found = [[cell in cells for cell in row] for row, cells in zip(queries.cells.tolist(), asked, strict=True)]
        far = reach.of(needs.own, needs.scale)
        np.testing.assert_array_equal(needs.required <= far[:, None], found)
        met = np.mean([n_items[cells].sum() for cells in asked])
        assert pairs_of(family, queries, far[:, None], n_items=n_items)[0] == pytest.approx(met)


@pytest.mark.parametrize("target", [0.9, 0.99])
def test_the_reach_meets_the_target_on_other_songs(songs, target: float) -> None:
    vectors, chosen, judged = songs
    family = Voronoi(fit_leaders(vectors[::2], n_leaders=100, seed=0), same_reach(np.inf), 40)
    n_items = items_of_cells(family, vectors)
    tuned, recall = tune(family, as_queries(vectors, chosen, family), target_recall=target, n_items=n_items)
    assert recall.lower >= target
    assert needs_of(tuned, as_queries(vectors, judged, family)).recall(tuned.reach).mean > target - 0.01
    met = np.mean([len(cells) for cells in cells_by_query(tuned, vectors[judged])])
    assert met < 60


@pytest.mark.parametrize("target", [0.9, 0.98])
def test_lists_under_rules_reach_the_target_where_queries_ask_few_cells(songs, target: float) -> None:
    """Artists of 60 songs, a fifth of all songs barred: the truth is that under the rules, and so is the reach."""
    vectors, chosen, judged = songs
    rng = np.random.default_rng(3)
    rules = ListRules(((1, 0), (2, 1)), bars=True, always=1, unless_own=4, years_apart=10)
    traits, years = rng.choice([0, 1, 4], N, p=[0.8, 0.1, 0.1]), rng.integers(1980, 2020, N)
    facts = np.column_stack([np.arange(N), rng.integers(0, N // 60, N), traits, years])
    items = Items(np.arange(N), facts, vectors)
    family = Voronoi(fit_leaders(vectors[::2], n_leaders=100, seed=0), same_reach(np.inf), 40)
    home = family.assign(vectors)[:, 0]
    truth = exact_nearest(items.take(chosen), items, k=10, rules=rules, space=Space())
    queries = Queries(vectors[chosen], np.where(truth.keys < 0, -1, home[truth.keys]))
    tuned, _ = tune(family, queries, target_recall=target, n_items=items_of_cells(family, vectors))
    expected = exact_nearest(items.take(judged), items, k=10, rules=rules, space=Space())
    hits = []
    for row, cells, best in zip(judged, cells_by_query(tuned, vectors[judged]), expected.scores, strict=True):
        met = items.take(np.flatnonzero(np.isin(home, list(cells))))
        found = exact_nearest(items.take(slice(row, row + 1)), met, k=10, rules=rules, space=Space())
        hits.append(np.mean(found.scores[0] >= best[-1]))
        places = facts[found.keys[0, found.keys[0] >= 0]]
        assert not find_broken(rules, np.array([0, len(places)]), places, facts[[row]]).any()
    assert np.mean(hits) > target - 0.01


def test_too_few_near_leaders_are_widened_until_the_target_is_met(songs) -> None:
    vectors, chosen, _ = songs
    narrow = Voronoi(fit_leaders(vectors, n_leaders=200, seed=0), same_reach(np.inf), 2)
    n_items = items_of_cells(narrow, vectors)
    tuned, recall = tune(narrow, as_queries(vectors, chosen, narrow), target_recall=0.995, n_items=n_items)
    assert recall.lower >= 0.995
    assert tuned.n_near > 2


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
