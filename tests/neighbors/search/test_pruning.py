import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.neighbors.search.pruning import can_hold, radii, reach_within
from musicrec.neighbors.search.rules import ListRules


def test_reach_is_that_of_the_kth_recording() -> None:
    points = np.array([[0.0], [1.0], [1.5], [2.0], [7.0]], dtype=np.float32)
    recordings, own = np.array([5, 8, 8, 9, 3])[:, None], np.array([5])
    origin = np.zeros(1, dtype=np.float32)
    # The first is a release of the query itself, the third one of the second.
    assert [reach_within(origin, own, points, recordings, k=k, rules=ListRules()) for k in (1, 2, 3)] == [
        1.0,
        2.0,
        7.0,
    ]
    assert reach_within(origin, own, points, recordings, k=4, rules=ListRules()) == np.inf


@given(st.integers(1, 6), st.integers(1, 5), st.integers(2, 12), st.integers(0, 999), st.sampled_from([0.0, 1e4]))
@settings(max_examples=60, deadline=None)
def test_no_neighbor_is_in_a_cell_that_was_ruled_out(
    k: int, n_cells: int, dim: int, seed: int, far: float
) -> None:
    """Also far from the origin, where squares of distances lose their last digits."""
    rng = np.random.default_rng(seed)
    leaders = (rng.standard_normal((n_cells, dim)) + far).astype(np.float32)
    cell = np.sort(np.concatenate([np.arange(n_cells), rng.integers(0, n_cells, 120)]))
    points = (leaders[cell] + 0.3 * rng.standard_normal((len(cell), dim))).astype(np.float32)
    queries = (leaders[rng.integers(0, n_cells, 20)] + 0.3 * rng.standard_normal((20, dim))).astype(np.float32)
    names, nobody = np.arange(len(cell))[:, None], np.array([-1])
    reach = np.array(
        [reach_within(query, nobody, points[::2], names[::2], k=k, rules=ListRules()) for query in queries]
    )
    holds = can_hold(queries, reach, leaders, radii(points, leaders, np.searchsorted(cell, np.arange(n_cells))))
    apart = np.linalg.norm(queries[:, None].astype(float) - points[None].astype(float), axis=2)
    nearest = np.argsort(apart, axis=1)[:, :k]
    assert all(holds[cell[nearest[i]], i].all() for i in range(20))


def test_far_cells_are_ruled_out() -> None:
    leaders = np.array([[0.0, 0.0], [10.0, 0.0]], dtype=np.float32)
    points = np.array([[0.0, 1.0], [10.0, 2.0]], dtype=np.float32)
    radius = radii(points, leaders, np.array([0, 1]))
    assert radius.tolist() == [1.0, 2.0]
    queries = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    holds = can_hold(queries, np.array([6.9, 7.1]), leaders, radius)
    assert holds.tolist() == [[True, True], [False, True]]


def test_without_a_reach_every_cell_can_hold_a_neighbor() -> None:
    leaders = np.array([[1e3, 0.0]], dtype=np.float32)
    assert can_hold(np.zeros((1, 2), np.float32), np.array([np.inf]), leaders, np.zeros(1)).all()
