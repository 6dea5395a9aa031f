import math

import pandas as pd
import pytest

from musicrec import schemas
from musicrec.lists import favorites, rank
from musicrec.lists.check import as_checked_lists, keep_unknown

LISTS = {
    "a": ["x", "y", "b"],
    "b": ["y", "z", "a"],
    "c": ["w"],
    "r": ["x2", "x"],
}
RECORDING = {"x": 1, "x2": 1, "y": 2, "z": 3, "w": 4, "a": 5, "b": 6, "c": 7, "r": 8, "a2": 5}


def listen(spark, pairs: list[tuple[str, str]], *, k: int = 10, rank_constant: int = 60) -> pd.DataFrame:
    lists = spark.createDataFrame(
        [
            (0, i, RECORDING[i], [(-0.9 + r / 10, o, RECORDING[o], 0) for r, o in enumerate(others)])
            for i, others in LISTS.items()
        ],
        schemas.LISTS,
    )
    tracks = spark.createDataFrame(list(RECORDING.items()), "track_id string, recording_key long")
    named = spark.createDataFrame(pairs, "user_id string, track_id string")
    known = favorites.keep_known(favorites.keep_named(named), tracks=tracks)
    fused = favorites.as_fused_lists(known, lists=lists, rank_constant=rank_constant)
    found = favorites.as_user_recommendations(rank.keep_best(fused, k=k), favorites=known)
    assert found.schema.names == schemas.USER_RECOMMENDATIONS.names
    return found.toPandas().sort_values(["user_id", "rank"]).reset_index(drop=True)


@pytest.fixture(scope="module")
def found(spark) -> pd.DataFrame:
    """Lists of listeners, each of one claim; nobody's depends on another's."""
    listeners = {
        "agrees": ["a", "b"],
        "knows": ["a", "nowhere"],
        "knows nothing": ["nowhere"],
        "twice": ["a", "a"],
        "once": ["a"],
        "releases": ["r"],
        "owns a release": ["b", "a2"],
    }
    return listen(spark, [(user, song) for user, songs in listeners.items() for song in songs])


def of(found: pd.DataFrame, user: str) -> pd.DataFrame:
    return found[found["user_id"] == user].drop(columns="user_id").reset_index(drop=True)


def test_agreement_beats_rank_and_favorites_are_left_out(found: pd.DataFrame) -> None:
    rows = of(found, "agrees")
    assert rows["track_id"].tolist() == ["y", "x", "z"]
    assert rows["rank"].tolist() == [1, 2, 3]
    assert rows["because_of"].tolist() == ["b", "a", "b"]
    expected = [(61 / 62 + 1) / 2, 1 / 2, 61 / 62 / 2]
    assert rows["score"].tolist() == pytest.approx(expected, abs=1e-6)


def test_unknown_ids_are_not_fatal(found: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(of(found, "knows"), of(found, "once"))
    assert of(found, "knows nothing").empty


def test_a_favorite_counts_once(found: pd.DataFrame) -> None:
    assert not of(found, "once").empty
    pd.testing.assert_frame_equal(of(found, "twice"), of(found, "once"))


def test_a_recording_is_listed_once_and_never_one_that_is_owned(found: pd.DataFrame) -> None:
    assert of(found, "releases")["track_id"].tolist() == ["x2"]
    assert of(found, "owns a release")["track_id"].tolist() == ["y", "z"]


def test_cut_to_k_by_score_then_id(spark) -> None:
    found = listen(spark, [("u", "a"), ("u", "c")], k=2)
    assert found["track_id"].tolist() == ["w", "x"]
    assert found["score"].nunique() == 1


def test_many_releases_of_few_recordings_still_fill_the_list(spark) -> None:
    """Of each of three recordings 40 releases, one recording after the other: the third stands at 80."""
    places = [(-1.0 + i / 1000, f"song{i:03d}", i // 40, i) for i in range(120)]
    lists = spark.createDataFrame([(1000, "u", 1000, places)], schemas.LISTS)
    assert [p["track_id"] for p in rank.keep_best(lists, k=3).first()["list"]] == ["song000", "song040", "song080"]
    assert [p["track_id"] for p in rank.keep_best(lists, k=2).first()["list"]] == ["song000", "song040"]


BROKEN = {
    "none": ([(1, "b", 0.9), (2, "c", 0.9)], None),
    "a gap": ([(1, "b", 0.9), (3, "c", 0.8)], "ranks are not 1..n"),
    "two first": ([(1, "b", 0.9), (1, "c", 0.8)], "ranks are not 1..n"),
    "too many": ([(i, str(i), 0.5) for i in range(1, 5)], "more than k recommendations"),
    "itself": ([(1, "itself", 0.9)], "recommends itself"),
    "twice": ([(1, "b", 0.9), (2, "b", 0.8)], "recommends a song twice"),
    "no number": ([(1, "b", math.nan)], "a score is no cosine"),
    "more than 1": ([(1, "b", 1.1)], "a score is no cosine"),
    "rising": ([(1, "b", 0.8), (2, "c", 0.9)], "scores rise"),
}


def test_checks_see_each_broken_promise(spark) -> None:
    rows = [(track_id, *place) for track_id, (places, _) in BROKEN.items() for place in places]
    checked = as_checked_lists(spark.createDataFrame(rows, schemas.RECOMMENDATIONS), k=3).collect()
    problems = {row["track_id"]: row["problem"] for row in checked}
    assert problems == {track_id: problem for track_id, (_, problem) in BROKEN.items()}


def test_unknown_recommendations_are_seen(spark) -> None:
    recommendations = spark.createDataFrame([("a", 1, "b", 0.9), ("b", 1, "ghost", 0.9)], schemas.RECOMMENDATIONS)
    tracks = spark.createDataFrame([("a",), ("b",)], "track_id string")
    assert [r["track_id"] for r in keep_unknown(recommendations, tracks=tracks).collect()] == ["ghost"]
