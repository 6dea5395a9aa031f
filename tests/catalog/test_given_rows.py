"""Rows that tasks read themselves are those that Spark reads, whatever the files hold."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.catalog import formats, given_rows
from musicrec.catalog.given_rows import can_read_here
from musicrec.catalog.row_groups import find_row_groups
from musicrec.catalog.sources import read_relation
from musicrec.errors import InputError
from tests.catalog.test_bad_input import RELATION, read_in, refused
from tests.conftest import make_config, make_songs

N = 90


def odd_songs() -> pa.Table:
    """Songs of all types that may come from either reader, some of them bad."""
    songs = make_songs(N).drop(columns=["popularity"], errors="ignore")
    table = pa.Table.from_pandas(songs, preserve_index=False)
    ids = songs["track_id"].tolist()
    ids[3], ids[4], ids[5] = None, "", ids[0]
    odd = {
        "track_id": pa.array(ids),
        "popularity": pa.array([None if i % 7 == 0 else i % 100 for i in range(N)], type=pa.int16()),
        "explicit": pa.array([None if i % 5 == 0 else i % 2 == 0 for i in range(N)]),
        "genre": pa.array([f"genre {i % 3}" for i in range(N)]).dictionary_encode(),
        "title": pa.array([f"Títle {i} (2011 Remaster)" for i in range(N)], type=pa.large_string()),
        "release_date": pa.array([date(1980 + i % 40, 1 + i % 12, 3) for i in range(N)], type=pa.date32()),
        "tempo": pa.array([np.nan if i == 7 else 90.5 + i for i in range(N)], type=pa.float32()),
        "energy": pa.array([2.0 if i == 8 else i / N for i in range(N)]),
        "something else": pa.array(range(N), type=pa.int8()),
    }
    for name, column in odd.items():
        at = table.schema.get_field_index(name)
        table = table.append_column(name, column) if at < 0 else table.set_column(at, name, column)
    return table


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Files of several row groups, and one without rows."""
    directory = tmp_path / "my songs, 50%"
    directory.mkdir()
    songs = odd_songs()
    pq.write_table(songs.slice(0, 50), directory / "one.parquet", row_group_size=20)
    pq.write_table(songs.slice(50), directory / "two #2.parquet", row_group_size=1000)
    pq.write_table(songs.slice(0, 0), directory / "none.parquet")
    return directory


def as_found(spark, path: Path, tmp_path: Path) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    catalog, counts = read_in(spark, path, tmp_path, "input.max_quarantine_share=0.5")
    tracks, quarantine = catalog.tracks.toPandas(), catalog.quarantine.toPandas()
    return counts, tracks.sort_values("track_id"), quarantine.sort_values(["source_file", "row"])


def test_tasks_read_what_spark_reads(
    spark, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_config(exported, tmp_path / "out").input
    rows = formats.read_rows(spark, str(exported), file_format="auto", multiline=True)
    assert rows.groups is not None
    # Batches that end within a row group.
    monkeypatch.setattr(given_rows, "READ_ROWS", 7)
    counts, tracks, quarantine = as_found(spark, exported, tmp_path)
    assert counts["n_rows"] == N
    assert counts["quarantine_reasons"] == {"missing_id": 2, "energy_out_of_range": 1, "tempo_nan": 1}
    assert counts["n_duplicates"] == 1

    def related() -> list[tuple[str, str]]:
        directory = exported.with_name("favorites")
        directory.mkdir(exist_ok=True)
        table = pa.table({"x": [1, 2, 3, 4], "user_id": ["u", " v ", None, "w"], "track_id": [12, 13, 14, None]})
        pq.write_table(table, directory / "one.parquet", row_group_size=3)
        relation = read_relation(spark, str(directory), owner="user_id", settings=settings)
        return sorted(map(tuple, relation.map(lambda batches: batches, RELATION).collect()))

    assert related() == [("u", "12"), ("v", "13")]
    monkeypatch.setattr(formats, "find_local_groups", lambda *_, **__: None)
    by_spark = formats.read_rows(spark, str(exported), file_format="auto", multiline=True)
    assert by_spark.groups is None
    assert (rows.names, rows.files) == (by_spark.names, by_spark.files)
    other_counts, other_tracks, other_quarantine = as_found(spark, exported, tmp_path)
    assert counts == other_counts
    pd.testing.assert_frame_equal(
        tracks.reset_index(drop=True), other_tracks.reset_index(drop=True), check_exact=True
    )
    pd.testing.assert_frame_equal(
        quarantine.reset_index(drop=True), other_quarantine.reset_index(drop=True), check_exact=True
    )
    assert related() == [("u", "12"), ("v", "13")]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("a.b", pa.array([1])),
        ("TITLE", pa.array(["x"])),
        ("_malformed", pa.array(["x"])),
        ("Source", pa.array([[1]])),
        ("time", pa.array([1], type=pa.timestamp("ns"))),
        ("price", pa.array([1], type=pa.decimal128(5, 2))),
        ("unsigned", pa.array([1], type=pa.uint32())),
        ("half", pa.array([1], type=pa.float16())),
        ("bytes", pa.array([b"x"])),
    ],
)
def test_what_spark_may_read_otherwise_is_left_to_spark(tmp_path: Path, name: str, column: pa.Array) -> None:
    table = pa.table({"title": ["x"], "whole": [1], name: column})
    for path, columns in ((tmp_path / "odd.parquet", table), (tmp_path / "plain.parquet", table.select([0, 1]))):
        pq.write_table(columns, path)
        groups = find_row_groups([str(path)])
        assert groups is not None
        assert can_read_here(groups) is (path.name == "plain.parquet")


