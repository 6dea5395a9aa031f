"""Whole nights in a bucket: the rows of a night in a directory, no secret told, and a server that goes away."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow.dataset as ds
import pytest
from pyiceberg.catalog import Catalog

import musicrec
from musicrec.config import OutputConfig
from musicrec.operations.versions import collect_garbage
from musicrec.storage import history, lease
from musicrec.storage.object_store import ObjectStore
from musicrec.storage.pointer import read_pointer
from musicrec.storage.runs import Root, open_root, read_state
from musicrec.storage.snapshots import open_snapshot
from tests import servers
from tests.conftest import ROOT, make_config, make_songs, refresh
from tests.processes import PYTHON_JOB, run_in_turn, settings_of, start_job
from tests.roots import AT_ONCE, night

DAY = date(2026, 3, 4)
CELLS = (
    "neighbors.expert.exact_below=0",
    "neighbors.expert.cell_size=250",
    "neighbors.expert.n_truth_queries=600",
)


@pytest.fixture
def keys_of_spark(spark, s3: servers.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Tell Spark alone how to reach the server: no process has it in its environment."""
    for name in s3.environment:
        monkeypatch.delenv(name, raising=False)
    told = {
        "spark.hadoop.fs.s3a.endpoint": s3.endpoint, "spark.hadoop.fs.s3a.access.key": servers.KEY,
        "spark.hadoop.fs.s3a.secret.key": servers.SECRET, "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
    }  # fmt: skip
    for name, value in told.items():
        spark.conf.set(name, value)
    yield told
    for name in told:
        spark.conf.unset(name)


def tables_of(root: Root) -> dict[str, str]:
    """Return the digest of each published table's file: that of its bytes."""
    found = open_snapshot(root).manifest["files"]
    return {each["path"]: each["sha256"] for each in found if "rows" in each}


def told_by(root: Root) -> Iterator[tuple[str, bytes]]:
    for entry in root.store.entries():
        yield entry.name, root.store.get(entry.name)


def test_a_night_in_a_bucket_publishes_what_one_in_a_directory_does(
    spark, catalog, keys_of_spark: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch, lake: Catalog,
) -> None:  # fmt: skip
    """From inputs in a bucket, too, in the driver's and the tasks' own processes, by what Spark was told."""
    caplog.set_level(logging.DEBUG, logger="musicrec")
    uri = f"s3a://{servers.BUCKET}/a night #1, 50%"
    place = open_root(f"{uri}/in", hadoop=keys_of_spark)
    for path in sorted(path for path in catalog[0].rglob("*") if path.is_file()):
        place.store.put(path.relative_to(catalog[0]).as_posix(), path.read_bytes())
    n_read = [0]
    for kind in ("get_tagged", "get_ranges"):
        monkeypatch.setattr(ObjectStore, kind, counted(getattr(ObjectStore, kind), n_read))
    for name, source in (("directory", str(catalog[0])), ("bucket", f"{uri}/in")):
        root = str(tmp_path / "out") if name == "directory" else f"{uri}/out"
        inputs = [f"input.{key}={source}/{key}" for key in ("playlists", "favorites")]
        inputs += ["output.iceberg_catalog=lake.music"] if name == "directory" else []
        config = make_config(f"{source}/tracks", root, *inputs, "model.expert.gate_share=0.12", *CELLS)
        refresh(spark, config, run_date=DAY, with_report=True)
    in_directory, in_bucket = open_root(str(tmp_path / "out")), open_root(f"{uri}/out", hadoop=keys_of_spark)
    assert tables_of(in_bucket) == tables_of(in_directory)
    assert {name.split("/")[0] for name in tables_of(in_bucket)} == {
        "recommendations", "user_recommendations", "status",
    }  # fmt: skip
    for table in ("recommendations", "user_recommendations", "status"):
        published = ds.dataset(str(tmp_path / "out/published" / read_pointer(in_directory)["snapshot"] / table))
        assert lake.load_table(("music", table)).scan().to_arrow().equals(published.to_table())
    # What tasks have written the driver does not read again.
    assert n_read == [0]
    assert list(open_snapshot(in_bucket).faults()) == []
    assert read_state(in_bucket, open_snapshot(in_bucket).run_id)["state"] == "published"
    # No key is told: in no object that the run wrote, and in no line of its log.
    for secret in (servers.SECRET, servers.KEY):
        assert [name for name, content in told_by(in_bucket) if secret.encode() in content] == []
        assert secret not in caplog.text
    assert not copies_of(in_bucket)


