import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import (
    ONE_EACH,
    SLACK,
    Meetings,
    Search,
    as_candidates,
    exact_nearest,
    pair_scores,
)
from musicrec.neighbors.search.kernel_loops import BLOCK_COLUMNS, SEEDS
from musicrec.neighbors.search.spaces import Space, fit_frame
from musicrec.neighbors.search.top_k import Lists, merge_lists
from tests.oracles import nearest_by_hand

COSINE = Space()


def make_items(n: int, *, dim: int = 16, seed: int = 0, n_recordings: int | None = None) -> Items:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    keys = np.sort(rng.choice(10**6, n, replace=False)) - 500_000
    recordings = keys if n_recordings is None else rng.integers(0, n_recordings, n)
    return Items(keys, recordings[:, None], vectors)


def as_pairs(lists, k: int) -> list[list[tuple[int, float]]]:
    return [
        [(int(key), float(score)) for key, score in zip(keys[:k], scores[:k], strict=True) if not np.isnan(score)]
        for keys, scores in zip(lists.keys, lists.scores, strict=True)
    ]


@pytest.mark.parametrize(
    ("n", "n_recordings"), [(1, None), (2, None), (9, None), (300, None), (300, 40), (300, 5), (900, 2)]
)
def test_one_cell_equals_search_by_hand(n: int, n_recordings: int | None) -> None:
    items = make_items(n, n_recordings=n_recordings)
    assert as_pairs(exact_nearest(items, items, k=10, space=COSINE), 10) == nearest_by_hand(items, items, k=10)


def test_more_columns_than_a_block() -> None:
    items = make_items(BLOCK_COLUMNS + 300, dim=8)
    queries = items.take(slice(0, 40))
    assert as_pairs(exact_nearest(queries, items, k=10, space=COSINE), 10) == nearest_by_hand(queries, items, k=10)


@given(st.integers(2, 250), st.integers(1, 4), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_lists_do_not_depend_on_the_order_in_which_candidates_come(
    n: int, n_shares: int, k: int, seed: int
) -> None:
    items = make_items(n, dim=4, seed=seed, n_recordings=max(1, n // 3))
    rng = np.random.default_rng(seed)
    frame = fit_frame(items.vectors.astype(np.float32), COSINE)
    search = Search(items, k=k, frame=frame)
    for share in np.array_split(rng.permutation(n), n_shares):
        candidates = as_candidates(items.take(share), frame)
        # Each half to some queries, then to the others.
        rows, cut, end = rng.permutation(n), len(share) // 2, len(share)
        for firsts, lasts in (([0, cut], [cut, end]), ([cut, 0], [end, cut])):
            search.meet(candidates, Meetings(np.array(firsts), np.array(lasts), np.array([0, n // 3, n]), rows))
    assert search.n_compared == n * n
    assert as_pairs(search.lists(), k) == nearest_by_hand(items, items, k=k)


def test_what_is_met_twice_is_listed_once() -> None:
    items = make_items(200)
    frame = fit_frame(items.vectors.astype(np.float32), COSINE)
    search = Search(items, k=10, frame=frame)
    for _ in range(2):
        search.meet_all(as_candidates(items, frame))
    assert as_pairs(search.lists(), 10) == nearest_by_hand(items, items, k=10)


def test_a_song_with_more_releases_than_the_seeds_still_gets_k() -> None:
    items = make_items(200)
    vectors = np.repeat(items.vectors[:1], 200, axis=0)
    vectors[100:] = items.vectors[100:]
    recordings = items.keys[:, None].copy()
    recordings[:100] = 7
    assert SEEDS < 100
    some = Items(items.keys, recordings, vectors)
    found = exact_nearest(some, some, k=10, space=COSINE)
    assert as_pairs(found, 10) == nearest_by_hand(some, some, k=10)
    assert (found.keys[:100] != -1).all()
    assert (found.groups[:100] != 7).all()


@pytest.mark.parametrize("n", [11, 400])
def test_equal_scores_are_ordered_by_key(n: int) -> None:
    items = make_items(n)
    same = Items(items.keys, items.facts, np.repeat(items.vectors[:1], n, axis=0))
    found = exact_nearest(same, same, k=5, space=COSINE)
    np.testing.assert_array_equal(found.scores, 1.0)
    np.testing.assert_array_equal(found.keys[-1], items.keys[:5])


def test_spare_places_are_for_items_of_several_recordings() -> None:
    items = make_items(300)
    recordings = items.keys[:, None].copy()
    recordings[::2] += 10**9
    mixed = Items(items.keys, recordings, items.vectors)
    lists, expected = (
        exact_nearest(mixed, mixed, k=10, n_spare=SLACK, space=COSINE),
        nearest_by_hand(mixed, mixed, k=10 + SLACK),
    )
    found = as_pairs(lists, 10 + SLACK)
    assert found[1::2] == expected[1::2]
    assert found[::2] == [pairs[:10] for pairs in expected[::2]]


@given(st.integers(2, 200), st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_lists_over_parts_of_the_candidates_merge_to_the_whole(n: int, n_parts: int, seed: int) -> None:
    items = make_items(n, seed=seed, n_recordings=max(1, n // 2))
    owner = np.mod(items.keys, n_parts)
    several = [
        exact_nearest(items, items.take(np.flatnonzero(owner == part)), k=7, space=COSINE)
        for part in range(n_parts)
        if (owner == part).any()
    ]
    assert as_pairs(merge_lists(several, items.facts, k=7, rules=ONE_EACH), 7) == nearest_by_hand(
        items, items, k=7
    )


def test_products_that_overflow_hide_nothing() -> None:
    """Lengths of 1e30 have squares that single precision cannot hold; scores are still those by hand."""
    items = make_items(100)
    huge = Items(items.keys, items.facts, items.vectors.astype(np.float32) * np.float32(1e30))
    space = Space("dot", max_norm=1e30, vector_type="<f4")
    found = exact_nearest(huge, huge, k=3, space=space)
    exact = huge.vectors.astype(np.float64) @ huge.vectors.astype(np.float64).T
    np.fill_diagonal(exact, -np.inf)
    expected = items.keys[np.argsort(-exact, axis=1)[:, 0]]
    finite = -np.sort(-exact, axis=1)[:, 0] < 3e38
    np.testing.assert_array_equal(found.keys[finite, 0], expected[finite])


def test_scores_do_not_depend_on_the_block() -> None:
    a, b = make_items(500).vectors, make_items(500, seed=1).vectors
    whole = pair_scores(a, b, COSINE)
    np.testing.assert_array_equal(
        np.concatenate([pair_scores(a[i : i + 1], b[i : i + 1], COSINE) for i in range(500)]), whole
    )
    assert np.abs(whole).max() <= 1.0


def test_merged_lists_have_nothing_where_nothing_is() -> None:
    keys, scores = np.array([[3, 1, 2]]), np.array([[np.nan, 0.5, np.nan]], dtype=np.float32)
    lists = merge_lists([Lists(keys, keys[:, :, None], scores)], np.array([[9]]), k=2, rules=ONE_EACH)
    assert lists.keys.tolist() == [[1, -1]]
    assert np.isnan(lists.scores[0, 1])
