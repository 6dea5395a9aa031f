"""Raw audio features → model inputs.

A network of a few hundred units spends them badly on undoing the shapes of its inputs, so they are undone
here: skewed shares go through a logarithm, tempo and duration too (ratios are what one hears), the key
stands on the circle of fifths with minor keys at their relative major (C major and A minor share their
notes), and the tempo also as an angle that doubling does not change (85 and 170 BPM are one beat). Each
feature has a mask that is 1 where it was missing; its inputs are then 0, the mean of the catalog.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.songs import FEATURES

Array = NDArray[np.float64]

LINEAR = ("danceability", "energy", "loudness", "valence")
# Shares that pile up at 0; the offset is where the measurement ends.
SKEWED = {"speechiness": 0.01, "acousticness": 0.001, "instrumentalness": 0.0001, "liveness": 0.01}
RATIOS = ("tempo", "duration_ms")
STANDARDIZED = (*LINEAR, *SKEWED, *RATIOS)

# A single song must not stretch the scale of all others, and the net must not extrapolate far.
MAX_DEVIATIONS = 4.0

N_INPUTS = len(STANDARDIZED) + 2 + 1 + 2 + len(FEATURES)
INPUT_NAMES = (
    *STANDARDIZED,
    "key_cos",
    "key_sin",
    "mode",
    "tempo_cos",
    "tempo_sin",
    *[f"{name}_missing" for name in FEATURES],
)


@dataclass(frozen=True)
class Encodings:
    """Center and scale of each standardized input, after its transform, in the order of `STANDARDIZED`."""

    centers: tuple[float, ...]
    scales: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Encodings:
        """Return the encodings that `as_dict` wrote."""
        return cls(centers=tuple(plain["centers"]), scales=tuple(plain["scales"]))


def fit_encodings(raw: Array) -> Encodings:
    """Learn centers and scales.

    Parameters
    ----------
    raw : float64 array, shape (n, 12)
        Features in the order and units of `songs.FEATURES`; NaN is missing. The result does not depend on
        the order of the rows up to rounding, so give them in a fixed order.

    Returns
    -------
    Encodings
        Mean and standard deviation over the known values; 0 and 1 where a feature is never known or
        constant.
    """
    centers, scales = [], []
    for values in _transformed(raw):
        known = values[~np.isnan(values)]
        center = float(known.mean()) if known.size else 0.0
        spread = float(known.std()) if known.size else 0.0
        # Differences below rounding are no information.
        floor = 1e-6 * max(1.0, abs(center))
        centers.append(center)
        scales.append(spread if spread > floor else 1.0)
    return Encodings(centers=tuple(centers), scales=tuple(scales))


def encode(raw: Array, *, encodings: Encodings) -> NDArray[np.float32]:
    """Return the model inputs.

    Parameters
    ----------
    raw : float64 array, shape (n, 12)
        Features in the order and units of `songs.FEATURES`; NaN is missing.
    encodings : Encodings
        What `fit_encodings` learned.

    Returns
    -------
    float32 array, shape (n, N_INPUTS)
        Finite; standardized inputs lie in [-4, 4]. Each row depends on its own song alone.
    """
    standardized = [
        np.clip((values - center) / scale, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        for values, center, scale in zip(_transformed(raw), encodings.centers, encodings.scales, strict=True)
    ]
    mode = _column(raw, "mode")
    key_angle = fifths_angle(_column(raw, "key"), mode)
    tempo_angle = octave_angle(_column(raw, "tempo"))
    columns = [
        *standardized,
        np.cos(key_angle),
        np.sin(key_angle),
        2.0 * mode - 1.0,
        np.cos(tempo_angle),
        np.sin(tempo_angle),
    ]
    known = np.nan_to_num(np.stack(columns, axis=1), nan=0.0)  # (n, N_INPUTS - 12)
    return np.concatenate([known, np.isnan(raw)], axis=1).astype(np.float32)


def fifths_angle(key: Array, mode: Array) -> Array:
    """Return the angle on the circle of fifths, in radians, of pitch class `key` (0..11) in `mode`.

    A minor key (mode 0) stands at its relative major, three semitones up; an unknown mode counts as major.
    """
    tonic = np.where(mode == 0.0, key + 3.0, key)
    return 2.0 * np.pi * np.mod(7.0 * tonic, 12.0) / 12.0


def octave_angle(tempo_bpm: Array) -> Array:
    """Return an angle in radians that is the same for a tempo, its double and its half."""
    return 2.0 * np.pi * np.log2(tempo_bpm)


def _transformed(raw: Array) -> list[Array]:
    skewed = [np.log(_column(raw, name) + offset) for name, offset in SKEWED.items()]
    return [
        *[_column(raw, name) for name in LINEAR],
        *skewed,
        *[np.log2(_column(raw, name)) for name in RATIOS],
    ]


def _column(raw: Array, name: str) -> Array:
    return raw[:, FEATURES.index(name)]
