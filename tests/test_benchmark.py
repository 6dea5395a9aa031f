"""What the benchmark's figures rest on: its truth, its judge, its data and its tables. No Spark, no peers."""

import importlib
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.oracles import best_scores

benchmark, comparison, comparison_table, peers, run_peer, truths, vector_sets = map(
    importlib.import_module,
    ("benchmark", "comparison", "comparison_table", "peers", "run_peer", "truth", "vector_sets"),
)


def make(name: str, n: int, seed: int = 1) -> np.ndarray:
    return vector_sets.MAKERS[name](np.random.default_rng(seed), n)


def toy_truth(vectors: np.ndarray, rows: list[int], k: int) -> "truths.Truth":
    return truths.Truth(np.array(rows), best_scores(vectors, "dot", k=k)[rows])


@pytest.mark.parametrize("block_rows", [7, 499, 16_384])
def test_truth_is_brute_force(monkeypatch: pytest.MonkeyPatch, block_rows: int) -> None:
    monkeypatch.setattr(truths, "BLOCK_ROWS", block_rows)
    vectors = make("duplicates", 500)
    truth = truths.find_truth(vectors, k=10, n_queries=60, seed=3)
    assert len(set(truth.rows.tolist())) == 60
    np.testing.assert_allclose(truth.scores, toy_truth(vectors, truth.rows.tolist(), 10).scores, atol=1e-12)


def test_truth_of_few_vectors() -> None:
    truth = truths.find_truth(make("noise", 5), k=10, n_queries=2000, seed=3)
    assert truth.rows.tolist() == [0, 1, 2, 3, 4]
    assert truth.scores.shape == (5, 4)
    assert np.isfinite(truth.scores).all()


def test_truth_survives_the_file(tmp_path: Path) -> None:
    truth = truths.find_truth(make("noise", 50), k=3, n_queries=5, seed=3)
    truth.save(tmp_path / "truth.npz")
    again = truths.Truth.load(tmp_path / "truth.npz")
    np.testing.assert_array_equal(truth.rows, again.rows)
    np.testing.assert_array_equal(truth.scores, again.scores)


@pytest.fixture
def fan() -> np.ndarray:
    # Row 0 asks; 1 and 2 are its copies, 3 to 5 are equally near, 6 and 7 are far.
    near, far = np.deg2rad(10), np.deg2rad(80)
    at = [0, 0, 0, near, near, near, far, far]
    return np.stack([np.cos(at), np.sin(at)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("found", "recall"),
    [
        ([1, 2, 3, 4], 1.0),
        ([5, 4, 2, 1], 1.0),  # which of the ties does not matter, nor the order
        ([1, 2, 3, 6], 0.75),  # far
        ([0, 1, 2, 3], 0.75),  # itself
        ([1, 1, 2, 3], 0.75),  # twice
        ([1, 2, 3, -1], 0.75),  # a list too short
        ([3, 4, 5, 6], 0.75),  # three ties stand for one of them, but the judge counts scores, not ranks
        ([-1, -1, -1, -1], 0.0),
    ],
)
def test_recall_knows_ties(fan: np.ndarray, found: list[int], recall: float) -> None:
    truth = toy_truth(fan, [0], 4)
    assert truths.recall_per_query(np.array([found]), truth, fan).tolist() == [recall]


def test_mean_and_lower() -> None:
    assert truths.mean_and_lower(np.ones(10)) == (1.0, 1.0)
    mean, lower = truths.mean_and_lower(np.array([1.0, 0.0] * 50))
    assert mean == 0.5
    assert lower == pytest.approx(0.5 - 1.96 * 0.5025 / 10, abs=1e-3)


def test_the_item_itself_is_removed() -> None:
    found = np.array([[7, 1, 2], [3, 8, 4], [5, 6, 9]])
    assert run_peer.without_self(found, np.array([7, 8, 0]), k=2).tolist() == [[1, 2], [3, 4], [5, 6]]


def test_ladders_rise_to_their_end() -> None:
    ladder = peers.grow(11, 2048)
    assert (ladder[0], ladder[-1]) == (11, 2048)
    assert all(low < high <= low * 1.25 for low, high in pairwise(ladder))
    assert peers.grow(1, 4) == [1, 2, 3, 4]


def test_a_peer_gets_the_first_rung_that_reaches_the_target() -> None:
    vectors = make("latent24", 300)
    exact = np.argsort(-(vectors @ vectors.T), axis=1)[:, :11]
    asked = []

    def query(queries: np.ndarray, rung: int) -> np.ndarray:
        asked.append((rung, len(queries)))
        rows = [int(np.flatnonzero((vectors == one).all(axis=1))[0]) for one in queries]
        return np.where(np.arange(11) <= rung, exact[rows], -1)

    truth = truths.find_truth(vectors, k=10, n_queries=50, seed=3)
    bench = run_peer.Bench(peers.Peer("rung={}", [2, 5, 9], query), vectors, truth, k=10)
    half, most, all_of_them = (bench.answer(target) for target in (0.5, 0.85, 1.0))
    assert (half.settings, half.recall) == ("rung=5", 0.5)
    assert (most.settings, most.recall) == ("rung=9", 0.9)
    # The last step of the ladder fails: the best is reported, and measured once.
    assert (all_of_them.settings, all_of_them.recall, all_of_them.target) == ("rung=9", 0.9, 1.0)
    assert asked.count((9, 300)) == 1


def test_brute_force_peer_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "BLOCK_ROWS", 128)
    vectors = make("cluster", 700)
    truth = truths.find_truth(vectors, k=10, n_queries=100, seed=3)
    setup = peers.Setup(k=10, n_threads=1, driver_memory="1g", neighbor_distance=0.1)
    first, both = [
        list(r["answers"]) for r in run_peer.run_peer("brute", vectors, truth, setup, targets=[0.9, 0.99])
    ]
    assert [answer["recall"] for answer in both] == [1.0, 1.0]
    assert first == both[:1]


