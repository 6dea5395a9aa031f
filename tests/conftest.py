"""One small Spark session for all tests, the real songs where they are, and songs made by hand."""

import importlib
import os
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.utils.config import Config as IcebergConfig
from pyspark.sql import SparkSession

from musicrec.config import Config, load_config
from musicrec.launch import open_session
from musicrec.refresh import refresh as run_night
from tests import servers

TESTS = Path(__file__).parent
ROOT = TESTS.parent
REAL_DATA = ROOT.parent / "shared" / "data"
TIDYTUESDAY = REAL_DATA / "tidytuesday_spotify_songs.csv.gz"
FMA = REAL_DATA / "fma_rock_hiphop_metadata.csv.gz"

# The scripts import each other by name, as where one of them is run.
sys.path.insert(0, str(ROOT / "scripts"))
# Of all JVMs that tests start: the second compiler takes half of a short run's CPU time and pays in long ones.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")


# Both processes end together where the longest files come first, then those of Spark, and the rest fills up.
LONGEST = (
    "test_cluster.py", "test_documents.py", "test_refresh.py", "test_jobs.py", "test_bounded.py",
    "test_package.py", "evaluation/test_evaluate.py", "test_exits.py", "vectors/test_join.py",
    "catalog/test_bad_input.py", "neighbors/test_join.py", "catalog/test_audit.py", "encoder/test_sample.py",
    "neighbors/test_memory.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    uses_spark = {item: "spark" in getattr(item, "fixturenames", ()) for item in items}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST) + (not uses_spark[item])))
    if TIDYTUESDAY.exists() or os.environ.get("MUSICREC_REQUIRE_REAL_DATA"):
        return
    for item in items:
        if "realdata" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=f"the real songs are not in {REAL_DATA}"))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A server of buckets."""
    with servers.seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of HDFS, whose jars `scripts/stores.sh` has put in place."""
    with servers.hdfs(tmp_path_factory.mktemp("hdfs"), Path(os.environ["MUSICREC_HDFS_JARS"])) as uri:
        yield uri


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.AzureServer]:
    """A server of Azure's containers, which `scripts/stores.sh` has put in place."""
    with servers.azurite(tmp_path_factory.mktemp("azurite"), Path(os.environ["MUSICREC_AZURITE"])) as server:
        yield server


@pytest.fixture
def bucket(s3: servers.Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty place in a bucket, which this process may use."""
    return place_in("s3", s3, request.node.name, monkeypatch)


@pytest.fixture
def container(azure: servers.AzureServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty place in a container of Azure's, which this process may use."""
    return place_in("az", azure, request.node.name, monkeypatch)


def place_in(scheme: str, server: servers.Server, test: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this process use a server, and return the URI of an empty place there."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    name = re.sub(r"[^\w-]", " ", test).strip()
    return f"{scheme}://{servers.BUCKET}/{name} {uuid.uuid4().hex[:8]}"


def set_catalog(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Configure the catalog `lake` of Iceberg, as the environment of a process does."""
    for name, value in settings.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name.upper()}", value)
    # It is read once, when the package is loaded.
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", IcebergConfig())


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalog of Iceberg in SQLite, by the name `lake`."""
    set_catalog(monkeypatch, uri=f"sqlite:///{tmp_path / 'lake.db'}", warehouse=(tmp_path / "lake").as_uri())
    return load_catalog("lake")


@pytest.fixture(scope="session")
def spark():
    # Four partitions: enough that rows meet in different tasks, few enough that a test takes a second.
    settings = load_config(
        overrides=["spark.master=local[2]", "spark.driver_memory=2g", "spark.shuffle_partitions=4"]
    ).spark
    session = open_session(settings, app_name="tests")
    # Compiling a plan takes longer than running it on a hundred rows. The jobs' tests run compiled.
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def generator() -> ModuleType:
    """scripts/make_catalog.py as a module."""
    return importlib.import_module("make_catalog")


@pytest.fixture(scope="session")
def catalog(generator: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A generated catalog of 3,000 songs in CSV, and what it should count to."""
    out = tmp_path_factory.mktemp("catalog")
    return out, generator.make_catalog(out, n_songs=3000, seed=5, file_format="csv")


SONG = {
    "danceability": 0.6, "energy": 0.7, "key": 5, "loudness": -6.0, "mode": 1, "speechiness": 0.05,
    "acousticness": 0.1, "instrumentalness": 0.0, "liveness": 0.1, "valence": 0.5, "tempo": 120.0,
    "duration_ms": 200_000,
}  # fmt: skip
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
# What a made song may be like: from, to, and how many digits there are behind the point.
SOUNDS = {
    "danceability": (0.3, 0.9, 3), "energy": (0.2, 0.8, 3), "key": (0, 11, 0), "loudness": (-14.0, -3.0, 2),
    "mode": (0, 1, 0), "speechiness": (0.03, 0.4, 4), "acousticness": (0.0, 0.9, 4),
    "instrumentalness": (0.0, 0.6, 4), "liveness": (0.05, 0.5, 4), "valence": (0.1, 0.9, 3),
    "tempo": (80.0, 177.0, 2), "duration_ms": (120_000, 300_000, 0),
}  # fmt: skip


def make_songs(n: int, **columns: Any) -> pd.DataFrame:
    """Return n different songs, song i the same for any n; `columns` replace or add some."""
    names = [{"track_id": f"song-{i:04d}", "title": f"Title {i}", "artist": f"Artist {i % 7}"} for i in range(n)]
    songs = pd.DataFrame(names, columns=["track_id", "title", "artist"])
    for prime, (name, (low, high, digits)) in zip(PRIMES, SOUNDS.items(), strict=True):
        # As good as random, and no two features go together (the additive sequences of Weyl).
        share = (np.arange(1, n + 1) * np.sqrt(prime)) % 1.0
        values = np.round(low + (high - low) * share, digits)
        songs[name] = values if digits else values.astype(np.int64)
    for name, values in columns.items():
        songs[name] = values
    return songs


def make_config(tracks: Path | str, root: Path, *overrides: str) -> Config:
    """Return a configuration for a small, quick run."""
    quick = ["model.n_epochs=2", "model.hidden_layers=[16]", "model.embedding_dim=8", "model.expert.min_songs=100"]
    paths = [f"input.tracks={tracks}", f"output.root={root}"]
    return load_config(overrides=[*quick, *paths, *overrides])


def refresh(
    session: SparkSession, config: Config, *, run_date: date, with_report: bool = False, accept: str = ""
) -> Path:
    """Run the night and return the snapshot's directory as a path.

    The report takes a fifth of a small run; what does not look at it gets a page without pictures.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not with_report:
            patch.setattr(sys.modules["musicrec.refresh"], "draw_report", lambda *_, **__: "<html></html>")
        return Path(run_night(session, config, run_date=run_date, accept=accept))


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    make_songs(300).to_csv(tmp_path / "songs.csv", index=False)
    return tmp_path / "songs.csv"
