"""Ids, names and dates of made-up songs, with what breaks readers: quotes, line breaks, emoji, right-to-left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from musicrec.arrays import Ints

FIRST = [
    "Silver", "Broken", "Midnight", "Golden", "Quiet", "Electric", "Paper", "Crimson", "Hollow", "Distant",
    "Neon", "Little", "Wild", "Frozen",
]  # fmt: skip
SECOND = [
    "River", "Heart", "Summer", "Machine", "Garden", "Mirror", "Highway", "Shadow", "Letter", "Ocean",
    "Winter", "Signal", "Fire", "City",
]  # fmt: skip
THIRD = (
    "",
    "",
    "",
    "",
    " Again",
    " Tonight",
    ' "Live Forever"',
    ", Pt. 2",
    " ☀️🎧",
    " – été",
    " سلام",
    "\nReprise",
)
NAMES = [
    "Ada", "Boris", "Chloé", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Inés", "Jonas", "Kofi", "Lena",
    "Mateo", "Nadia", "Øystein", "Priya", "Quinn",
]  # fmt: skip
BANDS = ["Band", "Trio", "Collective", "Orchestra", "Project", "Brothers", "Sisters", "Sound", "Club", "Ensemble"]

ALPHABET = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype="S1")


def make_ids(rng: np.random.Generator, n: int) -> NDArray[Any]:
    """Return n ids of 22 letters and digits."""
    letters = ALPHABET[rng.integers(0, 62, (n, 22))]
    ids: NDArray[Any] = np.ascontiguousarray(letters).view("S22").reshape(n).astype("U22").astype(object)
    return ids


def make_titles(rng: np.random.Generator, n: int) -> pa.Array:
    """Return n titles, of which some repeat."""
    words = [
        pa.array(vocabulary).take(pa.array(rng.integers(0, len(vocabulary), n))) for vocabulary in (FIRST, SECOND)
    ]
    number = pa.array(rng.integers(1, 1000, n)).cast("string")
    ending = pa.array(THIRD).take(pa.array(rng.integers(0, len(THIRD), n)))
    return pc.binary_join_element_wise(pc.binary_join_element_wise(*words, number, " "), ending, "")


def make_artists(artist: Ints) -> pa.Array:
    """Return the names of artists, given their numbers."""
    first = pa.array(NAMES).take(pa.array(artist % len(NAMES)))
    kind = pa.array(BANDS).take(pa.array(artist // len(NAMES) % len(BANDS)))
    return pc.binary_join_element_wise(first, kind, pa.array(artist).cast("string"), " ")


def make_albums(artist: Ints, album: Ints) -> pa.Array:
    """Return the names of albums, given the numbers of their artists and theirs among the artist's."""
    first = pa.array(FIRST).take(pa.array((artist + 3 * album) % len(FIRST)))
    return pc.binary_join_element_wise(first, "Album", pa.array(album).cast("string"), " ")


def make_dates(rng: np.random.Generator, year: Ints) -> pa.Array:
    """Return release dates in these years: a tenth each of year and month only."""
    month, day = rng.integers(1, 13, len(year)), rng.integers(1, 29, len(year))
    precision = rng.choice(3, len(year), p=[0.1, 0.1, 0.8])
    texts = [
        f"{y}-{m:02d}-{d:02d}"[: (4, 7, 10)[p]] for y, m, d, p in zip(year, month, day, precision, strict=True)
    ]
    return pa.array(texts)
