"""Bad input: each a clear message of at most five lines and an exit code."""

import os
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import StringType, StructField, StructType

from musicrec.catalog.clean import Catalog, write_catalog
from musicrec.catalog.found_files import find_files
from musicrec.catalog.relations import read_relation
from musicrec.catalog.sources import read_source
from musicrec.context import Context
from musicrec.errors import InputError, StorageError
from musicrec.refresh import plan
from musicrec.spark.failures import input_errors
from musicrec.storage import datasets, runs
from musicrec.storage.lease import locked
from musicrec.storage.rows import RowFiles
from tests.conftest import make_config, make_songs, refresh
from tests.roots import as_store

DAY = date(2026, 3, 4)
RELATION = StructType([StructField("user_id", StringType()), StructField("track_id", StringType())])


def read_in(spark, path: Path | str, tmp_path: Path, *overrides: str):
    """Clean the input of a run; return the catalog and the counts."""
    config = make_config(path, tmp_path / "out", *overrides)
    root = runs.open_root(config.output.root)
    with locked(root):
        context = Context(spark, config, runs.start_run(root, run_date=DAY))
        catalog = write_catalog(context)
        return catalog, catalog.counts


def tracks_of(catalog: Catalog) -> pa.Table:
    """Return the songs of a catalog that was cleaned, in the order of ids."""
    tracks = RowFiles(as_store(Path(catalog.ordered.files.store.uri).with_name(datasets.TRACKS.name)))
    return tracks.read()


