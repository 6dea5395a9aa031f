from random import Random

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ir_measures import AP, P, R, Rprec, Success, nDCG

from musicrec.measures.retrieval import (
    Collection,
    ListMeasures,
    answer,
    by_cosine,
    by_value,
    measure_places,
)

MEASURES = {
    "precision": P @ 10,
    "hit": Success @ 10,
    "recall": R @ 10,
    "ndcg": nDCG @ 10,
    "average_precision": AP,
    "r_precision": Rprec,
}


def by_library(scores: np.ndarray, relevant: np.ndarray) -> dict[str, list[float]]:
    """Return each measure by query that has an answer, from an implementation that is not ours."""
    asked = [q for q in range(len(scores)) if relevant[q].any()]
    truth = [ir_measures.Qrel(f"{q:04d}", str(d), 1) for q in asked for d in np.flatnonzero(relevant[q])]
    run = [
        ir_measures.ScoredDoc(f"{q:04d}", str(d), float(scores[q, d]))
        for q in asked
        for d in np.flatnonzero(scores[q] > -np.inf)
    ]
    values: dict[str, dict[str, float]] = {name: {} for name in MEASURES}
    for found in ir_measures.iter_calc(list(MEASURES.values()), truth, run):
        name = next(n for n, measure in MEASURES.items() if measure == found.measure)
        values[name][found.query_id] = found.value
    return {name: [by_query[q] for q in sorted(by_query)] for name, by_query in values.items()}


