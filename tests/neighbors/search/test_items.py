import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.neighbors.search import items
from musicrec.neighbors.search.items import distinct_rows


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(-2, 2)), max_size=30),
    st.sampled_from([np.float16, np.float32]),
)
def test_equal_rows_are_one_and_all_others_are_not(rows: list[tuple[int, int, int]], kind: type) -> None:
    vectors = np.array(rows, dtype=kind).reshape(len(rows), 3)
    found = distinct_rows(vectors)
    expected = list(dict.fromkeys(rows))
    assert [rows[first] for first in found.firsts] == expected
    assert found.firsts.tolist() == [rows.index(row) for row in expected]
    assert found.index.tolist() == [expected.index(row) for row in rows]


def test_one_bit_makes_a_difference() -> None:
    vectors = np.ones((3, 64), dtype=np.float32)
    vectors[1, 63] = np.nextafter(np.float32(1), np.float32(2))
    assert distinct_rows(vectors).index.tolist() == [0, 1, 0]


def test_a_hash_alone_makes_none_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "_hashes", lambda bits, _: np.zeros(len(bits), dtype=np.uint64))
    vectors = np.array([[1, 1], [1, 1], [2, 2], [2, 2]], dtype=np.float32)
    assert distinct_rows(vectors).index.tolist() == [0, 0, 1, 1]
