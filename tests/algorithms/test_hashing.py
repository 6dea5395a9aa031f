import numpy as np
import pytest

from musicrec.algorithms.hashing import Exact, Voronoi, make_hyperplane
from musicrec.algorithms.leaders import fit_leaders


def unit(n: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(n: int, dim: int, n_clusters: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centers, label = unit(n_clusters, dim, seed), rng.integers(0, n_clusters, n)
    vectors = centers[label] + 0.1 * rng.standard_normal((n, dim)) / np.sqrt(dim)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), label


def test_exact_has_one_bucket() -> None:
    assert Exact().assign(unit(5, 3)).tolist() == [[0]] * 5


@pytest.mark.parametrize("angle", [0.2, 0.7, 1.5, 2.5])
def test_hyperplane_collides_by_the_law(angle: float) -> None:
    """One bit agrees with probability 1 - angle / pi (Charikar 2002)."""
    family = make_hyperplane(n_tables=20_000, n_bits=1, dim=2, seed=1)
    pair = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]], dtype=np.float32)
    first, second = family.assign(pair)
    share, expected = (first == second).mean(), 1 - angle / np.pi
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 20_000)


def test_hyperplane_tables_never_share_a_bucket() -> None:
    buckets = make_hyperplane(n_tables=4, n_bits=3, dim=8, seed=0).assign(unit(200, 8))
    for i in range(4):
        assert ((buckets[:, i] >= 8 * i) & (buckets[:, i] < 8 * (i + 1))).all()


def test_voronoi_margin_is_the_distance_to_the_bisector() -> None:
    leaders = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    angle = np.pi / 4 - 0.1
    vector = np.array([[np.cos(angle), np.sin(angle)]], dtype=np.float32)
    leader, margin = Voronoi(leaders, 0.0, 2).margins(vector)
    assert leader.tolist() == [[0, 1]]
    unit_of_margin = np.linalg.norm(leaders - vector, axis=1).mean()
    np.testing.assert_allclose(margin, [[0.0, np.sin(0.1) / unit_of_margin]], atol=1e-6)


def test_voronoi_cells_are_those_of_the_nearest_leader_at_any_length() -> None:
    rng = np.random.default_rng(0)
    vectors, leaders = (rng.standard_normal((n, 6)).astype(np.float32) * 5 + 3 for n in (400, 30))
    nearest, margin = Voronoi(leaders, 0.0, 5).margins(vectors)
    distance = np.linalg.norm(vectors[:, None, :] - leaders[None], axis=2)
    np.testing.assert_array_equal(nearest, np.argsort(distance, axis=1)[:, :5])
    first, second = leaders[nearest[:, 0]], leaders[nearest[:, 1]]
    middle, normal = (first + second) / 2, first - second
    to_border = ((vectors - middle) * normal).sum(axis=1) / np.linalg.norm(normal, axis=1)
    scale = np.sort(distance, axis=1)[:, :8].mean(axis=1)
    np.testing.assert_allclose(margin[:, 1], to_border / scale, atol=1e-4)


@pytest.mark.parametrize(
    "family", [Voronoi(unit(10, 4, seed=1), 0.5, 6), make_hyperplane(n_tables=5, n_bits=2, dim=4, seed=0)]
)
def test_who_asks_elsewhere_is_at_home_there_and_stands_in_no_bucket_twice(family) -> None:
    vectors, asking = unit(300, 4), unit(300, 4, seed=2)
    buckets = family.assign(vectors, asking)
    home, plain = family.assign(asking)[:, : family.n_homes], family.assign(vectors)
    np.testing.assert_array_equal(buckets[:, : family.n_homes], home)
    for row, expected, first in zip(buckets, plain, home, strict=True):
        named = row[row >= 0].tolist()
        assert len(named) == len(set(named))
        assert set(named) == set(expected[expected >= 0]) | set(first)


def test_voronoi_does_not_depend_on_the_batch() -> None:
    vectors = unit(2500, 16)
    family = Voronoi(unit(40, 16, seed=1), 0.1, 8)
    whole = family.assign(vectors)
    np.testing.assert_array_equal(family.assign(vectors[1000:]), whole[1000:])
    np.testing.assert_array_equal(family.assign(vectors[::-1].copy()), whole[::-1])


def test_a_wider_margin_only_adds_buckets() -> None:
    vectors, leaders = unit(500, 16), unit(20, 16, seed=1)
    narrow, wide = (Voronoi(leaders, tau, 20).assign(vectors) for tau in (0.05, 0.2))
    for few, many in zip(narrow, wide, strict=True):
        assert set(few[few >= 0]) <= set(many[many >= 0])
    assert (wide >= 0).sum() > (narrow >= 0).sum()


def test_leaders_find_planted_clusters() -> None:
    vectors, label = clustered(4000, 24, 8)
    # Three leaders per cluster: hardly a cluster is left without one of its own.
    leaders = fit_leaders(vectors, n_leaders=24, seed=0)
    assert leaders.shape == (24, 24)
    np.testing.assert_allclose(np.linalg.norm(leaders, axis=1), 1.0, atol=1e-5)
    nearest = (vectors @ leaders.T).argmax(axis=1)
    purity = sum(np.bincount(label[nearest == c]).max(initial=0) for c in range(24)) / len(vectors)
    assert purity > 0.9


def test_leaders_need_as_many_different_vectors() -> None:
    with pytest.raises(ValueError, match="3 leaders need"):
        fit_leaders(np.repeat(unit(2, 4), 10, axis=0), n_leaders=3, seed=0)