def refused(spark, path: Path | str, tmp_path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as error:
        read_in(spark, path, tmp_path, *overrides)
    assert error.value.exit_code == 3
    message = str(error.value)
    assert len(message.splitlines()) <= 5
    assert "Exception" not in message
    return message


def write(tmp_path: Path, text: str, name: str = "songs.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def csv_of(songs: pd.DataFrame) -> str:
    return songs.to_csv(index=False)


def test_no_such_path(spark, tmp_path: Path) -> None:
    assert "no such path" in refused(spark, tmp_path / "nowhere.csv", tmp_path)


def test_what_is_hidden_is_no_data(spark, tmp_path: Path) -> None:
    assert "no files under" in refused(spark, write(tmp_path, "track_id\n1\n", "_songs.csv"), tmp_path)
    (tmp_path / "many").mkdir()
    good = write(tmp_path / "many", "track_id\n1\n", "songs 50%.csv")
    for name in ("_SUCCESS", ".songs.csv.crc", "_songs.parquet"):
        write(tmp_path / "many", "x", name)
    assert list(find_files(spark, str(tmp_path / "many"))) == [good.as_uri()]


@pytest.mark.parametrize("name", ["songs.csv", "songs.parquet", "songs.jsonl"])
def test_empty_file(spark, tmp_path: Path, name: str) -> None:
    message = refused(spark, write(tmp_path, "", name), tmp_path)
    assert "empty (0 bytes)" in message
    assert name in message


def test_zero_rows(spark, tmp_path: Path) -> None:
    assert "no rows" in refused(spark, write(tmp_path, csv_of(make_songs(1)).splitlines()[0] + "\n"), tmp_path)


def test_missing_id_column(spark, tmp_path: Path) -> None:
    path = write(tmp_path, csv_of(make_songs(5).drop(columns="track_id")))
    message = refused(spark, path, tmp_path)
    assert "no column for track_id" in message
    assert "id_from" in message
    assert "volume" in refused(spark, path, tmp_path, 'input.id_from=["volume"]')


def test_two_columns_for_one_name(spark, tmp_path: Path) -> None:
    assert "'title', 'name'; they differ, as in 'title 0' and 'x'" in refused(
        spark, write(tmp_path, csv_of(make_songs(3, name="x"))), tmp_path
    )
    text = csv_of(make_songs(3)).replace("artist", "title", 1)
    assert "positions 2 and 3" in refused(spark, write(tmp_path, text), tmp_path)


def test_rows_too_short_or_too_long(spark, tmp_path: Path) -> None:
    lines = csv_of(make_songs(40)).splitlines()
    path = write(tmp_path, "\n".join([*lines, "short,row", lines[1] + ",1,2,3"]) + "\n")
    catalog, counts = read_in(spark, path, tmp_path)
    assert counts["quarantine_reasons"] == {"malformed_row": 2}
    assert counts["n_tracks"] == 40
    assert "line 42: short,row" in {row["row"] for row in catalog.quarantine.collect()}


def test_a_feature_column_of_text(spark, tmp_path: Path) -> None:
    message = refused(spark, write(tmp_path, csv_of(make_songs(20, valence="happy"))), tmp_path)
    assert "20 of 20 rows" in message
    assert "valence_not_a_number" in message


def test_no_features(spark, tmp_path: Path) -> None:
    songs = make_songs(5)[["track_id", "title", "artist", "energy"]]
    assert "only 1 of 12 audio features" in refused(spark, write(tmp_path, csv_of(songs)), tmp_path)


def test_too_large_a_quarantine_refuses_the_input(spark, tmp_path: Path) -> None:
    songs = make_songs(20)
    songs.loc[:4, "tempo"] = -1
    path = write(tmp_path, csv_of(songs))
    assert "25.0%" in refused(spark, path, tmp_path)
    _, counts = read_in(spark, path, tmp_path, "input.max_quarantine_share=0.25")
    assert counts["n_tracks"] == 15


@pytest.fixture
def parquet_files(tmp_path: Path) -> Path:
    directory = tmp_path / "songs"
    directory.mkdir()
    for i in range(3):
        make_songs(20, track_id=[f"{i}-{j}" for j in range(20)]).to_parquet(directory / f"good-{i}.parquet")
    return directory


def test_a_zero_byte_parquet_file_among_good_ones_is_named(spark, tmp_path: Path, parquet_files: Path) -> None:
    (parquet_files / "bad.parquet").touch()
    assert "bad.parquet" in refused(spark, parquet_files, tmp_path)


@pytest.mark.parametrize("where", ["footer", "page"])
def test_a_corrupt_parquet_file_among_good_ones_is_named(
    spark, tmp_path: Path, parquet_files: Path, where: str
) -> None:
    good = (parquet_files / "good-1.parquet").read_bytes()
    middle = len(good) // 3 if where == "page" else len(good) - 100
    (parquet_files / "bad.parquet").write_bytes(good[:middle] + b"\xff" * 60 + good[middle + 60 :])
    assert "bad.parquet" in refused(spark, parquet_files, tmp_path)


def test_parquet_files_with_other_columns_lose_nothing(spark, tmp_path: Path, parquet_files: Path) -> None:
    make_songs(20, track_id=[f"x{j}" for j in range(20)], genre="jazz").to_parquet(
        parquet_files / "a-more.parquet"
    )
    catalog, counts = read_in(spark, parquet_files, tmp_path)
    assert counts["n_tracks"] == 80
    assert tracks_of(catalog)["genre"].to_pylist().count("jazz") == 20


def test_parquet_nan_and_null_are_missing(spark, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(make_songs(30))
    energy = pa.array([float("nan"), None, float("inf"), 1e300, *[0.5] * 26], from_pandas=False)
    pq.write_table(table.set_column(table.column_names.index("energy"), "energy", energy), tmp_path / "s.parquet")
    catalog, counts = read_in(spark, tmp_path / "s.parquet", tmp_path, "input.max_quarantine_share=0.5")
    assert counts["quarantine_reasons"] == {"energy_infinite": 1, "energy_out_of_range": 1}
    assert tracks_of(catalog)["energy"].null_count == 2


def test_csv_files_with_columns_in_another_order(spark, tmp_path: Path) -> None:
    directory = tmp_path / "songs"
    directory.mkdir()
    songs = make_songs(20)
    songs[:10].to_csv(directory / "a.csv", index=False)
    songs[10:][songs.columns[::-1]].rename(columns=str.upper).to_csv(directory / "b.csv", index=False)
    catalog, counts = read_in(spark, directory, tmp_path)
    assert counts["n_tracks"] == 20
    titles = {row["track_id"]: row["title"] for row in tracks_of(catalog).to_pylist()}
    assert titles == dict(zip(songs["track_id"], songs["title"], strict=True))
    (directory / "notes.csv").write_text("a,b\n1,2\n")
    assert "notes.csv" in refused(spark, directory, tmp_path)


def test_mixed_formats(spark, tmp_path: Path, parquet_files: Path) -> None:
    write(parquet_files, csv_of(make_songs(3)))
    assert "cannot tell the format" in refused(spark, parquet_files, tmp_path)


def test_titles_of_all_kinds(spark, tmp_path: Path) -> None:
    titles = [
        'say "hi", you',
        "two\nlines",
        "☀️🎧",
        "שלום",
        "nul\x00byte",
        "NA",
        "x" * 10_000_000,
        "=1+1",
        "<b>&amp;",
    ]
    path = tmp_path / "songs.csv"
    path.write_bytes(b"\xef\xbb\xbf" + csv_of(make_songs(len(titles), title=titles)).encode())
    catalog, counts = read_in(spark, path, tmp_path)
    assert counts["n_tracks"] == len(titles)
    found = [row["title"] for row in tracks_of(catalog).to_pylist()]
    assert found == ['say "hi", you', "two\nlines", "☀️🎧", "שלום", "nulbyte", None, "x" * 500, "=1+1", "<b>&amp;"]


def test_json_lines_with_broken_ones(spark, tmp_path: Path) -> None:
    plain = tmp_path / "more.jsonl"
    plain.write_text(make_songs(30).to_json(orient="records", lines=True) + 'not json\n[1, 2]\n{"track_id": "x"\n')
    _, counts = read_in(spark, plain, tmp_path)
    assert counts["quarantine_reasons"] == {"malformed_row": 3}
    assert counts["n_tracks"] == 30
    assert "no line holds" in refused(spark, write(tmp_path, "a\nb\n", "no.jsonl"), tmp_path)


def test_the_same_songs_in_three_formats_are_the_same_tracks(spark, tmp_path: Path) -> None:
    songs = make_songs(25, release_date="1999-05", popularity=50, genre="pop")
    songs.to_csv(tmp_path / "a.csv.gz", index=False)
    songs.to_json(tmp_path / "a.jsonl.gz", orient="records", lines=True, force_ascii=False)
    songs.to_parquet(tmp_path / "a.parquet")
    tables_ = [
        tracks_of(read_in(spark, tmp_path / f"a.{e}", tmp_path)[0]).to_pandas()
        for e in ("csv.gz", "jsonl.gz", "parquet")
    ]
    assert len(tables_[0]) == 25
    for other in tables_[1:]:
        pd.testing.assert_frame_equal(tables_[0], other)


def test_duplicate_ids_that_conflict(spark, tmp_path: Path) -> None:
    songs = pd.concat([make_songs(20, popularity=10), make_songs(20, popularity=np.arange(20), title="other")])
    catalog, counts = read_in(spark, write(tmp_path, csv_of(songs)), tmp_path)
    assert (counts["n_tracks"], counts["n_duplicates"]) == (20, 20)
    assert tracks_of(catalog)["title"].to_pylist().count("other") == 9


def test_no_write_access(spark, tmp_path: Path) -> None:
    path = write(tmp_path, csv_of(make_songs(20)))
    # A file in the way stops root too, whom permissions do not.
    (tmp_path / "occupied").write_text("")
    config = make_config(path, tmp_path / "occupied")
    for action in (lambda: refresh(spark, config, run_date=DAY), lambda: plan(spark, config, run_date=DAY)):
        with pytest.raises(StorageError, match="cannot write"):
            action()
    if os.getuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(StorageError, match="cannot write"):
            refresh(spark, make_config(path, tmp_path / "locked"), run_date=DAY)


@pytest.mark.parametrize(("name", "owner"), [("playlists", "playlist_id"), ("favorites", "user_id")])
def test_relations_without_their_columns_are_refused_first(spark, tmp_path: Path, name: str, owner: str) -> None:
    tracks = write(tmp_path, csv_of(make_songs(150)))
    write(tmp_path, "a,b\n1,2\n", "relation.csv")
    config = make_config(tracks, tmp_path / "out", f"input.{name}={tmp_path / 'relation.csv'}")
    for action in (lambda: refresh(spark, config, run_date=DAY), lambda: plan(spark, config, run_date=DAY)):
        with pytest.raises(InputError, match=f"no column for {owner} and track_id"):
            action()
    assert not list((tmp_path / "out/work").glob("*/tracks"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user_id,track_id\nu,7\nv,6\n", "none of the favorites is a song of the catalog: they say '7' where the"),
        ("user_id,track_id\n", "the favorites have no row with both ids"),
    ],
)
def test_favorites_of_no_song_are_refused_before_the_work(spark, tmp_path: Path, text: str, said: str) -> None:
    tracks = write(tmp_path, csv_of(make_songs(20)))
    favorites = write(tmp_path, text, "favorites.csv")
    config = make_config(tracks, tmp_path / "out", f"input.favorites={favorites}")
    with pytest.raises(InputError) as error:
        refresh(spark, config, run_date=DAY)
    assert said in str(error.value)
    assert "favorites.csv" in str(error.value)
    (failed,) = (tmp_path / "out/work").glob("*/state.json")
    assert '"stage": "match"' in failed.read_text()
    assert '"stage": "sample"' not in failed.read_text()


def test_relations_may_name_songs_by_made_ids_or_by_columns(spark, tmp_path: Path) -> None:
    made = 'input.id_from=["artist", "title"]'
    songs = make_songs(30).drop(columns="track_id")
    catalog, counts = read_in(spark, write(tmp_path, csv_of(songs)), tmp_path, made)
    assert counts["n_tracks"] == 30
    settings = make_config(tmp_path / "songs.csv", tmp_path / "out", made).input
    known = {row["track_id"] for row in tracks_of(catalog).to_pylist()}
    by_columns = write(tmp_path, csv_of(songs[["artist", "title"]].assign(user_id="u")), "columns.csv")
    by_ids = write(tmp_path, csv_of(pd.DataFrame({"track_id": sorted(known), "user_id": "u"})), "ids.csv")
    for path in (by_columns, by_ids):
        relation = read_relation(spark, str(path), owner="user_id", settings=settings)
        rows = relation.map(lambda batches: batches, RELATION).collect()
        assert {row["track_id"] for row in rows} == known
    neither = write(tmp_path, "user_id,artist\nu,a\n", "neither.csv")
    with pytest.raises(InputError, match="no column for track_id"):
        read_relation(spark, str(neither), owner="user_id", settings=settings)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_that_goes_while_it_is_read_is_told(spark, tmp_path: Path, ending: str) -> None:
    """An export that is written anew at night takes the files away that the run has listed."""
    directory = tmp_path / "favorites"
    directory.mkdir()
    rows = pd.DataFrame({"user_id": ["u", "v"], "track_id": ["a", "b"]})
    for name in ("part-0", "part-1"):
        path = directory / f"{name}.{ending}"
        rows.to_parquet(path) if ending == "parquet" else rows.to_csv(path, index=False)
    settings = make_config(tmp_path, tmp_path / "out").input
    relation = read_relation(spark, str(directory), owner="user_id", settings=settings)
    (directory / f"part-0.{ending}").unlink()
    with (
        pytest.raises(InputError, match="is gone that was there when the run began"),
        input_errors(str(directory)),
    ):
        relation.map(lambda batches: batches, RELATION).collect()


def test_source_columns_of_any_name(spark, tmp_path: Path) -> None:
    songs = make_songs(20).rename(columns={"title": "the `title`.x", "artist": "a b"})
    path = write(tmp_path, csv_of(songs))
    config = make_config(path, tmp_path / "out", "input.columns={title = 'the `title`.x', artist = 'a b'}")
    assert read_source(spark, config.input).meaning.serving["title"] == "the `title`.x"
    catalog, _ = read_in(spark, path, tmp_path, "input.columns={title = 'the `title`.x', artist = 'a b'}")
    assert tracks_of(catalog)["title"].to_pylist().count("Title 3") == 1
