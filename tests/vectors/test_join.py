"""The neighbor join alone: any ids, vectors and metric, against search by hand; and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from musicrec.cli import main
from musicrec.config import load_config
from musicrec.errors import InputError, QualityError, StorageError
from musicrec.storage.datasets import REPLACED_NEIGHBORS
from musicrec.vectors import ids as ids_module
from musicrec.vectors.join import join_vectors
from musicrec.vectors.read import VectorsInput
from tests.catalog.test_cases import CASES
from tests.oracles import best_scores, recall_by_hand, scores_by_hand

N = 400
BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"


def make_vectors(*, half: bool = False, n: int = N, dim: int = 6) -> np.ndarray:
    """Vectors of different lengths, not centered, a tenth of them exact copies of others."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, dim)) * rng.uniform(0.5, 2.0, (n, 1)) + 0.3
    vectors[: n // 10] = vectors[n // 2 : n // 2 + n // 10]
    return vectors.astype(np.float16 if half else np.float32).astype(np.float32)


def whole_ids(n: int = N) -> list[int]:
    return np.random.default_rng(1).choice(10**15, n, replace=False).tolist()


def write(path: Path, ids: list, vectors, *, names: tuple[str, str] = ("id", "vector"), kind=None) -> Path:
    path.mkdir()
    column = pa.array(list(vectors), type=kind or pa.list_(pa.float32()))
    pq.write_table(pa.table({names[0]: pa.array(ids), names[1]: column}), path / "part.parquet")
    return path


def run(spark, vectors: Path, output: Path, *overrides: str, metric: str = "cosine", overwrite: bool = False):
    """Join and return {id: [(neighbor_id, score), ...]} and the report."""
    own = [
        f"output.root={output}",
        "neighbors.k=5",
    ]
    config = load_config(overrides=[*own, *overrides])
    join_vectors(spark, config, VectorsInput(str(vectors), "id", "vector", metric), overwrite=overwrite)
    table = ds.dataset(output / "neighbors").to_table().sort_by([("id", "ascending"), ("rank", "ascending")])
    lists: dict = {}
    for row in table.to_pylist():
        lists.setdefault(row["id"], []).append((row["neighbor_id"], row["score"]))
        assert row["rank"] == len(lists[row["id"]])
    return lists, json.loads((output / "report.json").read_text())


@pytest.mark.parametrize(("metric", "half"), [("cosine", False), ("dot", True), ("euclidean", False)])
def test_lists_are_those_by_hand(spark, tmp_path: Path, metric: str, half: bool) -> None:
    """Whole-number ids where halves hold the vectors, text where not."""
    vectors, ids = make_vectors(half=half), [i if half else f"song {i}" for i in whole_ids()]
    lists, report = run(spark, write(tmp_path / "in", ids, vectors), tmp_path / "out", metric=metric)
    assert report["half_precision"] is half
    assert report["recall_at_k"] == 1.0
    assert report["n_items"] == N - N // 10
    exact, best = scores_by_hand(vectors, metric), best_scores(vectors, metric, k=5)
    row_of = {i: row for row, i in enumerate(ids)}
    assert set(lists) == set(ids)
    for i, found in lists.items():
        scores = [score for _, score in found]
        np.testing.assert_allclose(scores, best[row_of[i]], rtol=1e-5, atol=2e-6)
        named = [exact[row_of[i], row_of[other]] for other, _ in found]
        np.testing.assert_allclose(named, scores, rtol=1e-5, atol=2e-6)
        assert len({other for other, _ in found} - {i}) == 5


@pytest.mark.parametrize(
    ("metric", "family"), [("cosine", "voronoi"), ("euclidean", "voronoi"), ("dot", "hyperplane")]
)
def test_buckets_reach_the_target_and_nothing_depends_on_partitions(
    spark, tmp_path: Path, metric: str, family: str
) -> None:
    vectors, ids = make_vectors(n=1500)[150:], whole_ids(1350)
    source = write(tmp_path / "in", ids, vectors)
    settings = (
        "neighbors.expert.exact_below=0", "neighbors.expert.cell_size=100", "neighbors.target_recall=0.9",
        "neighbors.expert.n_tables=16", f"neighbors.hash_family={family}", "neighbors.expert.max_unit_rows=150",
    )  # fmt: skip
    results = []
    before = {name: spark.conf.get(name) for name in ("spark.sql.shuffle.partitions", BATCH)}
    try:
        for partitions, batch in ((2, 16384), (7, 50)):
            spark.conf.set("spark.sql.shuffle.partitions", partitions)
            spark.conf.set(BATCH, batch)
            results.append(run(spark, source, tmp_path / f"out{partitions}", *settings, metric=metric))
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
    assert results[0][0] == results[1][0]
    report = results[0][1]
    assert report["hash_family"] == family
    assert report["n_units"] >= 1350 // 150
    if family == "voronoi":
        assert report["target_met"]
        assert report["recall_lower_95"] >= 0.9
        # Cheaper than to compare all.
        assert report["pairs_per_item"] < 1350 * 0.8
    found = [[score for _, score in results[0][0].get(i, [])] for i in ids]
    assert report["recall_at_k"] == pytest.approx(recall_by_hand(found, vectors, metric, k=5), abs=1e-6)


def test_all_vectors_equal(spark, tmp_path: Path) -> None:
    ids = whole_ids(3000)
    lists, report = run(spark, write(tmp_path / "in", ids, np.ones((3000, 4))), tmp_path / "out")
    assert report["n_items"] == 1
    first = sorted(ids)[:6]
    assert {score for found in lists.values() for _, score in found} == {1.0}
    assert all([o for o, _ in found] == [i for i in first if i != own][:5] for own, found in lists.items())


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_songs_that_share_vectors_get_the_same_lists_by_tasks_and_by_spark(
    spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    """Few of them go to every task, many do not; negative and positive ids sort by value."""
    vectors = np.repeat(make_vectors(n=100), 4, axis=0)
    ids = np.random.default_rng(2).choice(10**4, 400, replace=False) - 5000
    source = write(tmp_path / "in", ids.tolist(), vectors)
    by_tasks, _ = run(spark, source, tmp_path / "tasks", metric=metric)
    monkeypatch.setattr(ids_module, "MAX_SHARED", 10)
    by_spark, _ = run(spark, source, tmp_path / "spark", metric=metric)
    assert by_tasks == by_spark


def test_widest_vectors_and_double_precision(spark, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((40, 2048))
    source = write(tmp_path / "in", whole_ids(40), vectors, kind=pa.list_(pa.float64()))
    lists, report = run(spark, source, tmp_path / "out")
    assert report["dim"] == 2048
    first = [lists[i][0][1] for i in whole_ids(40)]
    best = best_scores(vectors.astype(np.float32), "cosine", k=1)[:, 0]
    np.testing.assert_allclose(first, best, atol=2e-6)


def spoiled(row: int, value) -> list:
    vectors = [list(map(float, v)) for v in make_vectors(n=30)]
    vectors[row] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([], "there are no vectors"),
        (spoiled(3, [1.0, 2.0]), "vectors have from 2 to 6 numbers"),
        (spoiled(3, None), "1 rows have no vector"),
        (spoiled(3, []), "1 rows have no vector"),
        (spoiled(3, [1.0, float("nan"), 0.0, 0.0, 0.0, 0.0]), "1 vectors hold NaN, infinity or NULL"),
        (spoiled(3, [1.0, float("inf"), 0.0, 0.0, 0.0, 0.0]), "1 vectors hold NaN, infinity or NULL"),
        (spoiled(3, [1.0, None, 0.0, 0.0, 0.0, 0.0]), "1 vectors hold NaN, infinity or NULL"),
        (spoiled(3, [0.0] * 6), "1 vectors are zero, or nearly"),
        ([[1.0, 2.0]], "there is only one vector"),
        ([[1.0]] * 9, "vectors must have 2 to 2048 numbers, found 1"),
    ],
)
def test_bad_vectors_are_refused(spark, tmp_path: Path, vectors: list, message: str) -> None:
    source = write(tmp_path / "in", [f"id{i}" for i in range(len(vectors))] or pa.array([], pa.string()), vectors)
    with pytest.raises(InputError, match=message) as error:
        run(spark, source, tmp_path / "out")
    if "1 " in message[:2] and "must" not in message:
        assert "id3" in error.value.where
    assert not (tmp_path / "out/neighbors").exists()


def test_the_cases_of_people(spark, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An id that stands twice is named; of five vectors that stand a hundred times each all are found."""

    def end(name: str, *more: str) -> tuple[int, str]:
        command = ["neighbors", "--vectors", str(CASES / name), "--output", str(tmp_path / name), *more]
        return main(command), capfd.readouterr().err

    code, told = end("24_neighbors_repeated_id")
    assert code == 3
    assert "ids in more than one row: s" in told
    code, told = end("25_neighbors_five_by_hundred", "--k", "1000", "-q")
    assert code == 0
    assert "each gets 499 neighbors" in told
    found = ds.dataset(tmp_path / "25_neighbors_five_by_hundred/neighbors").to_table().to_pandas()
    assert found.groupby("id")["rank"].max().tolist() == [499] * 500
    first = found[found["rank"] <= 99]
    assert (first["id"].str[:2] == first["neighbor_id"].str[:2]).all()


@pytest.mark.parametrize("ids", [["a", "b", "c", "d", "e"], [1, 2, 3, 4, 5]])
def test_all_others_are_neighbors_where_there_are_fewer_than_k(
    spark, tmp_path: Path, ids: list, caplog: pytest.LogCaptureFixture
) -> None:
    lists, _ = run(spark, write(tmp_path / "in", ids, make_vectors(n=5)), tmp_path / "out", "neighbors.k=100")
    assert {name: {other for other, _ in found} for name, found in lists.items()} == {
        name: set(ids) - {name} for name in ids
    }
    assert "k is 100, but there are only 5 vectors: each gets 4 neighbors" in caplog.text


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a", *map(str, range(9))], "ids in more than one row: a"),
        (["a", None, *map(str, range(9))], "1 rows have no id"),
        ([0.5 + i for i in range(9)], "column id must be string or"),
    ],
)
def test_bad_ids_are_refused(spark, tmp_path: Path, ids: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(spark, write(tmp_path / "in", ids, make_vectors(n=len(ids))), tmp_path / "out")


@pytest.mark.parametrize("ids", [[5, 7, 5, *range(10, 20)], ["a", "b", "a", *map(str, range(10))]])
def test_a_row_that_stands_twice_is_refused(spark, tmp_path: Path, ids: list) -> None:
    vectors = make_vectors(n=len(ids))
    vectors[2] = vectors[0]
    with pytest.raises(InputError, match=f"ids in more than one row: {ids[0]}"):
        run(spark, write(tmp_path / "in", ids, vectors), tmp_path / "out")


def test_a_page_that_is_broken_is_told_by_its_file(spark, tmp_path: Path) -> None:
    path = write(tmp_path / "vectors", whole_ids(), make_vectors()) / "part.parquet"
    content = path.read_bytes()
    # The header of the first page; the footer stays.
    path.write_bytes(content[:4] + b"\xff" * 60 + content[64:])
    with pytest.raises(InputError) as error:
        run(spark, tmp_path / "vectors", tmp_path / "out")
    assert "a file cannot be read" in str(error.value)
    assert "part.parquet" in str(error.value)


def test_a_lower_target_lowers_the_gate(spark, tmp_path: Path) -> None:
    source = write(tmp_path / "in", whole_ids(), make_vectors())
    few = (
        "neighbors.expert.exact_below=0",
        "neighbors.hash_family=hyperplane",
        "neighbors.expert.n_tables=1",
        "neighbors.expert.n_bits=6",
    )
    with pytest.raises(QualityError, match=r"at least 0\.9 is wanted"):
        run(spark, source, tmp_path / "out", *few)
    _, report = run(spark, source, tmp_path / "out", *few, "neighbors.target_recall=0.01")
    assert 0.01 < report["recall_at_k"] < 0.9


def test_truth_is_asked_enough_where_most_are_copies(spark, tmp_path: Path) -> None:
    # 40 songs an item: a share of the songs would draw one item in twenty of those wanted.
    vectors = np.repeat(make_vectors(n=300), 40, axis=0)
    source = write(tmp_path / "in", whole_ids(len(vectors)), vectors)
    _, report = run(spark, source, tmp_path / "out", "neighbors.expert.n_truth_queries=200")
    assert report["n_items"] < 300
    assert report["n_truth_queries"] >= 100


def test_columns_of_other_names_are_said(spark, tmp_path: Path) -> None:
    source = write(tmp_path / "in", whole_ids(30), make_vectors(n=30), names=("id", "embedding"))
    with pytest.raises(
        InputError, match="column vector must be array<float> or array<double>, found no such column"
    ):
        run(spark, source, tmp_path / "out")


def test_a_zero_vector_has_distances(spark, tmp_path: Path) -> None:
    source = write(tmp_path / "in", whole_ids(30), spoiled(3, [0.0] * 6))
    assert len(run(spark, source, tmp_path / "out", metric="euclidean")[0]) == 30


@pytest.fixture(scope="module")
def joined(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict]:
    """Few vectors, what a join of them wrote, and their lists."""
    directory = tmp_path_factory.mktemp("joined")
    source = write(directory / "in", whole_ids(30), make_vectors(n=30))
    return source, directory / "out", run(spark, source, directory / "out")[0]


def test_what_stands_there_stays_unless_it_is_replaced(spark, joined, tmp_path: Path) -> None:
    source, output, lists = joined
    shutil.copytree(output, tmp_path / "out")
    with pytest.raises(StorageError, match="the output exists"):
        run(spark, source, tmp_path / "out")
    with pytest.raises(InputError):
        run(spark, write(tmp_path / "one", ["a"], [[1.0, 2.0]]), tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/report.json").exists()
    files = sorted(path.stat().st_ino for path in (tmp_path / "out/neighbors").iterdir())
    again, _ = run(spark, source, tmp_path / "out", overwrite=True)
    assert again == lists
    assert files != sorted(path.stat().st_ino for path in (tmp_path / "out/neighbors").iterdir())
    assert not list((tmp_path / "out/work").iterdir())


def test_what_a_killed_replacement_left_is_put_back(spark, joined, tmp_path: Path) -> None:
    source, output = joined[0], tmp_path / "out"
    shutil.copytree(joined[1], output)
    # Killed between the two renames; and beside it what is none of ours.
    (output / "work/2026-01-02-001").mkdir()
    (output / "neighbors").rename(output / "work/2026-01-02-001" / REPLACED_NEIGHBORS.name)
    (output / "work/notes").mkdir()
    with pytest.raises(StorageError, match="the output exists"):
        run(spark, source, output)
    assert len(ds.dataset(output / "neighbors").to_table()) == 150
    run(spark, source, output, overwrite=True)
    assert [path.name for path in (output / "work").iterdir()] == ["notes"]
