import numpy as np
import pytest

from musicrec.encoder.learning.baselines import fit_discriminant, fit_quantiles, fit_whitened, fit_zscore
from musicrec.encoder.learning.batches import Positives


def raw(n: int = 400, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((n, 5)) @ rng.standard_normal((5, 5))
    return mixed * [1, 10, 100, 0.01, 1] + [0, 5, -300, 1, 0]


def test_zscores_are_standard_over_the_known() -> None:
    values = raw()
    values[::5, 1] = np.nan
    scores = fit_zscore(values)(values)
    known = scores[~np.isnan(values[:, 1]), 1]
    assert (known.mean(), known.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))
    assert (scores[::5, 1] == 0).all()


def test_whitened_has_unit_covariance_and_drops_what_is_no_dimension() -> None:
    values = np.concatenate([raw(), raw()[:, :1]], axis=1)
    white = fit_whitened(values)(values).astype(np.float64)
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(5), atol=1e-4)


def test_quantiles_are_even_whatever_the_shape() -> None:
    values = raw() ** 3
    ranks = fit_quantiles(values)(values)
    np.testing.assert_allclose(np.sort(ranks[:, 2]), (np.arange(400) + 0.5) / 400 - 0.5, atol=1e-6)
    far = fit_quantiles(values)(np.array([[-1e9, 1e9, np.nan, 0, 0]]))
    assert far[0, :3].tolist() == [-0.5, 0.5, 0.0]
    equal = fit_quantiles(np.ones((9, 1)))(np.ones((1, 1)))
    assert equal.tolist() == [[0.0]]


def test_constant_and_unknown_features_are_no_trouble() -> None:
    values = raw()
    values[:, 0], values[:, 1] = np.nan, 7.0
    for fit in (fit_zscore, fit_whitened, fit_quantiles):
        assert np.isfinite(fit(values)(values)).all()


def test_discriminant_finds_the_planted_direction() -> None:
    rng = np.random.default_rng(1)
    group = rng.integers(0, 30, 3000)
    inputs = rng.standard_normal((3000, 6)) * [1, 1, 8, 1, 1, 1]
    hidden = np.array([0, 0.6, 0, 0.8, 0, 0])
    inputs += np.outer(rng.standard_normal(30)[group] * 4, hidden)
    positives = (Positives("playlists", 1.0, np.arange(3000), group),)
    project = fit_discriminant(inputs, positives, n_components=1)
    direction = project(np.eye(6))[:, 0] - project(np.zeros((1, 6)))[0, 0]
    assert abs(direction @ hidden) / np.linalg.norm(direction) > 0.98
