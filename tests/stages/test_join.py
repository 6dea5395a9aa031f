"""Embeddings → lists through Spark, against exact search by hand."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from musicrec import schemas
from musicrec.algorithms.hashing import Exact, Voronoi, make_hyperplane
from musicrec.algorithms.kernel import SLACK
from musicrec.algorithms.layout import Layout, estimate_loads, make_layout
from musicrec.algorithms.spaces import Space
from musicrec.stages import bucket, join, rank
from musicrec.storage.session import partition_targets

DIM = 8


def make_embeddings(
    n: int, *, seed: int = 0, n_duplicates: int = 0, n_recordings: int | None = None
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    vectors[rng.choice(n, n_duplicates, replace=False)] = vectors[rng.integers(0, n, n_duplicates)]
    keys = rng.choice(10**9, n, replace=False)
    recordings = keys if n_recordings is None else rng.integers(0, n_recordings, n)
    ids = [f"id{i:05d}" for i in rng.permutation(n)]
    return pd.DataFrame(
        {"track_key": keys, "track_id": ids, "recording_key": recordings, "embedding": list(vectors)}
    )


def by_hand(songs: pd.DataFrame, *, k: int) -> dict[str, list[tuple[str, float]]]:
    vectors = np.stack(songs["embedding"]).astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = np.round(unit @ unit.T, 6).astype(np.float32)
    ids, recordings = songs["track_id"].tolist(), songs["recording_key"].tolist()
    lists = {}
    for i, own in enumerate(ids):
        seen, found = {recordings[i]}, []
        for negative, other, recording in sorted(zip(-scores[i], ids, recordings, strict=True)):
            if recording not in seen:
                seen.add(recording)
                found.append((other, float(-negative)))
        lists[own] = found[:k]
    return lists


def members_of(embeddings, *, k: int):
    vectors = bucket.as_vectors(embeddings, one_per_recording=True, space=Space())
    return bucket.as_members(vectors, repeated=bucket.keep_repeated(vectors), k=k)


def layout_of(songs: pd.DataFrame, *, family, max_unit_rows: int, partitions: int) -> Layout:
    buckets = family.assign(np.stack(songs["embedding"]).astype(np.float32))
    loads = estimate_loads(buckets, n_homes=family.n_homes, n_items=len(songs))
    return make_layout(loads, max_unit_rows=max_unit_rows, n_partitions=partitions)


def through_spark(spark, songs: pd.DataFrame, *, k: int, family, max_unit_rows: int = 10**6, partitions: int = 3):
    types = {"track_key": pa.int64(), "track_id": pa.string(), "recording_key": pa.int64()}
    table = pa.Table.from_pandas(songs, schema=pa.schema({**types, "embedding": pa.list_(pa.float32())}))
    embeddings = spark.createDataFrame(table).repartition(partitions)
    members = members_of(embeddings, k=k).persist()
    layout = layout_of(songs, family=family, max_unit_rows=max_unit_rows, partitions=partitions)
    targets = partition_targets(spark, partitions)
    blocks = bucket.as_blocks(
        bucket.keep_items(members), family=family, space=Space(), layout=layout, targets=targets
    )
    settings = join.JoinSettings(k=k, n_spare=SLACK, space=Space())
    candidates = join.as_candidates(blocks, n_partitions=partitions, settings=settings).persist()
    neighbors = (
        candidates.drop("neighbor_recordings")
        if family.n_homes == 1
        else join.as_neighbors(candidates, n_partitions=partitions, k=k)
    )
    lists = rank.keep_best(rank.as_lists(members, neighbors=neighbors), k=k)
    rows = rank.as_recommendations(lists).toPandas()
    assert list(rows.columns) == schemas.RECOMMENDATIONS.names
    for cached in (members, candidates):
        cached.unpersist()
    return rows.sort_values(["track_id", "rank"]).reset_index(drop=True)


def as_dict(rows: pd.DataFrame) -> dict[str, list[tuple[str, float]]]:
    return {
        track_id: list(zip(group["recommended_track_id"], group["score"], strict=True))
        for track_id, group in rows.groupby("track_id")
    }


CASES = {
    "plain": {},
    "duplicates": {"n_duplicates": 150},
    "releases": {"n_recordings": 120},
    "both": {"n_duplicates": 150, "n_recordings": 120},
}


@pytest.mark.parametrize(
    ("case", "max_unit_rows"),
    [("plain", 10**6), ("both", 10**6), ("duplicates", 64), ("releases", 64), ("both", 64)],
)
def test_exact_family_equals_search_by_hand(spark, case: str, max_unit_rows: int) -> None:
    songs = make_embeddings(300, **CASES[case])
    found = as_dict(through_spark(spark, songs, k=5, family=Exact(), max_unit_rows=max_unit_rows))
    expected = by_hand(songs, k=5)
    assert {i: [o for o, _ in f] for i, f in found.items()} == {i: [o for o, _ in f] for i, f in expected.items()}
    for track_id, pairs in expected.items():
        np.testing.assert_allclose([s for _, s in found[track_id]], [s for _, s in pairs], atol=1.1e-6)


def test_all_songs_identical(spark) -> None:
    songs = make_embeddings(500)
    songs["embedding"] = [songs["embedding"][0]] * 500
    found = as_dict(through_spark(spark, songs, k=5, family=Exact()))
    ids = sorted(songs["track_id"])
    assert found[ids[100]] == [(i, 1.0) for i in ids[:5]]
    assert found[ids[0]] == [(i, 1.0) for i in ids[1:6]]


def test_two_songs_and_one(spark) -> None:
    two = make_embeddings(2)
    found = as_dict(through_spark(spark, two, k=10, family=Exact()))
    assert {k: [o for o, _ in v] for k, v in found.items()} == {"id00000": ["id00001"], "id00001": ["id00000"]}
    assert through_spark(spark, make_embeddings(1), k=10, family=Exact()).empty


def families():
    leaders = np.stack(make_embeddings(12, seed=9)["embedding"])
    return {
        "voronoi": Voronoi(leaders, 0.4, 6),
        "hyperplane": make_hyperplane(n_tables=6, n_bits=3, dim=DIM, seed=0),
    }


@pytest.mark.parametrize("name", ["voronoi", "hyperplane"])
def test_buckets_find_most_and_never_invent(spark, name: str) -> None:
    songs = make_embeddings(400, n_recordings=300)
    found, expected = as_dict(through_spark(spark, songs, k=5, family=families()[name])), by_hand(songs, k=5)
    everything = by_hand(songs, k=400)
    hits = sum(len({o for o, _ in found.get(i, [])} & {o for o, _ in pairs}) for i, pairs in expected.items())
    assert hits / sum(map(len, expected.values())) > 0.9
    scores = {(i, o): s for i, pairs in everything.items() for o, s in pairs}
    for track_id, pairs in found.items():
        for other, score in pairs:
            if (track_id, other) in scores:
                assert score == pytest.approx(scores[track_id, other], abs=1.1e-6)


@pytest.mark.parametrize("name", ["voronoi", "hyperplane"])
def test_nothing_changes_with_partitions_or_batches(spark, name: str) -> None:
    songs = make_embeddings(400, n_duplicates=60, n_recordings=300)
    family = families()[name]
    first = through_spark(spark, songs, k=5, family=family, partitions=2, max_unit_rows=64)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "7")
    try:
        second = through_spark(spark, songs, k=5, family=family, partitions=7, max_unit_rows=64)
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "16384")
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_large_bucket_is_many_units_of_bounded_size(spark) -> None:
    songs = make_embeddings(600)
    embeddings = spark.createDataFrame(songs)
    embeddings = embeddings.select(
        "track_key", "track_id", "recording_key", embeddings.embedding.cast("array<float>")
    )
    members = members_of(embeddings, k=5)
    layout = layout_of(songs, family=Exact(), max_unit_rows=100, partitions=3)
    targets = partition_targets(spark, 3)
    blocks = bucket.as_blocks(
        bucket.keep_items(members), family=Exact(), space=Space(), layout=layout, targets=targets
    )
    units = blocks.toPandas()
    assert set(units["unit"]) == set(range(6))
    assert units.groupby(["unit", "part"])["n"].sum().max() < 160
    assert (units.groupby("unit")["n"].sum() == 600).all()
    # Two units in each of the three partitions, and Spark puts them where the layout says.
    placed = blocks.repartition(3, "target").select("unit", F.spark_partition_id().alias("place")).distinct()
    places = {row["unit"]: row["place"] for row in placed.collect()}
    assert places == {unit: layout.partition_of(0, unit) for unit in range(6)}
    assert sorted(places.values()) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("n_partitions", [1, 7, 200])
def test_targets_reach_each_partition(spark, n_partitions: int) -> None:
    targets = partition_targets(spark, n_partitions)
    rows = spark.createDataFrame([(t,) for t in targets], "target int").repartition(n_partitions, "target")
    found = {
        r["target"]: r["place"] for r in rows.select("target", F.spark_partition_id().alias("place")).collect()
    }
    assert [found[t] for t in targets] == list(range(n_partitions))
