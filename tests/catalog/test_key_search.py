"""Keys are found where a search by hand finds them, whatever numbers they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from musicrec.catalog.key_search import NOWHERE, find_keys

INT64 = st.integers(-(2**63), 2**63 - 1)
NEAR = st.one_of(INT64, st.integers(-5, 5), st.sampled_from([-(2**63), 2**63 - 1, 2**63 - 2, 2**40]))


@given(st.lists(NEAR, max_size=60), st.lists(NEAR, max_size=30))
def test_keys_are_found_where_they_stand(known: list[int], wanted: list[int]) -> None:
    rising = sorted(set(known))
    asked = [*wanted, *known, *(key + 1 for key in known if key < 2**63 - 1)]
    found = find_keys(np.array(rising, dtype=np.int64), np.array(asked, dtype=np.int64))
    assert found.tolist() == [rising.index(key) if key in rising else NOWHERE for key in asked]


def test_hashes_and_what_crowds_at_one_end() -> None:
    rng = np.random.default_rng(3)
    hashes = np.unique(rng.integers(-(2**63), 2**63 - 1, 100_000))
    crowded = np.unique(np.concatenate([np.arange(50_000), [2**62]]))
    for known in (hashes, crowded):
        asked = rng.permutation(np.concatenate([known, known[:1000] + 1]))
        place = np.searchsorted(known, asked).clip(0, len(known) - 1)
        expected = np.where(known[place] == asked, place, NOWHERE)
        np.testing.assert_array_equal(find_keys(known, asked), expected)
