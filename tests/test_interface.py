"""What a notebook calls, in a session of its own settings that goes on afterwards."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

import musicrec
from musicrec.config import Config
from musicrec.errors import ConfigError, InputError, StorageError
from musicrec.interface import as_config
from musicrec.spark.partitions import PARTITIONS
from musicrec.storage import runs
from musicrec.storage.pointer import current_snapshot
from tests.conftest import make_config
from tests.neighbors.search.test_spaces import scores_by_hand

ZONE = "spark.sql.session.timeZone"
VECTORS = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)


@pytest.fixture
def notebook(spark: SparkSession) -> Iterator[SparkSession]:
    before = {key: spark.conf.get(key) for key in (ZONE, PARTITIONS)}
    spark.conf.set(ZONE, "Asia/Tokyo")
    spark.conf.set(PARTITIONS, "200")
    yield spark
    assert (spark.conf.get(ZONE), spark.conf.get(PARTITIONS)) == ("Asia/Tokyo", "200")
    assert spark.range(2).count() == 2
    for key, value in before.items():
        spark.conf.set(key, value)


def frame(session: SparkSession) -> DataFrame:
    rows = [(f"v{i:02d}", [float(x) for x in vector]) for i, vector in enumerate(VECTORS)]
    return session.createDataFrame(rows, "id string, vector array<float>")


def check_lists(neighbors: DataFrame, *, k: int) -> None:
    """The scores of each list are the k best by hand."""
    assert neighbors.columns == ["id", "rank", "neighbor_id", "score"]
    exact = scores_by_hand(VECTORS, "cosine")
    np.fill_diagonal(exact, -np.inf)
    rows = neighbors.orderBy("id", "rank").collect()
    assert len(rows) == k * len(VECTORS)
    for i, own in enumerate(np.sort(exact, axis=1)[:, ::-1][:, :k]):
        mine = rows[k * i : k * i + k]
        assert [row["rank"] for row in mine] == list(range(1, k + 1))
        np.testing.assert_allclose([row["score"] for row in mine], own, rtol=1e-5, atol=2e-6)


def test_neighbors_of_a_dataframe(notebook: SparkSession, tmp_path: Path) -> None:
    kept = musicrec.neighbors(frame(notebook), k=3, root=tmp_path / "out")
    check_lists(kept, k=3)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"neighbors", "report.json"}
    # The copy of the vectors is gone.
    assert not list((tmp_path / "out").glob("vectors*"))
    with pytest.raises(StorageError, match="the output exists"):
        musicrec.neighbors(frame(notebook), k=3, root=tmp_path / "out")
    # Nothing is left behind by one that is refused.
    assert not list((tmp_path / "out").glob("vectors*"))


def test_neighbors_without_a_root_stand_in_a_temporary_directory(notebook: SparkSession) -> None:
    found = musicrec.neighbors(frame(notebook), k=2)
    check_lists(found, k=2)
    (file, *_) = found.inputFiles()
    assert "musicrec-neighbors-" in file


def test_what_cannot_be_joined_is_refused_before_the_work(notebook: SparkSession, tmp_path: Path) -> None:
    vectors = notebook.createDataFrame([(1, [1.0, 0.0])], "id long, vector array<double>")
    (tmp_path / "file").write_text("")
    for error, text, call in (
        (ConfigError, "metric must be one of cosine", lambda: musicrec.neighbors(vectors, metric="cosin")),
        (InputError, "no column id", lambda: musicrec.neighbors(vectors.withColumnRenamed("id", "song"))),
        (StorageError, "cannot write here", lambda: musicrec.neighbors(vectors, root=tmp_path / "file")),
    ):
        with pytest.raises(error, match=text):
            call()


def test_refresh_and_similar(notebook: SparkSession, songs: Path, tmp_path: Path) -> None:
    config = make_config(songs, tmp_path / "out", "input.favorites=")
    snapshot = Path(musicrec.refresh(config, notebook))
    assert snapshot == Path(current_snapshot(runs.open_root(str(tmp_path / "out"))))
    listed = musicrec.similar(str(tmp_path / "out"), "spotify:track:song-0001", k=4)
    assert [row["rank"] for row in listed] == [1, 2, 3, 4]
    assert {row["track_id"] for row in listed} == {"song-0001"}
    assert all(row["title"] == f"Title {int(row['recommended_track_id'][5:])}" for row in listed)
    with pytest.raises(InputError, match="at least 1"):
        musicrec.similar(str(tmp_path / "out"), "song-0001", k=0)


@pytest.mark.parametrize("name", ["\U0001f3b5 songs", 'a "b" c', "back\\slash", "2026", "ö\tx"])
def test_a_path_of_a_mapping_stays_as_it_is(name: str) -> None:
    config = as_config({"output": {"root": name}, "input": {"columns": {"title": name}}})
    assert config.output.root == name
    assert config.input.columns == {"title": name}


def test_a_configuration_is_itself_a_file_or_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[input]\ntracks = "a b.csv"\ncolumns = {track_id = "my id"}\n[neighbors]\nk = 3\n')
    sections = {"input": {"tracks": "a b.csv", "columns": {"track_id": "my id"}}, "neighbors": {"k": 3}}
    whole = as_config(sections)
    assert whole.input.columns == {"track_id": "my id"}
    assert as_config(file) == as_config(str(file)) == whole
    assert as_config(whole) is whole
    assert as_config({}) == Config()
    # Text stays text, whatever it looks like.
    assert as_config({"input": {"tracks": "1"}, "output": {"root": Path("out")}}).input.tracks == "1"
    model = {"hidden_layers": (8, 4), "use_genre": True, "dropout": 0.2}
    assert as_config({"model": model}).model.hidden_layers == (8, 4)


@pytest.mark.parametrize("config", [{"neighbors": {"kk": 3}}, {"neighbors": 3}, {"k": {"a": 1}}, "/nowhere.toml"])
def test_a_wrong_configuration_is_refused(config) -> None:
    with pytest.raises(ConfigError):
        as_config(config)