def songs(seed: int, n: int = 90, n_groups: int = 7) -> tuple[np.ndarray, Collection, np.ndarray]:
    rng = np.random.default_rng(seed)
    member = rng.random((n, n_groups)) < 0.15
    song, group = np.nonzero(member)
    vectors = rng.standard_normal((n, 5)).astype(np.float32)
    return vectors, Collection.make(rng.integers(0, n // 3, n), song=song, group=group + 1000), member


@pytest.mark.parametrize("own_artist", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_measures_equal_an_independent_library(seed: int, own_artist: bool) -> None:
    vectors, candidates, member = songs(seed)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = (unit @ unit.T).astype(np.float64)
    artists = candidates.artists
    same = np.eye(len(unit), dtype=bool) if own_artist else artists[:, None] == artists[None, :]
    scores[same] = -np.inf
    relevant = ((member.astype(int) @ member.T.astype(int)) > 0) & ~same
    measures = answer(by_cosine(vectors), candidates, k=10, own_artist=own_artist).measures
    for name, values in by_library(scores, relevant).items():
        np.testing.assert_allclose(getattr(measures, name), values, atol=1e-9, err_msg=name)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, candidates, _ = songs(4)
    whole = answer(by_cosine(vectors), candidates, k=10, own_artist=False)
    monkeypatch.setattr("musicrec.measures.retrieval._BLOCK_ROWS", 7)
    parts = answer(by_cosine(vectors), candidates, k=10, own_artist=False)
    np.testing.assert_array_equal(whole.nearest, parts.nearest)
    np.testing.assert_allclose(whole.measures.ndcg, parts.measures.ndcg)


def test_the_own_artist_is_left_out() -> None:
    vectors = np.array([[1, 0], [1, 0.01], [1, 0.1], [0, 1]], dtype=np.float32)
    candidates = Collection.make(np.array([1, 1, 2, 3]), song=np.arange(4), group=np.array([5, 5, 5, 6]))
    assert answer(by_cosine(vectors), candidates, k=3, own_artist=False).nearest.tolist() == [
        [2, 3, -1],
        [2, 3, -1],
        [1, 0, 3],
        [2, 1, 0],
    ]
    assert answer(by_cosine(vectors), candidates, k=2, own_artist=True).nearest.tolist() == [
        [1, 2],
        [0, 2],
        [1, 0],
        [2, 1],
    ]


def test_fewer_songs_than_places() -> None:
    candidates = Collection.make(np.arange(3), song=np.arange(3), group=np.zeros(3, dtype=np.int64))
    found = answer(by_cosine(np.eye(3, dtype=np.float32)), candidates, k=10, own_artist=True)
    assert found.nearest.shape == (3, 10)
    assert (found.nearest >= 0).sum(axis=1).tolist() == [2, 2, 2]
    assert found.measures.precision.tolist() == pytest.approx([0.2] * 3)
    assert found.measures.recall.tolist() == found.measures.ndcg.tolist() == [1.0] * 3


def measured(relevant: np.ndarray, k: int) -> ListMeasures:
    """Return what rankings are worth of which (n_queries, n) says where they are right."""
    return measure_places(relevant.sum(axis=1), np.nonzero(relevant)[1], k=k)


@given(st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=8))
def test_perfect_order_is_worth_most(rows: list[list[bool]]) -> None:
    relevant = np.array(rows)
    found, best = measured(relevant, k=10), measured(-np.sort(-relevant.astype(int)) == 1, k=10)
    for name, values in vars(found).items():
        assert ((values >= 0) & (values <= 1)).all(), name
        assert (values <= getattr(best, name) + 1e-12).all(), name
    np.testing.assert_allclose(best.average_precision, 1)
    np.testing.assert_allclose(best.r_precision, 1)
    np.testing.assert_allclose(best.ndcg, 1)


def test_a_score_that_is_no_number_answers_nobody() -> None:
    candidates = Collection.make(np.arange(3), song=np.arange(3), group=np.zeros(3, dtype=np.int64))
    scores = np.array([[0, np.nan, 0.5]] * 3, dtype=np.float32)
    found = answer(lambda rows: torch.from_numpy(scores[rows]), candidates, k=2, own_artist=True)
    assert found.nearest.tolist() == [[2, -1], [2, 0], [0, -1]]
    assert found.measures.hit.tolist() == [1.0, 1.0, 1.0]


def test_no_query_with_a_right_answer() -> None:
    found = measured(np.zeros((3, 5), dtype=bool), k=2)
    assert found.precision.shape == (0,)
    assert ListMeasures.join([found, measured(np.ones((1, 5), dtype=bool), k=2)]).hit.tolist() == [1.0]


def test_everyone_gets_the_most_popular_songs() -> None:
    candidates = Collection.make(np.arange(4), song=np.arange(4), group=np.zeros(4, dtype=np.int64))
    found = answer(by_value(np.array([5.0, np.nan, 9.0, 7.0])), candidates, k=2, own_artist=False)
    assert found.nearest.tolist() == [[2, 3], [2, 3], [3, 0], [2, 0]]


@given(
    hnp.arrays(
        np.float32, st.integers(1, 9).map(lambda n: (n, n)),
        elements=st.one_of(
            st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf])
        ),
    ),
    st.integers(1, 12), st.booleans(), st.randoms(use_true_random=False),
)  # fmt: skip
def test_order_and_places_are_those_of_a_stable_sort(
    scores: np.ndarray, k: int, own_artist: bool, random: Random
) -> None:
    n = len(scores)
    artists, group = np.array([[random.randrange(4) for _ in range(n)] for _ in range(2)])
    candidates = Collection.make(artists, song=np.arange(n), group=group)
    found = answer(lambda rows: torch.from_numpy(scores[rows]), candidates, k=k, own_artist=own_artist)
    allowed = (~np.eye(n, dtype=bool) if own_artist else artists[:, None] != artists[None, :]) & (scores > -np.inf)
    precision = []
    for query in range(n):
        order = np.argsort(-scores[query], kind="stable")
        listed = order[allowed[query, order]]
        assert found.nearest[query].tolist() == (listed.tolist() + [-1] * k)[:k]
        right = group[listed] == group[query]
        if right.any():
            hits = np.cumsum(right)[right] / (np.flatnonzero(right) + 1)
            precision.append((right[:k].sum() / k, hits.mean()))
    measures = (found.measures.precision, found.measures.average_precision)
    np.testing.assert_allclose(np.stack(measures, axis=1), np.array(precision).reshape(-1, 2), atol=1e-12)
