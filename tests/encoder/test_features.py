"""Columns of songs → numbers, without a JVM."""

import numpy as np
import pyarrow as pa
import pytest

from musicrec.encoder.features import raw_inputs
from musicrec.songs import FEATURES, RAW_INPUTS


def table_of(**columns: list) -> pa.Table:
    n = len(next(iter(columns.values())))
    defaults = {name: pa.array([0.5] * n) for name in (*FEATURES, "popularity")}
    defaults |= {name: pa.array([None] * n, type=pa.string()) for name in ("release_date", "genre")}
    return pa.table({**defaults, **{name: pa.array(values) for name, values in columns.items()}})


def column(name: str, values: list) -> np.ndarray:
    return raw_inputs(table_of(**{name: values}))[:, RAW_INPUTS.index(name)]


def test_a_genre_is_one_number_in_any_case_and_any_batch() -> None:
    rock, pop, again, unknown = column("genre", ["Rock", "pop", "rOCK", None])
    assert rock == again != pop
    assert np.isnan(unknown)
    assert column("genre", ["x", "y", "pop"])[2] == pop
    # Exact as a float of double precision.
    assert 0 <= rock < 2**48
    assert rock == int(rock)


def test_no_genre_at_all_is_no_trouble() -> None:
    assert np.isnan(raw_inputs(table_of(energy=[0.1, 0.2]))[:, RAW_INPUTS.index("genre")]).all()


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("2020", 2020.5),
        ("2020-07", 2020 + 6.5 / 12),
        ("2020-01-01", 2020.0),
        ("1999-12-31", 1999 + (11 + 30 / 31) / 12),
    ],
)
def test_a_date_is_a_year_with_a_fraction(text: str, year: float) -> None:
    assert column("release_date", [text])[0] == pytest.approx(year)


def test_chunks_and_missing_values() -> None:
    whole = table_of(energy=[0.1, None, 0.3], genre=["a", "b", "a"], release_date=["2001", None, "2003-05-06"])
    parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    np.testing.assert_array_equal(raw_inputs(parts), raw_inputs(whole))
    assert np.isnan(raw_inputs(whole)[1, FEATURES.index("energy")])
