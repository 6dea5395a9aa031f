"""What "near" means: cosine, inner product or Euclidean distance; and where a vector stands when it is hashed.

Cells divide Euclidean space. For the cosine that is the unit sphere; for the inner product, base vectors
get one more dimension that makes them equally long, sqrt(M^2 - |x|^2), which turns the largest product into the
smallest distance (Bachrach et al., RecSys 2014). A query then stands elsewhere than the same item as an answer.

Products of single precision only propose pairs. By how much one may be off is bounded by the number of its terms,
the unit roundoff and the lengths (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from musicrec.arrays import Doubles, Floats, Reals

Metric = Literal["cosine", "dot", "euclidean"]
METRICS: tuple[Metric, ...] = ("cosine", "dot", "euclidean")

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

    def as_found(self, vectors: Floats) -> Floats:
        """Return where vectors (n, d) stand as answers: (n, d), for "dot" (n, d + 1)."""
        if self.metric == "cosine":
            return _unit(vectors)
        if self.metric == "euclidean":
            return vectors
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)  # (n,)
        rest = np.sqrt(np.maximum(0.0, self.max_norm**2 - lengths**2))  # (n,)
        return np.column_stack([vectors, rest.astype(np.float32)])

    def as_asking(self, vectors: Floats) -> Floats | None:
        """Return where they stand as queries, None where that is the same place."""
        if self.metric != "dot":
            return None
        return np.column_stack([_unit(vectors) * np.float32(self.max_norm), np.zeros(len(vectors), np.float32)])


def as_stored(vectors: Reals, vector_type: str) -> tuple[Reals, Floats]:
    """Return vectors (n, d) in the type that they travel in, and the same values in single precision."""
    points = torch.from_numpy(np.array(vectors, dtype=np.float32, order="C"))
    if vector_type != "<f2":
        return points.numpy(), points.numpy()
    halves = points.half()
    return halves.numpy(), halves.float().numpy()


UNIT_ROUNDOFF = 2.0**-24


@dataclass(frozen=True)
class Frame:
    """What turns scores into products of single precision.

    Attributes
    ----------
    metric : {"cosine", "dot", "euclidean"}
    center : float32 array, shape (d,)
        Subtracted first where distances are compared: they do not change, and products of shorter vectors lose
        fewer digits. Else zero.
    longest : float
        No centered vector is longer.
    """

    metric: Metric
    center: Floats
    longest: float

    def factors(self, vectors: Tensor, *, asking: bool) -> Tensor:
        """Return float32 vectors (n, d) as they are multiplied: (n, d), for "euclidean" (n, d + 1).

        There the product is minus half the squared distance plus half the squared length of the query.
        """
        if self.metric == "cosine":
            # Half-precision vectors are off unit length by up to 1e-4, more than near neighbors differ.
            return normalize(vectors, dim=1)
        if self.metric == "dot":
            return vectors
        moved = vectors - torch.from_numpy(self.center)  # (n, d)
        last = torch.ones(len(moved), 1) if asking else (moved * moved).sum(dim=1, keepdim=True) / -2  # (n, 1)
        return torch.cat([moved, last], dim=1)

    def offsets(self, vectors: Tensor) -> tuple[Floats, Floats]:
        """Return for queries (n, d) what a product has beyond its score, and how far it may be off.

        Returns
        -------
        float32 arrays, shape (n,)
            Half the squared length for "euclidean", else 0; and a bound of the rounding errors.
        """
        lengths = (vectors - torch.from_numpy(self.center)).norm(dim=1).numpy()  # (n,)
        if self.metric == "cosine":
            lengths = np.ones_like(lengths)
        error = (vectors.shape[1] + 8) * UNIT_ROUNDOFF * np.square(lengths + np.float32(self.longest))
        half = np.square(lengths) / 2 if self.metric == "euclidean" else np.zeros_like(lengths)
        return half.astype(np.float32), error.astype(np.float32)


def fit_frame(sample: Floats, space: Space) -> Frame:
    """Return the frame for vectors of which (n, d) are a sample."""
    center = np.zeros(sample.shape[1], dtype=np.float32)
    if space.metric == "euclidean" and len(sample):
        center = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    longest = 1.0 if space.metric == "cosine" else space.max_norm + float(np.linalg.norm(center))
    return Frame(space.metric, center, longest)


def distances(scores: Floats, metric: Metric) -> Doubles:
    """Return the Euclidean distances that scores stand for; NaN for inner products, which have none."""
    values = scores.astype(np.float64)
    if metric == "cosine":
        return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * values))
    return -values if metric == "euclidean" else np.full_like(values, np.nan)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = normalize(torch.from_numpy(np.ascontiguousarray(vectors)).float(), dim=1).numpy()
    return unit
