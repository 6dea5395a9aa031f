"""Raw audio features → model inputs.

A network of a few hundred units spends them badly on undoing the shapes of its inputs, so they are undone
here: skewed shares go through a logarithm, tempo and duration too (ratios are what one hears), the key
stands on the circle of fifths with minor keys at their relative major (C major and A minor share their
notes), and the tempo also as an angle that doubling does not change (85 and 170 BPM are one beat). Each
feature has a mask that is 1 where it was missing; its inputs are then 0, the mean of the catalog.

A release date counts by its age, as a logarithm: a month tells new songs apart, ten years old ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from musicrec.arrays import Bools, Doubles, Floats, Ints
from musicrec.songs import FEATURES, RAW_INPUTS

LINEAR = ("danceability", "energy", "loudness", "valence")
# Shares that pile up at 0; the offset is where the measurement ends.
SKEWED = {"speechiness": 0.01, "acousticness": 0.001, "instrumentalness": 0.0001, "liveness": 0.01}
RATIOS = ("tempo", "duration_ms")
STANDARDIZED = (*LINEAR, *SKEWED, *RATIOS)
ANGLES = ("key_cos", "key_sin", "tempo_cos", "tempo_sin")

# One of so many at each end may be a mistake, and one more.
N_FOR_AN_EXTREME = 1000
# A single song must not stretch the scale of all others, and the net must not extrapolate far.
MAX_DEVIATIONS = 4.0

# Years added to a song's age before the logarithm: about how well a release date is known.
AGE_OFFSET = 0.1
# Genres that get an input; a song of another one has none of them.
MAX_GENRES = 32


@dataclass(frozen=True)
class InputLayout:
    """What a model needs to know of its inputs.

    n_numeric: how many of the first ones are numbers on a scale. source (n_inputs,): inputs with one number come
    from one raw value, and are missing together. is_mask (n_inputs,): it is 1
    where the value is missing; the others are 0 then.
    """

    n_numeric: int
    source: Ints
    is_mask: Bools

    @property
    def n_sources(self) -> int:
        """How many raw values there are."""
        return int(self.source.max()) + 1

    def hide(self, inputs: Floats, missing: Bools) -> Floats:
        """Return inputs (n, n_inputs) as they are where raw values are `missing` (n, n_sources)."""
        return np.where(missing[:, self.source], self.is_mask.astype(np.float32), inputs)


@dataclass(frozen=True)
class Encodings:
    """How raw values become inputs.

    Attributes
    ----------
    optional : tuple of str
        Which of `songs.OPTIONAL_INPUTS` are inputs.
    centers, scales : tuple of float
        Of `STANDARDIZED` and the numbers in `optional`, after their transforms.
    newest : float
        The last release date (decimal year) that counts, as `_without_extremes`: a song's age counts from it.
    genres : tuple of float
        The commonest genres, each with an input that is 1 where the song is of it.
    """

    optional: tuple[str, ...]
    centers: tuple[float, ...]
    scales: tuple[float, ...]
    newest: float
    genres: tuple[float, ...] = ()

    @property
    def numeric_names(self) -> tuple[str, ...]:
        """Inputs that are numbers on a scale; they come first."""
        return (*STANDARDIZED, *_numeric(self.optional), *ANGLES)

    @property
    def value_names(self) -> tuple[str, ...]:
        """Inputs but for masks."""
        return (*self.numeric_names, "mode", *[f"genre_{i + 1}" for i in range(len(self.genres))])

    @property
    def input_names(self) -> tuple[str, ...]:
        """All inputs in their order."""
        return (*self.value_names, *[f"{name}_missing" for name in self.source_names])

    @property
    def source_names(self) -> tuple[str, ...]:
        """Raw values that the inputs come from, as `InputLayout.source` counts them."""
        return (*FEATURES, *self.optional)

    @property
    def layout(self) -> InputLayout:
        """What the model needs to know of the inputs."""
        named = self.source_names
        angles = [name.split("_")[0] for name in ANGLES]
        values = (*STANDARDIZED, *_numeric(self.optional), *angles, "mode", *["genre"] * len(self.genres))
        source = np.array([named.index(name) for name in (*values, *named)])
        is_mask = np.arange(len(source)) >= len(values)
        return InputLayout(len(self.numeric_names), source, is_mask)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Encodings:
        """Return the encodings that `as_dict` wrote."""
        lists = {name: tuple(plain[name]) for name in ("optional", "centers", "scales", "genres")}
        return cls(**lists, newest=plain["newest"])


def fit_encodings(raw: Doubles, *, optional: Sequence[str] = ()) -> Encodings:
    """Learn centers and scales.

    Parameters
    ----------
    raw : float64 array, shape (n, 15)
        Values in the order and units of `songs.RAW_INPUTS`; NaN is missing. The result does not depend on
        the order of the rows up to rounding, so give them in a fixed order.
    optional : sequence of str
        Which of `songs.OPTIONAL_INPUTS` become inputs; one that is never known is left out.

    Returns
    -------
    Encodings
        Mean and standard deviation over the known values, the few largest and smallest of which count as the next
        (winsorized); 0 and 1 where a feature is never known or constant.
    """
    used = tuple(name for name in optional if not np.isnan(_column(raw, name)).all())
    dates = _column(raw, "release_date")
    newest = float(_without_extremes(dates[~np.isnan(dates)]).max()) if "release_date" in used else 0.0
    centers, scales = [], []
    for values in _transformed(raw, optional=used, newest=newest):
        known = _without_extremes(values[~np.isnan(values)])
        center = float(known.mean()) if known.size else 0.0
        spread = float(known.std()) if known.size else 0.0
        # Differences below rounding are no information.
        floor = 1e-6 * max(1.0, abs(center))
        centers.append(center)
        scales.append(spread if spread > floor else 1.0)
    genres = _commonest(_column(raw, "genre")) if "genre" in used else ()
    return Encodings(used, tuple(centers), tuple(scales), newest, genres)


def encode(raw: Doubles, *, encodings: Encodings) -> Floats:
    """Return the model inputs.

    Parameters
    ----------
    raw : float64 array, shape (n, 15)
        Values in the order and units of `songs.RAW_INPUTS`; NaN is missing.
    encodings : Encodings
        What `fit_encodings` learned.

    Returns
    -------
    float32 array, shape (n, n_inputs)
        In the order of `encodings.input_names`. Finite; standardized inputs lie in [-4, 4]. Each row depends on
        its own song alone.
    """
    transformed = _transformed(raw, optional=encodings.optional, newest=encodings.newest)
    standardized = [
        np.clip((values - center) / scale, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        for values, center, scale in zip(transformed, encodings.centers, encodings.scales, strict=True)
    ]
    mode = _column(raw, "mode")
    key_angle = fifths_angle(_column(raw, "key"), mode)
    tempo_angle = octave_angle(_column(raw, "tempo"))
    angles = [np.cos(key_angle), np.sin(key_angle), np.cos(tempo_angle), np.sin(tempo_angle)]
    known = np.nan_to_num(np.stack([*standardized, *angles, 2.0 * mode - 1.0], axis=1), nan=0.0)
    genres = _column(raw, "genre")[:, None] == np.array(encodings.genres)[None, :]
    missing = [np.isnan(_column(raw, name)) for name in encodings.source_names]
    return np.concatenate([known, genres, np.stack(missing, axis=1)], axis=1).astype(np.float32)


def fifths_angle(key: Doubles, mode: Doubles) -> Doubles:
    """Return the angle on the circle of fifths, in radians, of pitch class `key` (0..11) in `mode`.

    A minor key (mode 0) stands at its relative major, three semitones up; an unknown mode counts as major.
    """
    tonic = np.where(mode == 0.0, key + 3.0, key)
    return 2.0 * np.pi * np.mod(7.0 * tonic, 12.0) / 12.0


def octave_angle(tempo_bpm: Doubles) -> Doubles:
    """Return an angle in radians that is the same for a tempo, its double and its half."""
    return 2.0 * np.pi * np.log2(tempo_bpm)


def _transformed(raw: Doubles, *, optional: Sequence[str], newest: float) -> list[Doubles]:
    skewed = [np.log(_column(raw, name) + offset) for name, offset in SKEWED.items()]
    age = np.maximum(newest - _column(raw, "release_date"), 0.0)
    others = {"release_date": -np.log(age + AGE_OFFSET), "popularity": _column(raw, "popularity")}
    return [
        *[_column(raw, name) for name in LINEAR],
        *skewed,
        *[np.log2(_column(raw, name)) for name in RATIOS],
        *[others[name] for name in _numeric(optional)],
    ]


def _without_extremes(known: Doubles) -> Doubles:
    """Return numbers of which the `n // 1000 + 1` largest count as the next one, and so the smallest (Tukey 1962).

    One wrong value among thousands would else set the scale of all.
    """
    n_extreme = len(known) // N_FOR_AN_EXTREME + 1
    if len(known) <= 2 * n_extreme:
        return known
    ordered = np.partition(known, [n_extreme, len(known) - 1 - n_extreme])
    limited: Doubles = np.clip(known, ordered[n_extreme], ordered[len(known) - 1 - n_extreme])
    return limited


def _numeric(optional: Sequence[str]) -> list[str]:
    return [name for name in optional if name != "genre"]


def _commonest(codes: Doubles) -> tuple[float, ...]:
    names, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    return tuple(names[np.lexsort((names, -counts))][:MAX_GENRES].tolist())


def _column(raw: Doubles, name: str) -> Doubles:
    return raw[:, RAW_INPUTS.index(name)]