def counted(ask: Any, n_read: list[int]) -> Any:
    """Return a request that counts what it reads of published tables."""

    def read(self: ObjectStore, name: str, *given: Any) -> Any:
        found = ask(self, name, *given)
        if "/snapshots/" in f"{self.uri}/{name}" and name.endswith(".parquet"):
            n_read[0] += sum(len(part) for part in found if isinstance(part, bytes))
        return found

    return read


def copies_of(root: Root) -> list[Path]:
    """Return the copies of objects that this machine still has."""
    scheme, _, below = root.uri.partition("://")
    place = quote(below, safe="/ ")
    found = Path("/tmp", f"musicrec-copies-{os.getuid()}", scheme).rglob("*")
    return [path for path in found if path.is_file() and not path.name.startswith(".") and place in str(path)]


def test_vectors_in_a_bucket_are_joined_in_a_bucket(spark, keys_of_spark: dict[str, str], tmp_path: Path) -> None:
    rng, place = np.random.default_rng(0), f"s3://{servers.BUCKET}/vectors"
    vectors = rng.standard_normal((300, 8)).astype(np.float32)
    rows = [(f"s{i:03d}", row.tolist()) for i, row in enumerate(vectors)]
    frame = spark.createDataFrame(rows, "id string, vector array<float>")
    in_bucket = musicrec.neighbors(frame, k=3, root=place).orderBy("id", "rank").collect()
    in_directory = musicrec.neighbors(frame, k=3, root=tmp_path / "out").orderBy("id", "rank").collect()
    assert in_bucket == in_directory
    assert len(in_bucket) == 900
    with pytest.raises(musicrec.errors.StorageError, match="the output exists"):
        musicrec.neighbors(frame, k=3, root=place)
    # Another one takes its place as a whole, and nothing is left of the first.
    again = musicrec.neighbors(frame, k=2, root=place, overwrite=True)
    assert again.count() == 600
    store = open_root(place, hadoop=keys_of_spark).store
    named = json.loads(store.get("report.json"))["files"]
    assert sorted(entry.name for entry in store.entries("neighbors")) == named
    assert store.children() == ["neighbors"]
    # Of ids that are whole numbers the tasks of the join itself write what is published.
    whole = frame.selectExpr("CAST(substring(id, 2) AS bigint) AS id", "vector")
    assert musicrec.neighbors(whole, k=2, root=place, overwrite=True).count() == 600
    named = json.loads(store.get("report.json"))["files"]
    assert sorted(entry.name for entry in store.entries("neighbors")) == named


def test_a_store_that_breaks_its_promises_gets_no_night(tmp_path: Path, songs: Path) -> None:
    with servers.rclone(tmp_path) as server:
        settings = settings_of(f"input.tracks={songs}", f"output.root=s3://{servers.BUCKET}/out")
        done = subprocess.run(
            [*PYTHON_JOB, *settings], capture_output=True, text=True, timeout=100, check=False,
            env={**os.environ, **server.environment},
        )  # fmt: skip
    assert done.returncode == 2
    assert "does not keep its promises: what is there already is created again" in done.stderr
    assert len(done.stderr.splitlines()) <= 5
    assert servers.SECRET not in done.stderr


def job_on(server: servers.Server, uri: str, tracks: Path, *, log: Path) -> "subprocess.Popen[bytes]":
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        return start_job(PYTHON_JOB, f"input.tracks={tracks}", f"output.root={uri}", log=log)


