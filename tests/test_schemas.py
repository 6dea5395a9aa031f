"""Blobs: what goes into a row of arrays comes out of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from musicrec.messages import BLOCKS, TRUTHS, UNITS, as_row, blob_of

WHOLE = arrays.arrays(np.int64, st.integers(0, 20), elements=st.integers(-(2**63), 2**63 - 1))
REAL = arrays.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32, allow_nan=True))


@given(WHOLE, REAL, st.integers(0, 2**40))
def test_a_row_is_read_as_it_was_made(keys: np.ndarray, scores: np.ndarray, unit: int) -> None:
    row = as_row(UNITS, unit=unit, n_items=1, n_compared=2, asked_keys=keys, asked_scores=scores, short_rows=keys)
    assert row.schema.names == UNITS.names
    plain = row.to_pylist()[0]
    assert (plain["unit"], plain["n_items"], plain["n_compared"]) == (unit, 1, 2)
    np.testing.assert_array_equal(blob_of(UNITS, "asked_keys", plain["asked_keys"]), keys)
    np.testing.assert_array_equal(blob_of(UNITS, "asked_scores", plain["asked_scores"]), scores)


@pytest.mark.parametrize("kind", ["<f2", "<f4"])
def test_vectors_are_of_the_type_of_their_space(kind: str) -> None:
    vectors = np.arange(6, dtype=kind).reshape(2, 3)
    some = np.arange(2)
    row = as_row(BLOCKS, target=1, part=0, keys=some, facts=some, rows=some, cells=some, vectors=vectors)
    plain = row.to_pylist()[0]
    found = blob_of(BLOCKS, "vectors", plain["vectors"], vector_type=kind)
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(found.reshape(2, 3), vectors)
    # Rows of a block are narrower than keys.
    assert len(plain["rows"]) == 8
    assert len(plain["keys"]) == 16


def test_a_missing_array_is_no_empty_blob() -> None:
    with pytest.raises(KeyError):
        as_row(TRUTHS, keys=[], groups=[], cells=[])
