"""A night in bounded memory where songs have one vector, rows one id, and favorites one listener."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import make_songs
from tests.processes import PYTHON_JOB, settings_of

N_EQUAL, N_OF_ONE_ID, N_FAVORITES, N_FILES = 400_000, 400_000, 100_000, 4
# Java, the driver and two workers take 1.6; tasks that grew with the songs of one vector took 0.4 more.
LIMIT_GIB = 1.9


def write_catalog(directory: Path) -> None:
    names = [f"song-{i:06d}" for i in range(N_EQUAL)] + ["same"] * N_OF_ONE_ID
    titles = [f"Title {i}" for i in range(len(names))]
    pieces = np.array_split(np.random.default_rng(0).permutation(len(names)), N_FILES)
    # Of one song all features, but for the other rows of the one id, of which only one may count.
    features = make_songs(1).drop(columns=["track_id", "title", "artist"]).iloc[0].to_dict()
    (directory / "tracks").mkdir(parents=True)
    for number, rows in enumerate(pieces):
        table = {name: [value] * len(rows) for name, value in features.items()}
        table |= {"track_id": [names[row] for row in rows], "title": [titles[row] for row in rows]}
        table |= {"artist": [f"Artist {row % 50_000}" for row in rows]}
        pq.write_table(pa.table(table), directory / "tracks" / f"{number}.parquet")
    favorites = pa.table({"user_id": ["all"] * N_FAVORITES, "track_id": names[:N_FAVORITES]})
    pq.write_table(favorites, directory / "favorites.parquet")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the shares of processes in memory are Linux's")
def test_a_night_of_equal_songs_equal_ids_and_one_great_listener_fits_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = importlib.import_module("watching")
    # Nothing is timed: look as often as it goes.
    monkeypatch.setattr(watching, "REST", 1)
    write_catalog(tmp_path)
    paths = (f"input.tracks={tmp_path / 'tracks'}", f"input.favorites={tmp_path / 'favorites.parquet'}")
    settings = settings_of(*paths, f"output.root={tmp_path / 'out'}", "spark.master=local[2]")
    night = watching.run_watched([*PYTHON_JOB, *settings, "--accept", "equal songs"])
    assert night.returncode == 0, night.err[-3000:]
    manifest = json.loads((Path(night.out.strip()) / "manifest.json").read_text())
    n_songs = N_EQUAL + 1
    assert manifest["counts"]["n_tracks"] == manifest["counts"]["n_recommended"] == n_songs
    assert manifest["counts"]["n_duplicates"] == N_OF_ONE_ID - 1
    assert manifest["counts"]["n_recommendations"] == 10 * n_songs
    assert manifest["favorites"]["n_users_with_recommendations"] == 1
    peak = night.watch.peak(night.started, night.ended) / watching.GIB
    assert peak < LIMIT_GIB, f"{peak:.2f} GiB"
