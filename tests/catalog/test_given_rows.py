"""Rows that tasks read themselves are those that Spark reads, whatever the files hold."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.catalog import formats, found_files, parquet_rows
from musicrec.catalog.relations import read_relation
from musicrec.catalog.row_groups import find_row_groups
from musicrec.errors import InputError
from tests.catalog.test_bad_input import RELATION, read_in, refused, tracks_of
from tests.catalog.test_cases import audited, source_of
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
    tracks, quarantine = tracks_of(catalog).to_pandas(), catalog.quarantine.toPandas()
    return counts, tracks.sort_values("track_id"), quarantine.sort_values(["source_file", "row"])


@pytest.fixture
def by_spark(monkeypatch: pytest.MonkeyPatch):
    """Let Spark bring what tasks would read."""
    return lambda: monkeypatch.setattr(found_files, "as_local", lambda *_: None)


def test_tasks_read_what_spark_reads(
    spark, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_spark
) -> None:
    settings = make_config(exported, tmp_path / "out").input
    rows = formats.read_rows(spark, str(exported), settings)
    assert rows.read is not None
    # Batches that end within a row group.
    monkeypatch.setattr(parquet_rows, "READ_ROWS", 7)
    counts, tracks, quarantine = as_found(spark, exported, tmp_path)
    assert counts["n_rows"] == rows.n_rows == N
    assert counts["quarantine_reasons"] == {"missing_id": 2, "energy_out_of_range": 1}
    assert counts["n_duplicates"] == 1

    def related() -> list[tuple[str, str]]:
        directory = exported.with_name("favorites")
        directory.mkdir(exist_ok=True)
        table = pa.table({"x": [1, 2, 3, 4], "user_id": ["u", " v ", None, "w"], "track_id": [12, 13, 14, None]})
        pq.write_table(table, directory / "one.parquet", row_group_size=3)
        relation = read_relation(spark, str(directory), owner="user_id", settings=settings)
        return sorted(map(tuple, relation.map(lambda batches: batches, RELATION).collect()))

    assert related() == [("u", "12"), ("v", "13")]
    by_spark()
    other = formats.read_rows(spark, str(exported), settings)
    assert other.read is None
    assert (rows.names, rows.files) == (other.names, other.files)
    other_counts, other_tracks, other_quarantine = as_found(spark, exported, tmp_path)
    assert counts == other_counts
    pd.testing.assert_frame_equal(
        tracks.reset_index(drop=True), other_tracks.reset_index(drop=True), check_exact=True
    )
    for one in (quarantine, other_quarantine):
        one["source_file"] = one["source_file"].str.replace("file:/+", "file:/", regex=True)
    pd.testing.assert_frame_equal(
        quarantine.reset_index(drop=True), other_quarantine.reset_index(drop=True), check_exact=True
    )
    assert related() == [("u", "12"), ("v", "13")]


@pytest.mark.parametrize("ending", ["csv.gz", "jsonl"])
def test_text_that_only_spark_can_open_is_read_alike(spark, tmp_path: Path, by_spark, ending: str) -> None:
    directory = tmp_path / "songs"
    directory.mkdir()
    songs = make_songs(60, title=[f"Tïtle {i}\n" for i in range(60)])
    for i in range(2):
        some, path = songs[30 * i : 30 * (i + 1)], directory / f"{i}.{ending}"
        some.to_csv(path, index=False) if "csv" in ending else some.to_json(path, orient="records", lines=True)
    (directory / f"empty.{ending}").touch()
    _, tracks, _ = as_found(spark, directory, tmp_path)
    by_spark()
    assert formats.read_rows(spark, str(directory), make_config(directory, tmp_path).input).n_rows is None
    _, other_tracks, _ = as_found(spark, directory, tmp_path)
    assert len(tracks) == 60
    pd.testing.assert_frame_equal(tracks.reset_index(drop=True), other_tracks.reset_index(drop=True))


KINDS = {
    "nanoseconds": ("release_date", pa.array([10**18] * N, pa.timestamp("ns")), "2001-09-09"),
    "days": ("release_date", pa.array([11_574] * N, pa.date32()), "2001-09-09"),
    "half": ("energy", pa.array(np.full(N, 0.5, np.float16)), 0.5),
    "decimal": ("energy", pa.array(["0.5"] * N).cast(pa.decimal128(5, 2)), 0.5),
    "text": ("energy", pa.array(["0.5"] * N), 0.5),
    "unsigned": ("key", pa.array([5] * N, pa.uint64()), 5.0),
    "bytes": ("title", pa.array([b"caf\xe9"] * N), "café"),
    "view": ("title", pa.array(["x"] * N, pa.string_view()), "x"),
    "lists": ("artist", pa.array([["A", "B"]] * N, pa.list_(pa.large_string())), "A; B"),
    "objects": ("artist", pa.array([[{"name": "A"}, {"name": "B"}]] * N), "A; B"),
    "lasting": ("duration_ms", pa.array([180_500_000] * N, pa.duration("us")), 180_500.0),
    "clock": ("duration_ms", pa.array([180_500_000] * N, pa.time64("us")), 180_500.0),
    "categories": ("genre", pa.array(["pop"] * N).dictionary_encode(), "pop"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_all_types_are_read(spark, tmp_path: Path, kind: str) -> None:
    name, column, expected = KINDS[kind]
    table = pa.Table.from_pandas(make_songs(N), preserve_index=False)
    table = table.drop_columns([name]) if name in table.column_names else table
    pq.write_table(table.append_column(name, column), tmp_path / "songs.parquet")
    songs, quarantine = audited(source_of(spark, tmp_path / "songs.parquet"))
    assert len(quarantine) == 0
    assert songs[name].tolist() == [expected] * N


def test_files_whose_columns_differ_in_type_are_read(spark, tmp_path: Path) -> None:
    """As pandas writes them: whole numbers, the same with a gap, and a column of nothing."""
    directory = tmp_path / "songs"
    directory.mkdir()
    plain = make_songs(30, track_id=[str(12_345_678 + i) for i in range(30)], popularity=list(range(30)))
    changes = {
        "text": {}, "whole": {"track_id": plain["track_id"].astype(int)},
        "gap": {"track_id": plain["track_id"].astype(float), "popularity": [float(i) for i in range(30)]},
        "single": {"energy": plain["energy"].astype("float32"), "popularity": [None] * 30},
        "upper": {},
    }  # fmt: skip
    for name, changed in changes.items():
        songs = plain.assign(**changed)
        songs = songs.rename(columns=str.upper) if name == "upper" else songs
        songs.to_parquet(directory / f"{name}.parquet", index=False)
    songs, quarantine = audited(source_of(spark, directory))
    assert len(quarantine) == 0
    assert sorted(songs.index) == sorted(plain["track_id"])
    assert songs["popularity"].notna().all()


def test_names_that_are_ours_or_hold_dots_break_nothing(spark, tmp_path: Path) -> None:
    odd = {"_malformed": "x", "_source_file": "y", "_metadata": 1, "a.b": 2, "⟨malformed⟩": "z", "Energy ": "no"}
    songs = make_songs(30).assign(**{name: value for name, value in odd.items() if name != "Energy "})
    songs.to_parquet(tmp_path / "songs.parquet")
    songs.to_csv(tmp_path / "songs.csv", index=False)
    for ending in ("parquet", "csv"):
        found, quarantine = audited(source_of(spark, tmp_path / f"songs.{ending}"))
        assert (len(found), len(quarantine)) == (30, 0)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_directory_may_be_a_column(spark, tmp_path: Path, ending: str) -> None:
    directory = tmp_path / "songs=1" / "all"
    for year in (1999, 2001):
        (directory / f"year={year}").mkdir(parents=True)
        songs = make_songs(30).assign(track_id=[f"{year}-{i}" for i in range(30)])
        songs = songs.drop(columns="release_date", errors="ignore")
        path = directory / f"year={year}" / f"one.{ending}"
        songs.to_parquet(path) if ending == "parquet" else songs.to_csv(path, index=False)
    source = source_of(spark, directory)
    assert "year" in source.rows.names
    assert "songs" not in source.rows.names
    songs, _ = audited(source)
    assert {(name[:4], year) for name, year in songs["release_year"].items()} == {("1999", 1999), ("2001", 2001)}


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
    assert str(path) in message


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
    assert list(found_files.find_files(spark, str(directory))) == [(directory / "one.parquet").as_uri()]
    _, counts = read_in(spark, directory, tmp_path)
    assert counts["n_rows"] == 50