def test_a_missing_library_is_a_sentence() -> None:
    with pytest.raises(peers.PeerError, match="no_such_library is not installed"):
        peers.load("no_such_library")
    with pytest.raises(peers.PeerError, match="only run up to 10 vectors"):
        peers.check_size(make("noise", 11), 10)


@pytest.mark.parametrize("name", [name for name in vector_sets.MAKERS if name != "identical"])
def test_made_vectors_have_unit_length_and_return(name: str) -> None:
    vectors = make(name, 1000)
    assert (vectors.shape, vectors.dtype) == ((1000, 64), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors, make(name, 1000))
    assert not np.array_equal(vectors, make(name, 1000, seed=2))


def test_three_in_ten_are_copies() -> None:
    assert len(np.unique(make("duplicates", 1000), axis=0)) == 700


def test_identical_vectors_are_one() -> None:
    assert len(np.unique(make("identical", 1000), axis=0)) == 1


def test_half_are_in_one_cluster_and_differ() -> None:
    vectors = make("cluster", 1000)
    close = vectors @ vectors.T > 0.93
    assert close.sum(axis=1).max() == 500
    assert (close.sum(axis=1) == 500).sum() == 500
    assert len(np.unique(vectors, axis=0)) == 1000


def test_latent_vectors_lie_on_fewer_dimensions_than_noise() -> None:
    def held_by_24(vectors: np.ndarray) -> float:
        spectrum = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
        return float(spectrum[:24].sum() / spectrum.sum())

    assert held_by_24(make("latent24", 500)) > 0.9
    assert held_by_24(make("noise", 500)) < 0.6


def test_vectors_survive_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_sets, "FILE_ROWS", 40)
    made = vector_sets.make_data("noise", tmp_path / "noise", n_songs=100, memory="1g")
    ids, vectors = truths.read_vectors(made)
    assert len(list(made.glob("*.parquet"))) == 3
    assert ids.tolist() == list(range(100))
    rng = np.random.default_rng([vector_sets.SEED, *b"noise"])
    np.testing.assert_allclose(vectors, vector_sets.make_noise(rng, 100), atol=1e-7)


def test_lists_are_read_as_positions(tmp_path: Path) -> None:
    ids = np.array([40, -7, 9, 100])
    rows = pa.table(
        {
            "id": [9, 40, 9, 40, -7],
            "rank": [2, 1, 1, 2, 1],
            "neighbor_id": [40, 100, -7, 12345, 9],
            "score": [0.1, 0.2, 0.3, 0.4, 0.5],
        }
    )
    pq.write_table(rows, tmp_path / "part-0.parquet")
    truth = truths.Truth(np.array([0, 2]), np.zeros((2, 3)))
    lists = comparison.read_lists(tmp_path, ids, truth, k=3)
    assert lists.tolist() == [[3, -1, -1], [1, 0, -1]]


