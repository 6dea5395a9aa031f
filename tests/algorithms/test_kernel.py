import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.algorithms.exact import exact_nearest
from musicrec.algorithms.kernel import (
    SLACK,
    Members,
    best_of,
    largest,
    merge_lists,
    nearest_in_bucket,
)
from musicrec.algorithms.merging import Runs, merge_runs
from musicrec.algorithms.spaces import pair_scores


def make_members(n: int, *, dim: int = 16, seed: int = 0, n_recordings: int | None = None) -> Members:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    keys = np.sort(rng.choice(10**6, n, replace=False)) - 500_000
    recordings = keys if n_recordings is None else rng.integers(0, n_recordings, n)
    return Members(keys, recordings, vectors)


def by_loops(queries: Members, candidates: Members, k: int) -> list[list[tuple[int, float]]]:
    """The definition: score every pair, sort, keep each recording once."""
    lists = []
    for i in range(len(queries)):
        a = queries.vectors[i].astype(np.float64)
        pairs = []
        for j in range(len(candidates)):
            b = candidates.vectors[j].astype(np.float64)
            score = np.float32(np.round(a @ b / np.sqrt((a @ a) * (b @ b)), 6))
            pairs.append((-score, candidates.keys[j], candidates.recordings[j]))
        seen, found = {queries.recordings[i]}, []
        for negative, key, recording in sorted(pairs):
            if recording not in seen:
                seen.add(recording)
                found.append((int(key), float(-negative)))
        lists.append(found[:k])
    return lists


def as_pairs(lists, k: int) -> list[list[tuple[int, float]]]:
    return [
        [(int(key), float(score)) for key, score in zip(keys[:k], scores[:k], strict=True) if not np.isnan(score)]
        for keys, scores in zip(lists.keys, lists.scores, strict=True)
    ]


@pytest.mark.parametrize(
    ("n", "n_recordings"), [(1, None), (2, None), (9, None), (300, None), (300, 40), (300, 5), (900, 2)]
)
def test_one_bucket_equals_exact_search(n: int, n_recordings: int | None) -> None:
    members = make_members(n, n_recordings=n_recordings)
    assert as_pairs(nearest_in_bucket(members, members, k=10), 10) == by_loops(members, members, 10)


def test_many_columns_take_the_two_stages() -> None:
    members = make_members(1500, dim=8)
    queries = Members(members.keys[:40], members.recordings[:40], members.vectors[:40])
    assert as_pairs(nearest_in_bucket(queries, members, k=10), 10) == by_loops(queries, members, 10)


@given(st.integers(1, 30), st.integers(1, 90), st.integers(1, 16), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_two_stages_equal_topk(n: int, n_groups: int, width: int, seed: int) -> None:
    products = torch.rand(n, n_groups * 8, generator=torch.Generator().manual_seed(seed))
    width = min(width, n_groups * 8)
    found = products.gather(1, largest(products, width))
    torch.testing.assert_close(found, torch.topk(products, width, dim=1).values, rtol=0, atol=0)


def test_a_song_with_more_releases_than_the_slack_still_gets_k() -> None:
    members = make_members(200)
    vectors = np.repeat(members.vectors[:1], 200, axis=0)
    vectors[100:] = members.vectors[100:]
    recordings = members.keys.copy()
    recordings[:100] = 7
    found = nearest_in_bucket(*[Members(members.keys, recordings, vectors)] * 2, k=10)
    assert (found.keys[:100] != -1).all()
    assert (found.recordings[:100] != 7).all()


def test_equal_scores_are_ordered_by_key() -> None:
    # Equal vectors are one item in the join; only as many as the slack can tie here.
    members = make_members(5 + SLACK)
    same = Members(members.keys, members.recordings, np.repeat(members.vectors[:1], 5 + SLACK, axis=0))
    found = nearest_in_bucket(same, same, k=5)
    np.testing.assert_array_equal(found.scores, 1.0)
    np.testing.assert_array_equal(found.keys[-1], members.keys[:5])


def test_spare_places_hold_the_next_ones() -> None:
    members = make_members(300)
    with_spare = nearest_in_bucket(members, members, k=10, n_spare=SLACK - 1)
    assert as_pairs(with_spare, 15) == by_loops(members, members, 15)


@given(st.integers(2, 200), st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_parts_of_candidates_merge_to_the_whole(n: int, n_parts: int, seed: int) -> None:
    members = make_members(n, seed=seed, n_recordings=max(1, n // 2))
    owner = np.mod(members.keys, n_parts)
    lists = None
    for part in range(n_parts):
        rows = owner == part
        if rows.any():
            some = Members(members.keys[rows], members.recordings[rows], members.vectors[rows])
            found = nearest_in_bucket(members, some, k=7)
            lists = found if lists is None else merge_lists(lists, found)
    whole = nearest_in_bucket(members, members, k=7)
    assert as_pairs(lists, 7) == as_pairs(whole, 7) == as_pairs(exact_nearest(members, members, k=7), 7)


def test_scores_do_not_depend_on_the_block() -> None:
    a = torch.from_numpy(make_members(500).vectors).float()
    b = torch.from_numpy(make_members(500, seed=1).vectors).float()
    whole = pair_scores(a, b)
    np.testing.assert_array_equal(
        np.concatenate([pair_scores(a[i : i + 1], b[i : i + 1]) for i in range(500)]), whole
    )
    assert np.abs(whole).max() <= 1.0


def test_best_of_leaves_nothing_where_nothing_is() -> None:
    keys = np.array([[3, 1, 2]])
    lists = best_of(keys, keys, np.array([[np.nan, 0.5, np.nan]], dtype=np.float32), k=2)
    assert lists.keys.tolist() == [[1, -1]]
    assert np.isnan(lists.scores[0, 1])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_merged_runs_equal_a_dictionary(data: st.DataObject) -> None:
    n_lists = data.draw(st.integers(1, 12))
    items, lengths, flat = [], [], []
    for _ in range(n_lists):
        item = data.draw(st.integers(-3, 3))
        keys = data.draw(st.lists(st.integers(0, 15), max_size=4, unique=True))
        items.append(item)
        lengths.append(len(keys))
        # A pair's score and recording are properties of the pair.
        flat += [(key, key // 2, np.float32(((item * 31 + key * 17) % 7) / 10)) for key in keys]
    keys, recordings, scores = (
        np.array([f[i] for f in flat], dtype=t) for i, t in ((0, int), (1, int), (2, np.float32))
    )
    merged = merge_runs(Runs(np.array(items), np.array(lengths), keys, recordings, scores), k=4)
    expected: dict[int, dict[int, tuple[float, int]]] = {item: {} for item in items}
    owners = [item for item, length in zip(items, lengths, strict=True) for _ in range(length)]
    for item, (key, recording, score) in zip(owners, flat, strict=True):
        known = expected[item].get(recording, (np.inf, 0))
        expected[item][recording] = min(known, (-score, key))
    found = np.split(merged.keys, np.cumsum(merged.lengths)[:-1])
    assert merged.items.tolist() == sorted(expected)
    for item, list_keys in zip(merged.items.tolist(), found, strict=True):
        assert list_keys.tolist() == [key for _, key in sorted(expected[item].values())][:4]
