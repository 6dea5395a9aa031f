"""What is checked before it is published: each broken promise is seen, and files are read back."""

import numpy as np
import pyarrow as pa
import pytest

from musicrec.lists.check_tasks import as_status, find_problems
from musicrec.lists.nearest import Places

NAN = float("nan")
# Lists of song 5 of 9, of three places.
BROKEN = {
    "a list has a gap": ([1, -1, 2], [0.9, NAN, 0.8]),
    "recommends a song that the catalog does not have": ([1, 9, -1], [0.9, 0.8, NAN]),
    "recommends itself": ([5, -1, -1], [0.9, NAN, NAN]),
    "recommends a song twice": ([1, 2, 1], [0.9, 0.9, 0.8]),
    "a score is no cosine": ([1, -1, -1], [1.1, NAN, NAN]),
    "scores rise": ([1, 2, -1], [0.8, 0.9, NAN]),
}


def places(ids: list[int], scores: list[float]) -> Places:
    return Places(np.array([ids], dtype=np.int32), np.array([scores], dtype=np.float32))


@pytest.mark.parametrize("problem", BROKEN)
def test_each_broken_promise_is_seen(problem: str) -> None:
    assert {
        name: rows.tolist() for name, rows in find_problems(places(*BROKEN[problem]), first=5, n_songs=9).items()
    } == {problem: [0]}


def test_a_score_that_is_no_number_is_seen() -> None:
    assert list(find_problems(places([1, 2, -1], [NAN, 0.5, NAN]), first=5, n_songs=9)) == ["a score is no cosine"]


def test_a_good_list_has_no_problem() -> None:
    assert find_problems(places([1, 2, -1], [0.9, 0.9, NAN]), first=5, n_songs=9) == {}


def test_refused_ids_stand_between_the_songs_unless_they_are_one() -> None:
    lists = Places(
        np.array([[1, -1], [-1, -1]], dtype=np.int32), np.array([[0.5, NAN], [NAN, NAN]], dtype=np.float32)
    )
    refused = pa.table({"track_id": ["a", "b", "d"], "reason": ["missing_id", "tempo_nan", "tempo_nan"]})
    status = as_status(pa.array(["b", "c"]), lists, refused=refused, reason="no_neighbor_found")
    assert [tuple(row.values()) for row in status.to_pylist()] == [
        ("a", "quarantined", "missing_id", 0),
        ("b", "recommended", None, 1),
        ("c", "not_recommended", "no_neighbor_found", 0),
        ("d", "quarantined", "tempo_nan", 0),
    ]
