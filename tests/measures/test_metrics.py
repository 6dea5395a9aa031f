import numpy as np
import pytest

from musicrec.measures.metrics import mean_with_bound, recall_per_query, resampled_means  # fmt: skip


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
        estimate = mean_with_bound(values)
        lower, upper = np.percentile(resampled_means(values[None], n_resamples=200, seed=i), [2.5, 97.5])
        covered[0] += estimate.lower <= 0.3 <= estimate.upper
        covered[1] += lower <= 0.3 <= upper
    assert min(covered) > 270


def test_rows_are_resampled_alike() -> None:
    values = np.random.default_rng(1).random((1, 50))
    one, twice = resampled_means(np.concatenate([values, 2 * values]), n_resamples=100, seed=0)
    np.testing.assert_allclose(twice, 2 * one)
    assert one.std() == pytest.approx(values.std() / np.sqrt(50), rel=0.3)