def test_a_directory_that_is_a_column_is_left_to_spark(spark, tmp_path: Path) -> None:
    directory = tmp_path / "songs"
    for year in (1999, 2001):
        (directory / f"year={year}").mkdir(parents=True)
        songs = make_songs(30).assign(track_id=[f"{year}-{i}" for i in range(30)])
        songs.drop(columns="release_date", errors="ignore").to_parquet(directory / f"year={year}" / "one.parquet")
    rows = formats.read_rows(spark, str(directory), file_format="auto", multiline=True)
    assert rows.groups is None
    assert "year" in rows.names
    catalog, counts = read_in(spark, directory, tmp_path)
    assert counts["n_tracks"] == 60
    found = {(row["track_id"][:4], row["release_year"]) for row in catalog.tracks.collect()}
    assert found == {("1999", 1999), ("2001", 2001)}


def test_files_that_differ_are_left_to_spark(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "one.parquet")
    paths = [str(tmp_path / "one.parquet")]
    for name, table in (("type", pa.table({"a": [1.5]})), ("name", pa.table({"b": [1]}))):
        pq.write_table(table, tmp_path / f"{name}.parquet")
        assert find_row_groups([*paths, str(tmp_path / f"{name}.parquet")]) is None
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert find_row_groups([*paths, str(tmp_path / "broken.parquet")]) is None
    assert find_row_groups([]) is None
    assert find_row_groups(paths, columns=["b"]) is None


def test_a_page_that_is_broken_is_told_by_its_file(spark, tmp_path: Path) -> None:
    path = tmp_path / "my songs, 50%.parquet"
    make_songs(200).to_parquet(path, index=False, compression=None)
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(bytes(content))
    message = refused(spark, path, tmp_path)
    assert "a file cannot be read" in message
    assert f"where: {path.as_uri().replace('file:///', 'file:/')}\n" in message


def test_a_file_that_may_not_be_read_is_not_called_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "songs.parquet"
    make_songs(20).to_parquet(path)
    groups = find_row_groups([str(path)])
    assert groups is not None

    # Root may read everything, so a refusal has to be made.
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(InputError, match="Permission denied"), groups.opened(0):
        pass


def test_summaries_of_a_directory_are_no_data(spark, tmp_path: Path) -> None:
    directory = tmp_path / "songs"
    directory.mkdir()
    table = pa.Table.from_pandas(make_songs(50), preserve_index=False)
    found: list[pq.FileMetaData] = []
    pq.write_table(table, directory / "one.parquet", metadata_collector=found)
    found[0].set_file_path("one.parquet")
    pq.write_metadata(table.schema, directory / "_metadata", metadata_collector=found)
    pq.write_metadata(table.schema, directory / "_common_metadata")
    assert formats.find_files(spark, str(directory)) == [(directory / "one.parquet").as_uri()]
    _, counts = read_in(spark, directory, tmp_path)
    assert counts["n_rows"] == 50
