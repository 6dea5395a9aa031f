import numpy as np
import pytest

from musicrec.neighbors.search import nearest_centers
from musicrec.neighbors.search.nearest_centers import nearest_among


def shift_of(centers: np.ndarray) -> np.ndarray:
    return ((centers * centers).sum(axis=1) / -2).astype(np.float32)


# The tiles hold 1,024: of 700 all are in one, of 5,000 the kept ones overflow more than once.
@pytest.mark.parametrize(("n_centers", "n_near"), [(700, 64), (5000, 64), (5000, 700), (90, 90), (1, 1)])
def test_the_nearest_are_those_by_hand(n_centers: int, n_near: int) -> None:
    centers = np.random.default_rng(n_centers).standard_normal((n_centers, 12)).astype(np.float32)
    own = np.random.default_rng(1).integers(0, n_centers, 130)
    found = nearest_among(centers[own], own, centers, shift_of(centers), n_near)
    exact = np.linalg.norm(centers[own].astype(np.float64)[:, None] - centers.astype(np.float64)[None], axis=2)
    # Single precision may swap two that are equally far.
    nearest = np.sort(exact, axis=1)[:, :n_near]
    np.testing.assert_allclose(np.take_along_axis(exact, found, axis=1), nearest, atol=1e-3)
    assert (found[:, 0] == own).all()
    assert all(len(set(row)) == n_near for row in found.tolist())


def test_of_equal_ones_the_first_are_kept() -> None:
    centers = np.repeat(np.eye(3, dtype=np.float32), [1500, 2, 1500], axis=0)
    own = np.array([1501, 2000])
    found = nearest_among(centers[own], own, centers, shift_of(centers), 5)
    assert found[0].tolist() == [1501, 1500, 0, 1, 2]
    assert found[1].tolist() == [2000, 1502, 1503, 1504, 1505]


def test_a_point_does_not_depend_on_the_others() -> None:
    centers = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    own = np.arange(100)
    whole = nearest_among(centers[own], own, centers, shift_of(centers), 20)
    for some in (own[70:], own[::-1]):
        np.testing.assert_array_equal(
            nearest_among(centers[some], some, centers, shift_of(centers), 20), whole[some]
        )


def test_the_own_center_comes_first_where_products_overflow() -> None:
    centers = np.random.default_rng(0).standard_normal((2000, 4)).astype(np.float32) * np.float32(1e25)
    with np.errstate(over="ignore", invalid="ignore"):
        found = nearest_among(centers[:3], np.arange(3), centers, shift_of(centers), 10)
    assert found[:, 0].tolist() == [0, 1, 2]
    assert all(len(set(row)) == 10 and set(row) <= set(range(2000)) for row in found.tolist())
    assert len(centers) > nearest_centers.TILE
