"""Embeddings → lists through Spark, against exact search by hand."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from musicrec import schemas
from musicrec.catalog.number import write_vector_numbers
from musicrec.config import load_config
from musicrec.config_lists import ListsConfig
from musicrec.context import Context
from musicrec.lists.rank import write_lists
from musicrec.lists.sort import as_recommendations
from musicrec.neighbors import cell_tasks, join_tasks, pack
from musicrec.neighbors.item_files import ItemFiles
from musicrec.neighbors.search.hashing import Exact, HashFamily, make_hyperplane
from musicrec.neighbors.search.index import CellIndex, cut_parts, cut_units
from musicrec.neighbors.search.items import concatenate
from musicrec.neighbors.search.kernel import SLACK
from musicrec.neighbors.search.leaders import fit_leaders
from musicrec.neighbors.search.reach import same_reach
from musicrec.neighbors.search.rules import ListRules, make_rules
from musicrec.neighbors.search.spaces import Space, fit_frame
from musicrec.neighbors.search.voronoi import Voronoi
from musicrec.spark.partitions import partition_targets
from musicrec.storage import datasets, runs
from musicrec.storage.rows import RowFiles
from tests.made import ONE_COLUMN
from tests.oracles import named_lists_by_hand, ruled_lists_by_hand, scores_by_hand
from tests.roots import as_store

DIM = 8


# Of artists a list holds two, of its own song's one; flags bar songs of another kind, and of another year.
RULED = ListsConfig(one_per_work=False, years_apart=2, exclude_flags=("holiday",))


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
        {"track_key": keys, "track_id": ids, "facts": list(recordings[:, None]), "embedding": list(vectors)}
    )


def by_hand(songs: pd.DataFrame, *, k: int) -> Mapping[str, list[tuple[str, float]]]:
    ids, recordings = songs["track_id"].tolist(), np.stack(songs["facts"])[:, 0].tolist()
    return named_lists_by_hand(np.stack(songs["embedding"]), ids, recordings, k=k)


def as_frame(spark, songs: pd.DataFrame, *, partitions: int):
    types = {"track_key": pa.int64(), "track_id": pa.string(), "facts": pa.list_(pa.int64())}
    table = pa.Table.from_pandas(songs, schema=pa.schema({**types, "embedding": pa.list_(pa.float32())}))
    return spark.createDataFrame(table).repartition(partitions)


def as_blocks(spark, embeddings, directory: Path, settings: cell_tasks.CellSettings):
    files = ItemFiles(as_store(directory))
    rows = pack.write_pieces(embeddings, share=0.1, seed=1, write=files.write).collect()
    numbers = [row["piece"] for row in rows]
    assert sum(row["n_rows"] for row in rows) == embeddings.count()
    return cell_tasks.as_blocks(
        spark.range(0, len(numbers), 1, len(numbers)),
        settings=settings,
        targets=partition_targets(len(settings.first_cells) - 1),
        read=lambda place: files.read(numbers[place]),
    )


def through_spark(
    spark,
    songs: pd.DataFrame,
    directory,
    *,
    k: int,
    family: HashFamily,
    n_units: int = 3,
    partitions: int = 3,
    lists: ListsConfig | None = None,
) -> pd.DataFrame:
    embeddings = as_frame(spark, songs, partitions=partitions)
    first_cells = cut_parts(np.ones(family.n_cells), n_parts=partitions)
    rules = make_rules(lists) if lists else ListRules()
    settings = cell_tasks.CellSettings(family, Space(), first_cells, drawn_share=0.5, seed=1, rules=rules)
    files = ItemFiles(as_store(directory / f"cells-{partitions}"))
    blocks = as_blocks(spark, embeddings, directory / f"pieces-{partitions}", settings)
    context = make_context(spark, directory / f"run-{partitions}", k=k, lists=lists)
    repeated = context.files(datasets.REPEATED)
    cells = cell_tasks.write_parts(blocks, settings=settings, write=files.write, write_repeated=repeated.write)
    counts = np.zeros(family.n_cells, dtype=np.int64)
    for row in cells.collect():
        counts[row["cell"]] = row["n_items"]
    index = CellIndex(np.concatenate([[0], np.cumsum(counts)]), first_cells)
    n_cells = family.n_cells // family.n_tables
    units = cut_units(index.starts[: n_cells + 1], np.ones(n_cells), n_units=n_units, max_rows=10**6)
    plan = join_tasks.JoinSettings(
        k, SLACK, rules, Space(), fit_frame(np.zeros((1, DIM), np.float32), Space()), family, index, units,
        np.arange(3), files.read,
    )  # fmt: skip
    tasks, lists_of = context.numbers(len(units) - 1), context.files(datasets.NEIGHBORS)
    rows = join_tasks.write_units(
        tasks, settings=plan, write=lambda u, f: lists_of.write(u, join_tasks.as_neighbors(f))
    ).collect()
    assert sum(row["n_items"] for row in rows) == index.starts[n_cells]
    described = SimpleNamespace(n_songs=len(songs), n_repeated=repeated.count(), repeated=repeated)
    numbered = write_vector_numbers(context, embeddings, n_songs=len(songs))
    lists = write_lists(context, described, numbered)
    found = [as_recommendations(lists, part).to_pandas() for part in range(numbered.n_ranges)]
    rows = pd.concat(found, ignore_index=True)
    assert list(rows.columns) == schemas.RECOMMENDATIONS.names
    assert rows[["track_id", "rank"]].apply(tuple, axis=1).is_monotonic_increasing
    return rows


def make_context(spark, root: Path, *, k: int, lists: ListsConfig | None = None) -> Context:
    config = load_config(overrides=[f"neighbors.k={k}", "input.tracks=none", *ONE_COLUMN])
    config = config.model_copy(update={"lists": lists or config.lists})
    return Context(spark, config, runs.start_run(runs.open_root(str(root)), run_date=date(2026, 1, 2)))


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.iterdir()}


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
    ("case", "n_cells"), [("plain", 1), ("both", 1), ("duplicates", 5), ("releases", 5), ("both", 5)]
)
def test_exact_family_equals_search_by_hand(spark, tmp_path, case: str, n_cells: int) -> None:
    songs = make_embeddings(300, **CASES[case])
    found = as_dict(through_spark(spark, songs, tmp_path, k=5, family=Exact(n_cells)))
    expected = by_hand(songs, k=5)
    assert {i: [o for o, _ in f] for i, f in found.items()} == {i: [o for o, _ in f] for i, f in expected.items()}
    for track_id, pairs in expected.items():
        np.testing.assert_allclose([s for _, s in found[track_id]], [s for _, s in pairs], atol=1.1e-6)


def test_all_songs_identical(spark, tmp_path) -> None:
    songs = make_embeddings(500)
    songs["embedding"] = [songs["embedding"][0]] * 500
    found = as_dict(through_spark(spark, songs, tmp_path, k=5, family=Exact(3)))
    ids = sorted(songs["track_id"])
    assert found[ids[100]] == [(i, 1.0) for i in ids[:5]]
    assert found[ids[0]] == [(i, 1.0) for i in ids[1:6]]


def test_two_songs_and_one(spark, tmp_path) -> None:
    two = make_embeddings(2)
    found = as_dict(through_spark(spark, two, tmp_path / "two", k=10, family=Exact(1)))
    assert {k: [o for o, _ in v] for k, v in found.items()} == {"id00000": ["id00001"], "id00001": ["id00000"]}
    assert through_spark(spark, make_embeddings(1), tmp_path / "one", k=10, family=Exact(1)).empty


@pytest.mark.parametrize("n_vectors", [1, 3, 40, 300])
def test_songs_of_few_vectors_are_listed_by_the_rules(spark, tmp_path, n_vectors: int) -> None:
    """Where a vector has few different facts songs of each are an item; where it has many, all are one."""
    rng, n, k = np.random.default_rng(n_vectors), 300, 5
    songs = make_embeddings(n)
    vectors = np.stack(songs["embedding"])[rng.integers(0, n_vectors, n)]
    # Of a recording all is the same, of an artist nothing.
    of_recording = np.column_stack(
        [rng.integers(0, 40, 150), 4 * rng.integers(0, 2, 150), rng.integers(0, 9, 150)]
    )
    recording = rng.integers(0, 150, n)
    facts = np.column_stack([recording + 10**10, of_recording[recording]])
    facts[facts[:, 1] == 0, 1] = -1
    songs["embedding"], songs["facts"] = list(vectors), list(facts)
    found = as_dict(through_spark(spark, songs, tmp_path, k=k, family=Exact(3), lists=RULED))
    named = [
        {
            "key": name,
            "recording": row[0],
            "artist": None if row[1] < 0 else row[1],
            "flag": row[2],
            "year": row[3],
        }
        for name, row in zip(songs["track_id"], facts.tolist(), strict=True)
    ]
    expected = ruled_lists_by_hand(
        scores_by_hand(vectors, "cosine"), named, named, limits={"recording": (1, 0), "artist": (2, 1)}, k=k,
        may_list=lambda query, song: song["flag"] <= query["flag"] and abs(song["year"] - query["year"]) <= 2,
    )  # fmt: skip
    for song, pairs in zip(named, expected, strict=True):
        scores = [score for _, score in found.get(song["key"], [])]
        np.testing.assert_allclose(scores, [score for _, score in pairs], atol=1.1e-6)


def families() -> dict[str, HashFamily]:
    vectors = np.stack(make_embeddings(400, seed=9)["embedding"])
    return {
        "voronoi": Voronoi(fit_leaders(vectors, n_leaders=20, seed=0), same_reach(0.95), 20),
        "hyperplane": make_hyperplane(n_tables=6, n_bits=3, dim=DIM, seed=0),
    }


@pytest.mark.parametrize("name", ["voronoi", "hyperplane"])
def test_cells_find_most_never_invent_and_depend_on_no_partitions_units_or_batches(
    spark, tmp_path, name: str
) -> None:
    songs = make_embeddings(400, n_duplicates=60, n_recordings=300)
    family = families()[name]
    first = through_spark(spark, songs, tmp_path, k=5, family=family, partitions=2, n_units=2)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "7")
    try:
        second = through_spark(spark, songs, tmp_path, k=5, family=family, partitions=7, n_units=11)
    finally:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "16384")
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    found, expected, everything = as_dict(first), by_hand(songs, k=5), by_hand(songs, k=400)
    hits = sum(len({o for o, _ in found.get(i, [])} & {o for o, _ in pairs}) for i, pairs in expected.items())
    assert hits / sum(map(len, expected.values())) > 0.8
    scores = {(i, o): s for i, pairs in everything.items() for o, s in pairs}
    for track_id, pairs in found.items():
        for other, score in pairs:
            if (track_id, other) in scores:
                assert score == pytest.approx(scores[track_id, other], abs=1.1e-6)


def test_cells_hold_each_item_once_by_cell_and_key(spark, tmp_path) -> None:
    songs = make_embeddings(500, n_duplicates=100)
    family, files = families()["voronoi"], ItemFiles(as_store(tmp_path / "cells"))
    settings = cell_tasks.CellSettings(family, Space(), np.array([0, 7, 20]), drawn_share=0.2, seed=1)
    blocks = as_blocks(spark, as_frame(spark, songs, partitions=3), tmp_path / "pieces", settings)
    repeated = RowFiles(as_store(tmp_path / "repeated"))
    formed = cell_tasks.write_parts(blocks, settings=settings, write=files.write, write_repeated=repeated.write)
    rows = formed.toPandas().sort_values("cell")
    items = concatenate([files.read(0), files.read(1)])
    vectors = np.stack(songs["embedding"])
    first = songs.groupby([v.tobytes() for v in vectors])["track_key"].min()
    assert sorted(items.keys) == sorted(first)
    cells = family.assign(items.vectors.astype(np.float32))[:, 0]
    assert list(zip(cells, items.keys, strict=True)) == sorted(zip(cells, items.keys, strict=True))
    np.testing.assert_array_equal(rows["n_items"], np.bincount(cells, minlength=20))
    shared = repeated.read()
    assert shared.schema.names == schemas.REPEATED.names
    sharing = dict(zip(shared["track_key"].to_pylist(), shared["item_key"].to_pylist(), strict=True))
    counts = songs.groupby([v.tobytes() for v in vectors])["track_key"].transform("count")
    owners = songs.groupby([v.tobytes() for v in vectors])["track_key"].transform("min")
    several = counts > 1
    assert sharing == dict(zip(songs["track_key"][several], owners[several], strict=True))
    assert 50 < sum(map(len, rows["drawn"])) < 130
    # Written again, as a second attempt of a task would, nothing changes.
    before = contents(tmp_path / "cells") | contents(tmp_path / "repeated")
    formed.collect()
    assert before == contents(tmp_path / "cells") | contents(tmp_path / "repeated")


@pytest.mark.parametrize("n_partitions", [1, 7, 200])
def test_targets_reach_each_partition(spark, n_partitions: int) -> None:
    targets = partition_targets(n_partitions)
    rows = spark.createDataFrame([(t,) for t in targets], "target int").repartition(n_partitions, "target")
    found = {
        r["target"]: r["place"] for r in rows.select("target", F.spark_partition_id().alias("place")).collect()
    }
    assert [found[t] for t in targets] == list(range(n_partitions))
