import numpy as np
import pytest

from musicrec.algorithms.metrics import (
    bootstrap,
    mean_with_bound,
    nearest_by_other_artists,
    recall_per_query,
    shares_a_group,
)  # fmt: skip


def as_float(*rows):
    return np.array(rows, dtype=np.float32)


def test_recall_counts_ties_as_right() -> None:
    true = as_float([0.9, 0.8, 0.8], [0.9, 0.8, np.nan], [np.nan] * 3)
    found = [as_float(0.9, 0.8, 0.8), as_float(0.9), as_float()]
    assert recall_per_query(true, found).tolist() == [1.0, 0.5, 1.0]


def test_recall_never_exceeds_one() -> None:
    assert recall_per_query(as_float([0.5, np.nan]), [as_float(0.9, 0.8, 0.7)]).tolist() == [1.0]


def test_interval_covers_the_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = [0, 0]
    for i in range(300):
        values = (rng.random(200) < 0.3).astype(float)
        for j, estimate in enumerate((mean_with_bound(values), bootstrap(values, n_resamples=200, seed=i))):
            covered[j] += estimate.lower <= 0.3 <= estimate.upper
    assert min(covered) > 270


def test_nearest_leaves_out_the_own_artist() -> None:
    vectors = as_float([1, 0], [1, 0.01], [1, 0.1], [0, 1])
    nearest = nearest_by_other_artists(vectors, np.array([1, 1, 2, 3]), k=3)
    assert nearest.tolist() == [[2, 3, -1], [2, 3, -1], [1, 0, 3], [2, 1, 0]]


def test_shares_a_group_against_sets() -> None:
    groups = [frozenset({1}), frozenset({1, 2}), frozenset()]
    assert shares_a_group(np.array([[1, 2], [0, -1], [0, 1]]), groups).tolist() == [
        [True, False],
        [True, False],
        [False, False],
    ]


def test_bootstrap_of_one_value() -> None:
    assert bootstrap(np.array([0.25]), n_resamples=100, seed=0).mean == pytest.approx(0.25)
