"""Vectors that anyone can have without a network: what an encoder must beat to earn its place.

All are fitted on the songs to learn from and take any songs after that. Cosine compares them, as it does the
encoder's: z-scores, principal components (Pearson 1901), ranks, and the linear discriminant (Fisher 1936).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from musicrec.arrays import Doubles, Floats
from musicrec.encoder.learning.batches import Positives

Project = Callable[[Doubles], Floats]

# Added to the spread within groups, in shares of its mean: 12 features of a small group may lie in a plane.
RIDGE = 1e-3
MIN_SPREAD = 1e-6
# Songs that a linear map is fitted on: it has a few thousand numbers, and more songs only take memory.
MAX_FITTED = 100_000


@dataclass(frozen=True)
class Affine:
    """A linear map of what rows differ by from a center: center (d,), matrix (d, n_components)."""

    center: Doubles
    matrix: Doubles

    def __call__(self, rows: Doubles) -> Floats:
        """Map rows (n, d) to (n, n_components); NaN counts as the center."""
        vectors: Floats = (np.nan_to_num(rows - self.center) @ self.matrix).astype(np.float32)
        return vectors


def fit_zscore(raw: Doubles) -> Affine:
    """Return the map to z-scores.

    Parameters
    ----------
    raw : float64 array, shape (n, d)
        Of the songs to learn from; NaN is missing and becomes 0, the mean.
    """
    known = ~np.isnan(raw)
    n_known = np.maximum(known.sum(axis=0), 1)
    center = np.where(known, raw, 0.0).sum(axis=0) / n_known
    spread = np.sqrt((np.where(known, raw - center, 0.0) ** 2).sum(axis=0) / n_known)
    scale = np.where(spread > MIN_SPREAD, spread, 1.0)
    return Affine(center, np.diag(1 / scale))


def fit_whitened(raw: Doubles) -> Affine:
    """Return the map to principal components of unit variance, of z-scores."""
    zscore = fit_zscore(raw)
    scores = zscore(raw).astype(np.float64)  # (n, d)
    values, axes = np.linalg.eigh(scores.T @ scores / len(scores))  # (d,), (d, d)
    kept = values > MIN_SPREAD * values.max()
    whiten = axes[:, kept] / np.sqrt(values[kept])  # (d, n_kept)
    return Affine(zscore.center, zscore.matrix @ whiten)


def fit_quantiles(raw: Doubles) -> Project:
    """Return the map to ranks, -0.5..0.5, of each feature among those of the songs to learn from; 0 is missing.

    A value among equal ones gets the middle of their ranks.
    """
    ordered: list[Doubles] = [np.sort(column[~np.isnan(column)]) for column in raw.T]

    def project(rows: Doubles) -> Floats:
        ranks = [_middle_rank(column, known) for column, known in zip(rows.T, ordered, strict=True)]
        return np.nan_to_num(np.stack(ranks, axis=1)).astype(np.float32)

    return project


def fit_discriminant(inputs: Doubles, positives: tuple[Positives, ...], *, n_components: int) -> Affine:
    """Return the linear map that spreads groups most against the songs within them (Fisher 1936).

    Parameters
    ----------
    inputs : float64 array, shape (n, d)
        Without NaN.
    positives : tuple of Positives
        Groups of the songs; a song counts in each of its groups, by the weight of their kind.
    n_components : int
        At most this many directions; never more than d.
    """
    between, within = np.zeros((inputs.shape[1],) * 2), np.zeros((inputs.shape[1],) * 2)
    center = inputs.mean(axis=0)
    for kind in positives:
        rows = inputs[kind.song]
        names, group = np.unique(kind.group, return_inverse=True)
        sizes = np.bincount(group, minlength=len(names))
        sums = np.stack([np.bincount(group, column, minlength=len(names)) for column in rows.T], axis=1)
        means = (sums / sizes[:, None])[group]  # (n_rows, d)
        between += kind.weight * (means - center).T @ (means - center) / len(rows)
        within += kind.weight * (rows - means).T @ (rows - means) / len(rows)
    ridge = RIDGE * max(float(np.trace(within)) / len(within), MIN_SPREAD)
    _, axes = scipy.linalg.eigh(between, within + ridge * np.eye(len(within)))
    return Affine(center, axes[:, ::-1][:, :n_components])


def _middle_rank(column: Doubles, known: Doubles) -> Doubles:
    if not len(known):
        return np.zeros(len(column))
    rank = (np.searchsorted(known, column, "left") + np.searchsorted(known, column, "right")) / 2 / len(known)
    return np.where(np.isnan(column), np.nan, rank - 0.5)
