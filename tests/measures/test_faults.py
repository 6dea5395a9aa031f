"""Faults of lists, against lists written by hand."""

import math

import numpy as np
import pyarrow as pa
import pytest

from musicrec.evaluation.languages import LANGUAGES, UNTOLD, languages_of
from musicrec.measures.faults import NOT_KNOWN, Traits, measure_faults


def test_faults_are_what_a_listener_hears() -> None:
    songs = Traits(
        artists=np.array([0, 0, 0, 0, 1, 1, NOT_KNOWN, NOT_KNOWN]),
        works=np.array([0, 0, 1, 2, 3, 4, 5, 6]),
        languages=np.array([0, 0, 1, NOT_KNOWN, 1, 0, 0, 0]),
        holiday=np.array([True, True, False, False, False, True, False, False]),
        years=np.array([2000.0, 2001.0, 2010.0, np.nan, 1990.0, 2000.0, 2000.0, 2000.0]),
    )
    # Song 0's list has its artist three times and another version of it; song 4's none of all that.
    owners, places = np.array([0, 0, 0, 4, 4, 4]), np.array([1, 2, 3, 5, 6, 7])
    faults = measure_faults(owners, places, songs)
    assert faults.repeated_artist == 0.5
    assert faults.repeated_work == 0.5
    assert faults.own_artist == pytest.approx(4 / 6)
    # Told by both: of 0 the places 1 (same), 2 (other); of 4 (language 1) the places 5, 6 and 7 (other).
    assert faults.same_language == pytest.approx(1 / 5)
    assert faults.holiday == pytest.approx(1 / 3)
    assert faults.holiday_elsewhere == pytest.approx(1 / 3)
    assert faults.years_apart == 10.0


def test_where_nothing_tells_there_is_no_figure() -> None:
    n = 4
    nothing = np.full(n, NOT_KNOWN)
    songs = Traits(nothing, np.arange(n), nothing, np.zeros(n, dtype=bool), np.full(n, np.nan))
    faults = measure_faults(np.array([0, 0]), np.array([1, 2]), songs)
    assert (faults.repeated_artist, faults.repeated_work, faults.own_artist) == (0.0, 0.0, 0.0)
    assert all(math.isnan(v) for v in (faults.same_language, faults.holiday, faults.years_apart))


@pytest.mark.parametrize(
    ("title", "language"),
    [
        ("Take Me to the River", "English"), ("Corazón Partío", "Spanish"), ("CORAZON sin cara", "Spanish"),
        ("Je t'aime… moi non plus", "French"), ("99 Luftballons für dich und mich", "German"),
        ("Que Será", ""), ("Senza una donna", ""), ("Il Mondo", "Italian"), ("Meu Coração", "Portuguese"),
        ("さくら", ""), ("", ""), (None, ""),
    ],
)  # fmt: skip
def test_titles_tell_their_language(title: str | None, language: str) -> None:
    found = int(languages_of(pa.array([title], type=pa.string()))[0])
    assert ("" if found == UNTOLD else LANGUAGES[found]) == language
