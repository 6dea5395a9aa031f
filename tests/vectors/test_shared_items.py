import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.spaces import Space
from musicrec.vectors.shared_items import expand, make_shared
from tests.oracles import named_lists_by_hand


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 6), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_songs_that_share_items_get_the_lists_that_search_by_hand_gives(
    n: int, n_different: int, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    different = rng.standard_normal((n_different, 4)).astype(np.float16)
    vectors = different[rng.integers(0, n_different, n)]
    keys = np.sort(rng.choice(1000, n, replace=False)).astype(np.int64)
    owners = np.array([keys[(vectors == vector).all(axis=1)].min() for vector in vectors])
    several = np.array([(owners == owner).sum() > 1 for owner in owners])
    shared = make_shared(keys[several], owners[several], np.ones(int(several.sum()), dtype=np.float32))
    first = keys == owners
    items = Items(keys[first], keys[first, None], vectors[first])
    rows = expand(items.keys, exact_nearest(items, items, k=k, space=Space()), shared, k=k)

    by_hand = named_lists_by_hand(vectors, keys.tolist(), keys.tolist(), k=k)
    expected = {key: [other for other, _ in pairs] for key, pairs in by_hand.items()}
    found: dict[int, list[int]] = {key: [] for key in keys.tolist()}
    for song, rank, neighbor in zip(
        rows.songs.tolist(), rows.ranks.tolist(), rows.neighbors.tolist(), strict=True
    ):
        found[song].append(neighbor)
        assert rank == len(found[song])
    assert found == expected