def wait_for_object(job: "subprocess.Popen[bytes]", root: Root, name: str) -> None:
    until = time.monotonic() + 100
    while not any(name in entry.name for entry in root.store.entries("work")):
        assert job.poll() is None, "the job ended too early"
        assert time.monotonic() < until, f"no {name}"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_night_outlives_a_server_that_is_away_for_twenty_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_songs(3000).to_parquet(tmp_path / "songs.parquet")
    with servers.seaweed(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        root = open_root(f"s3://{servers.BUCKET}/out")
        for stage in ("tracks/", "embeddings/"):
            job = job_on(server, root.uri, tmp_path / "songs.parquet", log=tmp_path / "log")
            n_before = len(list(root.store.entries("published/history")))
            wait_for_object(job, root, stage)
            server.stop()
            time.sleep(20)
            server.start()
            code, said = job.wait(timeout=300), (tmp_path / "log").read_text()
            assert servers.SECRET not in said
            if code == 0:
                assert len(list(root.store.entries("published/history"))) == n_before + 1
            else:
                assert len([line for line in said.splitlines() if line.startswith("error")]) == 1
            if n_before + (code == 0):
                assert list(open_snapshot(root).faults()) == []


# Runs a night, and dies right before it asks what is named, or writes what holds a text.
KILLED = """
import os, signal, sys
from musicrec.storage.object_store import ObjectStore
from musicrec.cli import main

kind, ending, text, *arguments = sys.argv[1:]
def ask(self, name, *given, _ask=getattr(ObjectStore, kind), **named):
    is_it = isinstance(name, str) and f"{self.uri}/{name}".endswith(ending)
    if is_it and (not text or text.encode() in bytes(given[0])):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    return _ask(self, name, *given, **named)
setattr(ObjectStore, kind, ask)
sys.exit(main(arguments))
"""
POINTS = {
    "before the run has a name": ("create", "state.json", ""),
    "before the songs are numbered": ("put", "state.json", '"number"'),
    "before the encoder": ("put", "model/encoder.safetensors", ""),
    "before the cells": ("put", "state.json", '"cells"'),
    "before the join": ("put", "state.json", '"join"'),
    "before the lists": ("put", "state.json", '"sort"'),
    "before the report": ("put", "report.html", ""),
    "before the manifest": ("put", "manifest.json", ""),
    "before the history": ("create", "history/00000002.json", ""),
    "before the pointer": ("replace_if", "current.json", ""),
}


@pytest.mark.stores
def test_a_driver_that_is_killed_leaves_the_old_night_and_the_next_publishes_its_rows(
    s3: servers.Server, bucket: str, tmp_path: Path
) -> None:
    make_songs(300).to_parquet(tmp_path / "songs.parquet")
    arguments = [
        "refresh",
        "-q",
        *settings_of(f"input.tracks={tmp_path / 'songs.parquet'}", f"output.root={bucket}"),
    ]
    environment = {**os.environ, **s3.environment, "PYTHONPATH": str(ROOT)}

    def run(*before: str) -> int:
        command = [sys.executable, *(("-c", KILLED, *before) if before else ("-m", "musicrec")), *arguments]
        with (tmp_path / "log").open("wb") as log:
            return subprocess.run(
                command, stdout=log, stderr=log, env=environment, check=False, start_new_session=True
            ).returncode

    assert run() == 0, (tmp_path / "log").read_text()
    root = open_root(bucket)
    rows, live = tables_of(root), open_snapshot(root).run_id
    for point, killed in POINTS.items():
        assert run(*killed) == -signal.SIGKILL, point
        assert open_snapshot(root).run_id == live, point
        assert list(open_snapshot(root).faults()) == [], point
        lease.unlock(root)
    assert run() == 0, (tmp_path / "log").read_text()
    assert tables_of(root) == rows
    collect_garbage(root, AT_ONCE, is_trial=False)
    named = {version.run_id for version in history.read_versions(root)}
    assert {*root.snapshots(), *root.works()} <= named


# Reads as docs/stores.md says, again and again, until a file is there; prints what it found.
READER = """
import json, os, pathlib, sys
import duckdb, duckdb_extension_httpfs
uri, stop = sys.argv[1], pathlib.Path(sys.argv[2])
engine = duckdb.connect(config={"allow_unsigned_extensions": "true"})
(client,) = pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob("*.duckdb_extension")
engine.execute(f"LOAD '{client}'")
key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
engine.execute(f"CREATE SECRET (TYPE s3, URL_STYLE 'path', USE_SSL false, KEY_ID '{key}', SECRET '{secret}', "
    f"ENDPOINT '{os.environ['AWS_ENDPOINT'].partition('//')[2]}')")
found = []
while True:
    is_over = stop.exists()
    engine.execute(f'''SET VARIABLE lists = (
        SELECT list_transform(files.recommendations, lambda name: '{uri}/published/' || name)
        FROM read_json('{uri}/published/current.json'))''')
    rows = engine.execute(
        "SELECT DISTINCT track_id, count(*) OVER () FROM read_parquet(getvariable('lists'))"
    ).fetchall()
    found += [row for row in rows if row not in found]
    if is_over:
        break
print(json.dumps(found))
"""


@pytest.mark.stores
def test_duckdb_reads_a_bucket_while_twenty_nights_are_published(
    s3: servers.Server, bucket: str, tmp_path: Path
) -> None:
    root = open_root(bucket)
    names = [night(root, keep=OutputConfig())]
    with (tmp_path / "found").open("wb") as found:
        reader = subprocess.Popen(
            [os.environ["MUSICREC_DUCKDB_PYTHON"], "-c", READER, bucket, str(tmp_path / "stop")],
            stdout=found, env={**os.environ, **s3.environment},
        )  # fmt: skip
        names += [night(root, keep=OutputConfig()) for _ in range(20)]
        (tmp_path / "stop").touch()
        assert reader.wait(timeout=60) == 0
    rows = json.loads((tmp_path / "found").read_text())
    # Each answer is one night's, and whole.
    assert {n for _, n in rows} == {3}
    assert {run_id for run_id, _ in rows} <= set(names)
    assert rows[-1][0] == names[-1]
    assert len(rows) > 3


@pytest.mark.stores
def test_a_night_in_hdfs_publishes_what_one_in_a_directory_does(
    spark, songs: Path, hdfs: str, tmp_path: Path
) -> None:
    digests = []
    for root in (str(tmp_path / "out"), f"{hdfs}/a night"):
        refresh(spark, make_config(songs, root, "neighbors.expert.exact_below=0"), run_date=DAY)
        digests.append(tables_of(open_root(root)))
    assert digests[0] == digests[1]
    (song, *_) = musicrec.similar(f"{hdfs}/a night", "song-0007")
    assert song["track_id"] == "song-0007"


@pytest.mark.stores
def test_a_night_in_azure_publishes_what_one_in_a_directory_does(
    container: str, songs: Path, tmp_path: Path
) -> None:
    """From songs in the container, too; tasks find the account in their environment."""
    root = open_root(f"{container}/out")
    root.store.put("songs.csv", songs.read_bytes())
    lines = {}
    for place, tracks in ((str(tmp_path / "out"), str(songs)), (root.uri, f"{root.uri}/songs.csv")):
        settings = [f"input.tracks={tracks}", f"output.root={place}", "neighbors.expert.exact_below=0"]
        lines[place] = settings_of(*settings)
    ended = run_in_turn(lines, tmp_path, {})
    assert [each.code for each in ended.values()] == [0, 0], ended
    assert tables_of(root) == tables_of(open_root(str(tmp_path / "out")))
    assert list(open_snapshot(root).faults()) == []
    assert musicrec.similar(root.uri, "song-0007")[0]["track_id"] == "song-0007"
    for secret in (servers.ACCOUNT_KEY, servers.SECRET):
        assert [name for name, content in told_by(root) if secret.encode() in content] == []
        assert secret not in ended[root.uri].stderr
    assert not copies_of(root)
