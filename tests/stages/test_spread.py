import numpy as np
import pytest
import scipy.stats

from musicrec import schemas
from musicrec.stages.spread import (
    as_offers,
    as_places,
    as_spread_lists,
    count_places,
    keep_forgotten,
    measure_occurrence,
    recount_places,
)  # fmt: skip

RECORDINGS = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "e2": 5, "f": 6, "g": 7}


def places_of(lists, recordings, *, k: int):
    counts = count_places(lists)
    forgotten = keep_forgotten(lists, counts=counts)
    offers = as_offers(lists, forgotten=forgotten, recordings=recordings)
    return as_places(lists, offers=offers, counts=counts, k=k)


def spread(spark, lists: dict[str, list[tuple[float, str]]], *, k: int) -> dict[str, list[str]]:
    rows = [
        (song, [(-score, other, RECORDINGS[other]) for score, other in places]) for song, places in lists.items()
    ]
    frame = spark.createDataFrame(rows, schemas.LISTS)
    recordings = spark.createDataFrame(list(RECORDINGS.items()), "track_id string, recording_key long")
    places = places_of(frame, recordings, k=k)
    assert places.schema.names == schemas.PLACES.names
    found = as_spread_lists(frame, places=places).collect()
    for row in found:
        assert [p["negative_score"] for p in row["list"]] == sorted(p["negative_score"] for p in row["list"])
    return {row["track_id"]: [p["track_id"] for p in row["list"]] for row in found}


def test_a_forgotten_song_gets_the_last_place_of_its_nearest(spark) -> None:
    lists = {
        "a": [(0.9, "b"), (0.8, "c")],
        "b": [(0.9, "a"), (0.7, "c")],
        "c": [(0.8, "a"), (0.7, "b")],
        "d": [(0.5, "b"), (0.4, "a")],
    }
    # b loses c, which a still holds; everything else stays.
    assert spread(spark, lists, k=2) == {"a": ["b", "c"], "b": ["a", "d"], "c": ["a", "b"], "d": ["b", "a"]}


def test_a_list_with_room_loses_nothing(spark) -> None:
    lists = {"a": [(0.9, "b")], "b": [(0.9, "a")], "d": [(0.5, "b")]}
    assert spread(spark, lists, k=2) == {"a": ["b"], "b": ["a", "d"], "d": ["b"]}


def test_the_only_list_that_holds_a_song_keeps_it(spark) -> None:
    # Whatever list d asks for a place would forget another song for it.
    lists = {"a": [(0.9, "b")], "b": [(0.8, "c")], "c": [(0.8, "a")], "d": [(0.5, "a")]}
    assert spread(spark, lists, k=1) == {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}


def test_two_lists_do_not_both_drop_a_song_that_stands_in_two(spark) -> None:
    lists = {
        "a": [(0.9, "b"), (0.8, "c")],
        "b": [(0.9, "a"), (0.7, "c")],
        "c": [(0.8, "a"), (0.7, "b")],
        "d": [(0.5, "a"), (0.4, "b")],
        "f": [(0.6, "b"), (0.4, "a")],
    }
    found = spread(spark, lists, k=2)
    listed = {other for places in found.values() for other in places}
    assert {"a", "b", "c"} <= listed
    assert len({"d", "f"} & listed) == 1


def test_another_release_takes_the_place_of_its_recording(spark) -> None:
    lists = {
        "a": [(0.9, "e"), (0.8, "b")],
        "b": [(0.9, "a"), (0.7, "e")],
        "e": [(0.9, "a"), (0.7, "b")],
        "e2": [(0.85, "a"), (0.6, "b")],
    }
    found = spread(spark, lists, k=2)
    assert found["a"] == ["e2", "b"]
    assert all(len({RECORDINGS[o] for o in places}) == len(places) for places in found.values())


def test_promises_hold_on_random_lists_and_hardly_a_song_is_forgotten(spark) -> None:
    rng = np.random.default_rng(0)
    n, k = 400, 5
    points = rng.standard_normal((n, 12))
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -2)
    order = np.argsort(-scores, axis=1)[:, :k]
    names = [f"s{i:03d}" for i in range(n)]
    rows = [(names[i], [(-float(scores[i, j]), names[j], int(j)) for j in order[i]]) for i in range(n)]
    lists = spark.createDataFrame(rows, schemas.LISTS).repartition(3)
    recordings = spark.createDataFrame(
        [(name, i) for i, name in enumerate(names)], "track_id string, recording_key long"
    )
    places = places_of(lists, recordings, k=k)
    spread_lists = as_spread_lists(lists, places=places)
    after = spread_lists.toPandas()
    before_counts = np.bincount(order.ravel(), minlength=n)
    found = {row.track_id: [p["track_id"] for p in row.list] for row in after.itertuples()}
    counts = np.bincount([names.index(o) for places in found.values() for o in places], minlength=n)
    assert sorted(found) == names
    assert all(len(set(places)) == k and name not in places for name, places in found.items())
    # Who was listed still is; nearly all others are now.
    assert (counts[before_counts > 0] > 0).all()
    assert (counts == 0).sum() < 0.25 * (before_counts == 0).sum()
    changed = sum(len(set(found[names[i]]) - {names[j] for j in order[i]}) for i in range(n))
    assert changed <= (before_counts == 0).sum()
    recounted = recount_places(count_places(lists), places=places).toPandas().sort_values("key")
    counted = count_places(spread_lists).toPandas().sort_values("key")
    assert recounted.to_numpy().tolist() == counted.to_numpy().tolist()
    occurrence = measure_occurrence(count_places(lists), n_songs=n)
    assert occurrence.forgotten_share == pytest.approx((before_counts == 0).mean())
    assert occurrence.skewness == pytest.approx(scipy.stats.skew(before_counts))