JOB = """
import json, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from pathlib import Path
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
rows = pq.read_table(options["--vectors"])
ids, vectors = rows["id"].to_numpy(), np.stack(rows["vector"].to_pylist())
scores = vectors @ vectors.T
np.fill_diagonal(scores, -1)
k = int(options["--k"]) - (float(options["--target-recall"]) < 0.9)
order = np.argsort(-scores, axis=1)[:, :k]
out = Path(options["--output"])
(out / "neighbors").mkdir(parents=True)
lists = {
    "id": np.repeat(ids, k), "rank": np.tile(np.arange(1, k + 1), len(ids)), "neighbor_id": ids[order.ravel()],
    "score": np.take_along_axis(scores, order, axis=1).ravel(),
}
pq.write_table(pa.table(lists), out / "neighbors/part-0.parquet")
stage = {"stage": "join", "seconds": 1.5, "started_at": "2026-01-02T03:04:05+00:00"}
(out / "report.json").write_text(json.dumps({"seconds": 1.5, "stages": [stage], "recall_at_k": 0.1}))
print(out)
"""


def ours_at(root: Path, job: str) -> list[object]:
    (root / "jobs").mkdir(parents=True)
    (root / "jobs/neighbors.py").write_text(job)
    vectors = vector_sets.make_data("duplicates", root / "vectors", n_songs=200, memory="1g")
    options = ["--recalls", "0.95,0.8", "--vectors", str(vectors)]
    task = comparison.load_task(vectors, benchmark.parse(["neighbors", *options]))
    return comparison.run_ours(task, root)


def test_ours_is_judged_by_its_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    low, high = ours_at(tmp_path, JOB)
    # The job claims a recall of 0.1; nine of ten for the lower target, all for the higher one.
    assert (low.target, low.recall) == (0.8, pytest.approx(0.9))
    assert (high.target, high.recall, high.wall_s) == (0.95, 1.0, 1.5)


def test_a_failed_job_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    outcomes = ours_at(tmp_path, "import sys; sys.exit('error: no space left')")
    assert outcomes[0] == comparison.Absent("musicrec", "failed with exit code 1: error: no space left")


SLOW_PEER = """
import json, subprocess, sys, time
from pathlib import Path
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
answer = {"target": 0.8, "settings": "s", "recall": 0.9, "recall_lower_95": 0.8, "query": [2.0, 5.0]}
Path(options["--output"]).write_text(json.dumps({"version": "1", "build": [1.0, 2.0], "answers": [answer]}))
Path(options["--output"]).with_name("child").write_text(str(child.pid))
time.sleep(600)
"""


def test_a_peer_is_ended_at_its_limit_and_keeps_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/run_peer.py").write_text(SLOW_PEER)
    vectors = vector_sets.make_data("duplicates", tmp_path / "vectors", n_songs=200, memory="1g")
    options = ["--recalls", "0.8,0.95,0.99", "--vectors", str(vectors), "--peer-limit", "5"]
    task = comparison.load_task(vectors, benchmark.parse(["neighbors", *options]))
    answered, missing = comparison.run_peer("slow", task, tmp_path)
    assert (answered.target, answered.recall, answered.wall_s, answered.build_s) == (0.8, 0.9, 4.0, 1.0)
    assert missing == comparison.Absent("slow", "no answer at 0.95, 0.99 within 5 s")
    child = int((tmp_path / "child").read_text())
    # A killed process takes a moment to end.
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_table_of_made_up_results() -> None:
    ours = comparison.Measurement(
        method="musicrec", version="", settings="target_recall=0.95", target=0.95, recall=0.961,
        recall_lower_95=0.9581, build_s=0.0, wall_s=20.0, cpu_s=39.0, peak=3 * 2**30,
    )  # fmt: skip
    slow, slower = replace(ours, wall_s=30.0), replace(ours, wall_s=90.0)
    peer = replace(ours, method="graph", version="1.2", settings="ef=20", recall=0.94, build_s=51.0, wall_s=60.0)
    lines = comparison_table.table_lines(
        [slower, ours, slow, peer, comparison.Absent("gone", "gone is not installed")], k=10
    )
    assert lines[2:] == [
        "| musicrec | target_recall=0.95 | 0.95 | 0.9610 (0.9581) | 30.0 | 39.0 | 3.0 | 1.00 |",
        "| graph 1.2 | ef=20 | 0.95 | 0.9400 (0.9581) † | 60.0 (51.0 + 9.0) | 39.0 | 3.0 | 0.50 |",
        "| gone | gone is not installed | | | | | | |",
        "",
        "† the best that it reached is less than asked",
    ]
    assert len({line.count("|") for line in lines[:5]}) == 1
