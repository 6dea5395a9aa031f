from dataclasses import replace

import numpy as np
import pytest

from musicrec.neighbors.search.hashing import Exact, HashFamily, make_hyperplane
from musicrec.neighbors.search.leaders import ONE_LEVEL_LEADERS, fit_leaders, spatial_order
from musicrec.neighbors.search.reach import same_reach
from musicrec.neighbors.search.voronoi import N_GROUPS, N_NEAR, SCALE_LEADERS, Voronoi


def unit(n: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(n: int, dim: int, n_clusters: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centers, label = unit(n_clusters, dim, seed), rng.integers(0, n_clusters, n)
    vectors = centers[label] + 0.1 * rng.standard_normal((n, dim)) / np.sqrt(dim)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), label


def cells_by_query(family: HashFamily, vectors: np.ndarray) -> list[list[int]]:
    """The cells that each query asks, in the order of the rounds."""
    asked: list[list[int]] = [[] for _ in vectors]
    for probes in family.probes(vectors):
        if probes.rows is None:
            asked = [some + probes.cells.tolist() for some in asked]
            continue
        starts, rows = probes.of(np.arange(len(probes.cells)))
        for i, cell in enumerate(probes.cells.tolist()):
            for row in rows[starts[i] : starts[i + 1]].tolist():
                asked[row].append(cell)
    return asked


def test_exact_deals_evenly_keeps_equals_together_and_asks_everywhere() -> None:
    vectors = unit(4000, 3)
    family = Exact(4)
    cells = family.assign(vectors)
    assert cells.shape == (4000, 1)
    assert np.bincount(cells[:, 0], minlength=4).min() > 850
    np.testing.assert_array_equal(family.assign(vectors[::-1].copy()), cells[::-1])
    assert cells_by_query(family, vectors[:3]) == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("angle", [0.2, 0.7, 1.5, 2.5])
def test_hyperplane_collides_by_the_law(angle: float) -> None:
    """One bit agrees with probability 1 - angle / pi (Charikar 2002)."""
    family = make_hyperplane(n_tables=20_000, n_bits=1, dim=2, seed=1)
    pair = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]], dtype=np.float32)
    first, second = family.assign(pair)
    share, expected = (first == second).mean(), 1 - angle / np.pi
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 20_000)


def test_hyperplane_tables_never_share_a_cell_and_a_query_asks_its_own() -> None:
    family, vectors = make_hyperplane(n_tables=4, n_bits=3, dim=8, seed=0), unit(200, 8)
    cells = family.assign(vectors)
    assert family.n_cells == 32
    for i in range(4):
        assert ((cells[:, i] >= 8 * i) & (cells[:, i] < 8 * (i + 1))).all()
    assert cells_by_query(family, vectors) == cells.tolist()


@pytest.mark.parametrize("length", [1.0, 5.0])
def test_voronoi_cells_are_those_of_the_nearest_leader(length: float) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 6)).astype(np.float32) * np.float32(length) + 3
    family = Voronoi(fit_leaders(vectors, n_leaders=60, seed=0, spherical=False), same_reach(1.0), 60)
    distance = np.linalg.norm(vectors[:, None, :] - family.leaders.centers[None], axis=2)
    np.testing.assert_array_equal(family.assign(vectors)[:, 0], distance.argmin(axis=1))


def test_two_levels_of_leaders_hardly_ever_miss_the_nearest() -> None:
    vectors = unit(20_000, 8)
    leaders = fit_leaders(vectors, n_leaders=1500, seed=0)
    assert ONE_LEVEL_LEADERS < 1500
    assert len(leaders.first) > 2 * N_GROUPS
    assert len(leaders) == pytest.approx(1500, rel=0.05)
    assert leaders.groups[-1] == len(leaders)
    nearest = (vectors @ leaders.centers.T).argmax(axis=1)
    assert (Voronoi(leaders, same_reach(1.0), N_NEAR).assign(vectors)[:, 0] == nearest).mean() > 0.99


def test_first_level_centers_without_leaders_are_passed_over() -> None:
    leaders = fit_leaders(unit(20_000, 8), n_leaders=1500, seed=0)
    empty = np.insert(leaders.groups, 3, leaders.groups[3])
    first = np.insert(leaders.first, 3, leaders.first[2] * 1.001, axis=0)
    vectors = unit(500, 8, seed=2)
    whole = Voronoi(leaders, same_reach(1.0), N_NEAR).assign(vectors)
    padded = Voronoi(replace(leaders, first=first, groups=empty), same_reach(1.0), N_NEAR).assign(vectors)
    np.testing.assert_array_equal(padded, whole)


