"""What "near" means: cosine, inner product or Euclidean distance; and where a vector stands when it is hashed.

Buckets are cells of Euclidean space. For the cosine that is the unit sphere; for the inner product, base vectors
get one more dimension that makes them equally long, sqrt(M^2 - |x|^2), which turns the largest product into the
smallest distance (Bachrach et al., RecSys 2014). A query then stands elsewhere than the same item as an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

Metric = Literal["cosine", "dot", "euclidean"]
Vectors = NDArray[np.float32]
Scores = NDArray[np.float32]

SCORE_DIGITS = 6


@dataclass(frozen=True)
class Space:
    """A metric and what hashing needs to know of the catalog.

    Attributes
    ----------
    metric : {"cosine", "dot", "euclidean"}
    max_norm : float
        The largest length of a vector; only "dot" needs it.
    vector_type : {"<f2", "<f4"}
        How vectors travel: half precision where they have no more, a half of the bytes.
    """

    metric: Metric = "cosine"
    max_norm: float = 1.0
    vector_type: str = "<f2"

    def as_found(self, vectors: Vectors) -> Vectors:
        """Return where vectors (n, d) stand as answers: (n, d), for "dot" (n, d + 1)."""
        if self.metric == "cosine":
            return _unit(vectors)
        if self.metric == "euclidean":
            return vectors
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        rest = np.sqrt(np.maximum(0.0, self.max_norm**2 - lengths**2))
        return np.column_stack([vectors, rest.astype(np.float32)])

    def as_asking(self, vectors: Vectors) -> Vectors | None:
        """Return where they stand as queries, None where that is the same place."""
        if self.metric != "dot":
            return None
        return np.column_stack([_unit(vectors) * np.float32(self.max_norm), np.zeros(len(vectors), np.float32)])


def as_products(queries: Tensor, candidates: Tensor, metric: Metric) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return matrices q, c and a row o such that q @ c.T + o orders the candidates of each query.

    Parameters
    ----------
    queries, candidates : float32 Tensors, shapes (n_queries, d) and (n_candidates, d)

    Returns
    -------
    float32 Tensors, shapes as the inputs' and (n_candidates,); no row where it would be zero
    """
    if metric == "cosine":
        # Half-precision vectors are off unit length by up to 1e-4, more than near neighbors differ.
        queries, candidates = normalize(queries, dim=1), normalize(candidates, dim=1)
    if metric != "euclidean":
        return queries, candidates, None
    # Distances do not change when all move, and products of short vectors lose fewer digits.
    center = candidates.mean(dim=0)
    queries, candidates = queries - center, candidates - center
    return queries, candidates, (candidates * candidates).sum(dim=1) / -2


def pair_scores(left: Tensor, right: Tensor, metric: Metric = "cosine") -> Scores:
    """Return the scores of row pairs: cosine rounded to six digits, product, or minus the distance.

    Parameters
    ----------
    left, right : float32 Tensor, shape (..., d)

    Returns
    -------
    float32 array, shape (...)
        Larger is nearer; cosines in [-1, 1]. Summed in double precision: exact for half-precision vectors up
        to far below the rounding, hence the same on every machine.
    """
    a, b = left.double(), right.double()
    if metric == "euclidean":
        apart = a - b
        return (-(apart * apart).sum(dim=-1).sqrt()).numpy().astype(np.float32)
    dots = (a * b).sum(dim=-1)
    if metric == "dot":
        return dots.numpy().astype(np.float32)
    lengths = (a * a).sum(dim=-1) * (b * b).sum(dim=-1)
    cosines = (dots / lengths.sqrt().clamp_min(1e-30)).clamp(-1.0, 1.0)
    return np.round(cosines.numpy(), SCORE_DIGITS).astype(np.float32)


def distances(scores: NDArray[np.float32], metric: Metric) -> NDArray[np.float64]:
    """Return the Euclidean distances that scores stand for; NaN for inner products, which have none."""
    values = scores.astype(np.float64)
    if metric == "cosine":
        return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * values))
    return -values if metric == "euclidean" else np.full_like(values, np.nan)


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = normalize(torch.from_numpy(np.ascontiguousarray(vectors)).float(), dim=1).numpy()
    return unit
