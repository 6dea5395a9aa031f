"""The jobs as processes: exit codes, a kill half-way; and the evaluation."""

import json
import os
import signal
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from musicrec.evaluation.evaluate import evaluate
from musicrec.evaluation.table import as_text
from musicrec.storage import runs
from tests.conftest import TIDYTUESDAY, make_config, refresh
from tests.processes import PYTHON_JOB, recommendations, run_job, start_job, wait_for

TODAY = date(2026, 5, 6)

pytestmark = pytest.mark.slow


def own_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith(("error:", "where:", "to do:", "Traceback"))]


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (["neighbors.k=0"], 2, "neighbors.k"),
        (["neighbors.kk=1"], 2, "did you mean 'neighbors.k'"),
        (["input.tracks=/nowhere/songs.csv", "output.root=/tmp/x"], 3, "no such path: /nowhere/songs.csv"),
    ],
)
def test_exit_codes(tmp_path: Path, overrides: list[str], code: int, message: str) -> None:
    root = [] if any("output.root" in o for o in overrides) else [f"output.root={tmp_path}"]
    finished = run_job([*PYTHON_JOB, "--dry-run"], *overrides, *root)
    assert finished.returncode == code, finished.stderr
    lines = own_lines(finished.stderr)
    assert message in lines[0]
    assert len(lines) <= 5
    assert "\tat " not in finished.stderr


def test_wrong_usage_is_2() -> None:
    assert run_job([*PYTHON_JOB, "--nonsense"]).returncode == 2
    assert run_job([*PYTHON_JOB, "--run-date", "tomorrow"]).returncode == 2


def test_unwritable_output_and_lock(songs: Path, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    finished = run_job(PYTHON_JOB, f"input.tracks={songs}", f"output.root={tmp_path / 'occupied'}")
    assert finished.returncode == 1
    assert "cannot write" in own_lines(finished.stderr)[0]
    with runs.locked(runs.open_root(str(tmp_path / "out"))):
        finished = run_job(PYTHON_JOB, f"input.tracks={songs}", f"output.root={tmp_path / 'out'}")
    assert finished.returncode == 5
    assert "another run holds the lock" in own_lines(finished.stderr)[0]


def test_a_killed_run_leaves_the_old_snapshot_and_the_next_succeeds(spark, songs: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    paths = (f"input.tracks={songs}", f"output.root={root}")
    before = refresh(spark, make_config(songs, root), run_date=TODAY)
    job = start_job([*PYTHON_JOB, "--run-date", str(TODAY)], *paths, log=tmp_path / "log")
    wait_for(job, root, "work/*-002/features")
    os.killpg(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert runs.current_snapshot(runs.open_root(str(root))) == before
    assert refresh(spark, make_config(songs, root), run_date=TODAY).name.endswith("-003")
    assert not list(root.glob("work/*-002"))


@pytest.mark.realdata
def test_a_process_and_a_session_give_every_real_song_the_same_list(spark, tmp_path: Path) -> None:
    """Of 2 partitions and of 4; tests/test_cluster.py has the other launcher."""
    paths = (f"input.tracks={TIDYTUESDAY}", f"input.playlists={TIDYTUESDAY}")
    job, session = tmp_path / "job", tmp_path / "session"
    overrides = (*paths, f"output.root={job}", "spark.shuffle_partitions=2", "neighbors.expert.exact_below=0")
    finished = run_job(PYTHON_JOB, *overrides)
    assert finished.returncode == 0, finished.stderr[-3000:]
    config = make_config(TIDYTUESDAY, session, *paths, "neighbors.expert.exact_below=0")
    found = json.loads((refresh(spark, config, run_date=TODAY) / "manifest.json").read_text())
    assert found["neighbors"]["hash_family"] == "voronoi"
    assert found["neighbors"]["recall_at_k"] >= 0.98
    names = ("n_rows", "n_tracks", "n_duplicates", "n_quarantined", "n_recommended")
    assert [found["counts"][name] for name in names] == [32_833, 28_356, 4477, 0, 28_356]
    rows = recommendations(session)
    assert rows.groupby("track_id").size().min() == 10
    pd.testing.assert_frame_equal(recommendations(job), rows, check_exact=True)


@pytest.mark.realdata
def test_evaluation_beats_the_baseline(spark, tmp_path: Path) -> None:
    """One split, few epochs: far from the full figure, but no longer chance."""
    # A third of the songs: ranking all of them for each takes minutes. The other core has another test.
    settings = (
        "evaluate.n_splits=1",
        "evaluate.max_songs=10000",
        "model.n_epochs=20",
        "model.expert.batch_size=256",
        "model.expert.n_threads=1",
        "model.hidden_layers=[128]",
    )
    config = make_config(TIDYTUESDAY, tmp_path, f"input.playlists={TIDYTUESDAY}", *settings)
    result = evaluate(spark, config)
    methods = {method["method"]: method for method in result["methods"]}
    ratios = {name: method["ratio"]["mean"] for name, method in methods.items()}
    assert ratios["random"] < 0.3
    assert ratios["z-scored features"] == 1.0
    assert ratios["encoder"] > 1.15 * ratios["quantiles"]
    everything = "encoder + release date + popularity"
    assert ratios[everything] > 2.2
    assert ratios["z-scored features + release date + popularity"] < ratios[everything]
    for missing in ("half of the query's features missing", "half of all songs' features missing"):
        assert 0.2 * ratios[everything] < ratios[f"{everything}, {missing}"] < ratios[everything]
    for estimate in (methods[everything]["means"]["ndcg"], methods[everything]["ratio"]):
        assert estimate["lower"] < estimate["mean"] < estimate["upper"]
    assert methods["popularity"]["exposure"]["coverage"] < 0.05 < methods[everything]["exposure"]["coverage"]
    # Every line has the cells of its head.
    lines = [line for line in as_text(result).splitlines() if line.startswith("|")]
    n_lines = 2 + len(methods)
    for first, last in ((0, n_lines), (n_lines, 2 * n_lines), (2 * n_lines, -4)):
        assert len({line.count("|") for line in lines[first:last]}) == 1
    known = result["known_to_playlists"]["methods"]
    assert list(known) == ["playlist co-occurrence", "z-scored features", everything]
    assert known["playlist co-occurrence"][0]["mean"] > known["z-scored features"][0]["mean"]
    before, after = result["spreading"]["before"], result["spreading"]["after"]
    assert after["forgotten_share"] < 0.3 * before["forgotten_share"]
    assert after["precision"] > 0.98 * before["precision"]
