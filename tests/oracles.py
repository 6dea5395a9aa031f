"""Searches by hand: plain, slow, in double precision, and without a line of the code that they judge."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from musicrec.neighbors.search.items import Items


def scores_by_hand(vectors: np.ndarray, metric: str, *, among: np.ndarray | None = None) -> np.ndarray:
    """Return what each vector scores with each of `among`: the truth of every score, before it is rounded.

    A distance counts negatively, so that more is nearer.
    """
    asking = vectors.astype(np.float64)
    asked = asking if among is None else among.astype(np.float64)
    if metric == "euclidean":
        return -np.linalg.norm(asking[:, None, :] - asked[None], axis=2)
    products = asking @ asked.T
    if metric == "dot":
        return products
    return products / np.linalg.norm(asking, axis=1)[:, None] / np.linalg.norm(asked, axis=1)[None]


def best_scores(vectors: np.ndarray, metric: str, *, k: int) -> np.ndarray:
    """Return the k best scores of each vector with the others: the truth of a recall, whichever tie is listed."""
    scores = scores_by_hand(vectors, metric)
    np.fill_diagonal(scores, -np.inf)
    return -np.sort(-scores, axis=1)[:, :k]


def recall_by_hand(found: Iterable[Sequence[float]], vectors: np.ndarray, metric: str, *, k: int) -> float:
    """Return the share of the k places that hold a score as good as the k-th best: the truth of a measured recall.

    `found` holds the scores of each vector's list.
    """
    worst = best_scores(vectors, metric, k=k)[:, -1]
    hits = [
        sum(score >= true - 2e-6 * max(1.0, abs(true)) for score in scores)
        for scores, true in zip(found, worst.tolist(), strict=True)
    ]
    return sum(hits) / (k * len(vectors))


def lists_by_hand(
    scores: np.ndarray, names: Sequence[Any], recordings: Sequence[int], *, own: Sequence[int], k: int
) -> list[list[tuple[Any, float]]]:
    """Return (name, score) of the k best of each row: the truth of every list.

    Scores have six digits and fall; of equal ones the lower name is first. A recording is listed once, and the
    row's `own` one never.
    """
    lists = []
    for row, recording in zip(np.round(scores, 6).astype(np.float32).tolist(), own, strict=True):
        seen, found = {recording}, []
        for negative, name, other in sorted(zip([-score for score in row], names, recordings, strict=True)):
            if other not in seen:
                seen.add(other)
                found.append((name, -negative))
        lists.append(found[:k])
    return lists


def nearest_by_hand(queries: Items, candidates: Items, *, k: int) -> list[list[tuple[int, float]]]:
    """Return (key, cosine) of the k nearest candidates of each query: the truth of the kernel."""
    scores = scores_by_hand(queries.vectors, "cosine", among=candidates.vectors)
    keys, recordings = candidates.keys.tolist(), candidates.facts[:, 0].tolist()
    return lists_by_hand(scores, keys, recordings, own=queries.facts[:, 0].tolist(), k=k)


def named_lists_by_hand(
    vectors: np.ndarray, names: Sequence[Any], recordings: Sequence[int], *, k: int
) -> Mapping[Any, list[tuple[Any, float]]]:
    """Return (name, cosine) of each song's k nearest others: the truth of what is published."""
    scores = scores_by_hand(vectors, "cosine")
    lists = lists_by_hand(scores, names, recordings, own=recordings, k=k)
    return dict(zip(names, lists, strict=True))


Song = Mapping[str, Any]


def ruled_lists_by_hand(
    scores: np.ndarray,
    songs: Sequence[Song],
    queries: Sequence[Song],
    *,
    limits: Mapping[str, tuple[int, int]],
    may_list: Callable[[Song, Song], bool],
    k: int,
) -> list[list[tuple[int, float]]]:
    """Return (key, score) of the list of each row under rules: the best first, and each that still fits.

    `limits` say of each kind of group how many of one a list may hold, and how many of the query's own; None is no
    group. `may_list` says whether a query's list may hold a song at all.
    """
    lists = []
    for row, query in zip(np.round(scores, 6).astype(np.float32).tolist(), queries, strict=True):
        listed: list[tuple[Song, float]] = []
        for song, score in sorted(zip(songs, row, strict=True), key=lambda pair: (-pair[1], pair[0]["key"])):
            fits = may_list(query, song)
            for kind, (most, of_own) in limits.items():
                held = sum(other[kind] == song[kind] for other, _ in listed)
                limit = of_own if song[kind] == query[kind] else most
                fits &= song[kind] is None or held < limit
            if fits and len(listed) < k:
                listed.append((song, score))
        lists.append([(song["key"], score) for song, score in listed])
    return lists
