"""The jobs as processes: exit codes, and a kill half-way. At the top, because all rooms are in it."""

import importlib
import json
import math
import os
import signal
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from musicrec.storage import runs
from musicrec.storage.lease import locked
from musicrec.storage.pointer import current_snapshot
from tests.conftest import TIDYTUESDAY, make_config, make_songs, refresh
from tests.processes import (
    PYTHON_JOB,
    Ended,
    recommendations,
    run_in_turn,
    run_job,
    settings_of,
    start_job,
    wait_for,
)

event_log = importlib.import_module("event_log")

TODAY = date(2026, 5, 6)
# Each costs a quarter of a second, however few songs there are.
MAX_JOBS = 30


class Published(NamedTuple):
    """Songs, the root that holds their lists, how each command line ended, and what Spark noted of all."""

    songs: Path
    root: Path
    ended: dict[str, Ended]
    events: Any


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """One process of the job, given a command line for each of its ends."""
    directory = tmp_path_factory.mktemp("jobs")
    songs, root, held = directory / "songs.csv", directory / "out", directory / "held"
    make_songs(300).to_csv(songs, index=False)
    (directory / "occupied").write_text("")
    tracks, new = f"input.tracks={songs}", f"output.root={directory / 'new'}"
    lines = {
        "a value out of range": ["--dry-run", *settings_of("neighbors.k=0", new)],
        "an unknown key": ["--dry-run", *settings_of("neighbors.kk=1", new)],
        "an unknown option": ["--nonsense"],
        "no date": ["--run-date", "tomorrow"],
        "a file in the way": settings_of(tracks, f"output.root={directory / 'occupied'}"),
        "another run": settings_of(tracks, f"output.root={held}"),
        "success": [
            "--run-date", str(TODAY), *settings_of(tracks, f"output.root={root}", "spark.shuffle_partitions=2")
        ],
        "no such songs": ["--dry-run", *settings_of("input.tracks=/nowhere/songs.csv", new)],
    }  # fmt: skip
    events = directory / "events"
    events.mkdir()
    with locked(runs.open_root(str(held))):
        ended = run_in_turn(lines, directory, event_log.logging_into(events))
    return Published(songs, root, ended, event_log.read_events(events))


def own_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith(("error:", "where:", "to do:", "Traceback"))]


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("a value out of range", 2, "neighbors.k"),
        ("an unknown key", 2, "did you mean 'neighbors.k'"),
        ("a file in the way", 1, "cannot write"),
        ("another run", 5, "another run holds the lock"),
        ("no such songs", 3, "no such path: /nowhere/songs.csv"),
    ],
)
def test_exit_codes(published: Published, name: str, code: int, message: str) -> None:
    ended = published.ended[name]
    assert ended.code == code, ended.stderr
    lines = own_lines(ended.stderr)
    assert message in lines[0]
    assert len(lines) <= 5


def test_wrong_usage_is_2_and_success_0(published: Published) -> None:
    codes = {name: published.ended[name].code for name in ("an unknown option", "no date", "success")}
    assert codes == {"an unknown option": 2, "no date": 2, "success": 0}


def test_a_night_is_a_few_jobs(published: Published) -> None:
    assert 5 < published.events.n_jobs(0, math.inf) <= MAX_JOBS
    assert published.events.shuffled(0, math.inf) > 0
    assert published.events.n_jobs(0, 0) == published.events.shuffled(0, 0) == 0


def test_nothing_that_fails_shows_frames_of_java(published: Published) -> None:
    assert not [name for name, ended in published.ended.items() if "\tat " in ended.stderr]


def test_a_killed_run_leaves_the_old_snapshot_and_the_next_succeeds(
    spark, published: Published, tmp_path: Path
) -> None:
    songs, root = published.songs, published.root
    before, lists = current_snapshot(runs.open_root(str(root))), recommendations(root)
    paths = (f"input.tracks={songs}", f"output.root={root}")
    job = start_job([*PYTHON_JOB, "--run-date", str(TODAY)], *paths, log=tmp_path / "log")
    wait_for(job, root, "work/*-002/model")
    os.killpg(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert current_snapshot(runs.open_root(str(root))) == before
    assert refresh(spark, make_config(songs, root), run_date=TODAY).name.endswith("-003")
    assert not list(root.glob("work/*-002"))
    # A process of 2 partitions and a session of 4.
    pd.testing.assert_frame_equal(recommendations(root), lists, check_exact=True)


@pytest.mark.slow
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