def test_the_leaders_next_to_a_cell_are_the_nearest() -> None:
    """Of two levels, with fewer leaders than are looked among: then none may be missed."""
    vectors = unit(20_000, 8)
    family = Voronoi(fit_leaders(vectors, n_leaders=1500, seed=0), same_reach(1.0), 64)
    centers = family.leaders.centers.astype(np.float64)
    n_cells = 0
    for _, near, _, _ in family.distances(vectors[:300], family.assign(vectors[:300])[:, 0]):
        distance = np.linalg.norm(centers - centers[near[0]], axis=1)
        np.testing.assert_allclose(distance[near], np.sort(distance)[:64], atol=1e-3)
        n_cells += 1
    assert n_cells > 100


def test_voronoi_asks_the_own_cell_and_those_within_the_reach() -> None:
    vectors = unit(3000, 6)
    family = Voronoi(fit_leaders(vectors, n_leaders=200, seed=0), same_reach(0.8), 200)
    queries = unit(50, 6, seed=1)
    centers = family.leaders.centers.astype(np.float64)
    home = family.assign(queries)[:, 0]
    for query, own, asked in zip(queries, home.tolist(), cells_by_query(family, queries), strict=True):
        assert asked[0] == own
        assert len(asked) == len(set(asked))
        next_to_own = np.argsort(np.linalg.norm(centers - centers[own], axis=1))[:SCALE_LEADERS]
        distance = np.linalg.norm(centers - query, axis=1)
        scale = distance[next_to_own].mean()
        assert set(np.flatnonzero(distance < 0.799 * scale)) <= set(asked)
        assert set(asked) <= set(np.flatnonzero(distance < 0.801 * scale)) | {own}


def test_voronoi_does_not_depend_on_the_batch() -> None:
    vectors = unit(2500, 16)
    family = Voronoi(fit_leaders(unit(2000, 16, seed=1), n_leaders=700, seed=0), same_reach(1.0), 100)
    whole, asked = family.assign(vectors), cells_by_query(family, vectors)
    np.testing.assert_array_equal(family.assign(vectors[1000:]), whole[1000:])
    np.testing.assert_array_equal(family.assign(vectors[::-1].copy()), whole[::-1])
    assert cells_by_query(family, vectors[2400:]) == asked[2400:]


def test_a_longer_reach_only_adds_cells() -> None:
    vectors, leaders = unit(300, 16), fit_leaders(unit(2000, 16, seed=1), n_leaders=40, seed=0)
    narrow, wide = (cells_by_query(Voronoi(leaders, same_reach(tau), 40), vectors) for tau in (0.8, 1.0))
    assert all(set(few) <= set(many) for few, many in zip(narrow, wide, strict=True))
    assert sum(map(len, wide)) > sum(map(len, narrow))


def test_leaders_find_planted_clusters() -> None:
    vectors, label = clustered(4000, 24, 8)
    # Five leaders per cluster: hardly a cluster is left without one of its own.
    leaders = fit_leaders(vectors, n_leaders=40, seed=0).centers
    assert leaders.shape == (40, 24)
    np.testing.assert_allclose(np.linalg.norm(leaders, axis=1), 1.0, atol=1e-5)
    nearest = (vectors @ leaders.T).argmax(axis=1)
    purity = sum(np.bincount(label[nearest == c]).max(initial=0) for c in range(40)) / len(vectors)
    assert purity > 0.9


@pytest.mark.parametrize(("n_different", "n_leaders"), [(1, 3), (2, 3), (600, 1000)])
def test_equal_vectors_share_a_cell_however_many_leaders_there_are(n_different: int, n_leaders: int) -> None:
    vectors = np.repeat(unit(n_different, 4), 3, axis=0)
    leaders = fit_leaders(vectors, n_leaders=n_leaders, seed=0)
    assert len(leaders) <= n_leaders
    cells = Voronoi(leaders, same_reach(1.0), 10).assign(vectors)[:, 0].reshape(n_different, 3)
    assert (cells == cells[:, :1]).all()


def test_what_is_near_in_space_is_near_in_order() -> None:
    points = np.random.default_rng(0).permutation(np.arange(64, dtype=np.float32))[:, None]
    order = points[spatial_order(points), 0].tolist()
    assert order in (sorted(order), sorted(order, reverse=True)) or np.abs(np.diff(order)).mean() < 6
