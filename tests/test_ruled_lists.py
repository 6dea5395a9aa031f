"""Whole nights under rules: lists are those of a search by hand, and what no song fulfills is told."""

import json
import logging
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest

from musicrec.errors import ConfigError, InputError, QualityError
from tests.conftest import make_config, make_songs, refresh
from tests.oracles import Song, ruled_lists_by_hand, scores_by_hand

DAY = date(2026, 3, 4)
N, K = 320, 5
UNTRAINED = "model.expert.min_songs=1000"
TITLES = ("Title {}", "Title {}", "Title {}", "Title {} (Live)", "Title {} Christmas", "Title {} - Remix",
          "Title {} (Karaoke Version)")  # fmt: skip
IN_CELLS = ("neighbors.expert.exact_below=0", "neighbors.hash_family=exact", "neighbors.expert.cell_size=50")
FLAGS = {"(Live)": "live", "Christmas": "holiday", "(Karaoke Version)": "karaoke", "- Remix": "remix"}
ALL_RULES = (
    f"neighbors.k={K}", UNTRAINED, "lists.max_per_artist=2", "lists.max_own_artist=1", "lists.max_per_album=1",
    "lists.explicit=clean_for_clean", "lists.explicit_unknown=explicit", "lists.years_apart=15",
    "lists.min_seconds=130", "lists.max_seconds=290", "lists.same=['language']",
    "lists.exclude_flags=['live', 'karaoke', 'holiday', 'remix']",
)  # fmt: skip


def read(snapshot: Path, name: str) -> pd.DataFrame:
    return ds.dataset(sorted((snapshot / name).glob("*.parquet"))).to_table().to_pandas()


def many_songs() -> pd.DataFrame:
    """Songs of all kinds; of some the sound is that of another."""
    rng = np.random.default_rng(6)
    artist, year = rng.integers(0, 45, N), rng.integers(1985, 2021, N)
    songs = make_songs(
        N,
        title=[TITLES[kind].format(f"n{i}x") for i, kind in enumerate(rng.integers(0, len(TITLES), N))],
        artist=[f"Artist {i}" if i % 6 else None for i in artist],
        album=[f"Album {i}" if i else None for i in rng.integers(0, 3, N)],
        release_date=[f"{y}" if i % 9 else None for i, y in enumerate(year)],
        explicit=[["true", "false", None][i] for i in rng.choice(3, N, p=[0.3, 0.6, 0.1])],
        language=[["en", "es", None][i] for i in rng.choice(3, N, p=[0.5, 0.4, 0.1])],
    )
    sounds = [name for name in make_songs(1).columns if name not in ("track_id", "title", "artist")]
    copies, copied = rng.permutation(N)[:60], rng.integers(0, N, 60)
    songs.loc[copies, sounds] = songs.loc[copied, sounds].to_numpy()
    return songs


def as_song(row: Any) -> Song:
    flags = [flag for words, flag in FLAGS.items() if row.title.endswith(words)]
    year = None if pd.isna(row.release_date) else int(row.release_date)
    artist = None if pd.isna(row.artist) else row.artist
    album = None if pd.isna(row.album) else (artist, row.album, year)
    return {
        "key": row.track_id, "work": row.track_id, "artist": artist, "album": album, "year": year, "flags": flags,
        "language": None if pd.isna(row.language) else row.language, "explicit": row.explicit != "false",
        "seconds": row.duration_ms / 1000,
    }  # fmt: skip


@pytest.fixture(scope="module")
def night(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, pd.DataFrame, list[str]]:
    root, songs = tmp_path_factory.mktemp("root"), many_songs()
    excluded = songs["track_id"].tolist()[::11]
    songs.to_csv(root / "songs.csv", index=False)
    pd.DataFrame({"track_id": [*excluded, "stranger"]}).to_csv(root / "out.csv", index=False)
    rules = (*ALL_RULES, f"lists.exclude={root / 'out.csv'}", "lists.spread=false")
    config = make_config(root / "songs.csv", root / "out", *rules)
    return refresh(spark, config, run_date=DAY), root / "out", songs, excluded


def test_lists_of_a_night_are_those_of_a_search_by_hand(night) -> None:
    """By their scores: which of equal ones is listed is another matter, and changes no score of a choice."""
    snapshot, root, rows, excluded = night
    songs = [as_song(row) for row in rows.itertuples()]
    found = read(root / "work" / snapshot.name, "embeddings").set_index("track_id")["embedding"]
    vectors = np.stack([found[song["key"]] for song in songs])

    def may_list(query: Song, song: Song) -> bool:
        years = query["year"] is None or (song["year"] is not None and abs(song["year"] - query["year"]) <= 15)
        flags = not {"live", "remix"} & {*song["flags"]} and {*song["flags"]} <= {*query["flags"]}
        clean = query["explicit"] or not song["explicit"]
        long = 130 <= song["seconds"] <= 290
        same = query["language"] == song["language"]
        return years and flags and clean and long and same and song["key"] not in excluded

    limits = {"work": (1, 0), "album": (1, 1), "artist": (2, 1)}
    expected = ruled_lists_by_hand(
        scores_by_hand(vectors, "cosine"), songs, songs, limits=limits, may_list=may_list, k=K
    )
    lists = read(snapshot, "recommendations").groupby("track_id")["score"].apply(list).to_dict()
    assert sum(len(pairs) == K for pairs in expected) > N / 3
    for song, pairs in zip(songs, expected, strict=True):
        np.testing.assert_allclose(lists.get(song["key"], []), [score for _, score in pairs], atol=2e-6)
    status = read(snapshot, "status").set_index("track_id")
    for song, pairs in zip(songs, expected, strict=True):
        assert status.loc[song["key"], "n_recommendations"] == len(pairs)
        reason = status.loc[song["key"], "reason"]
        assert (reason is None) == (len(pairs) == K)
        assert reason is None or reason == "rules together" or " leaves " in reason
    counts = json.loads((snapshot / "manifest.json").read_bytes())["counts"]
    barred = [
        {"live", "remix"} & {*s["flags"]} or not 130 <= s["seconds"] <= 290 or s["key"] in excluded for s in songs
    ]
    assert counts["n_barred"] == sum(map(bool, barred)) > 0
    rules = status["reason"].dropna().str.split(" leaves ").str[0].value_counts()
    assert counts["short_list_rules"] == rules.to_dict()
    assert counts["n_short_lists"] == rules.sum() > 0


def test_spread_obeys_the_rules_and_files_and_order_decide_nothing(spark, night, tmp_path: Path) -> None:
    """What is published passes the check, which looks at each rule; from files in another order it is the same."""
    root, songs = night[1].parent, night[2]
    (tmp_path / "songs").mkdir()
    for i, some in enumerate(np.array_split(np.random.default_rng(1).permutation(N), 3)):
        songs.iloc[some].to_csv(tmp_path / f"songs/{i}.csv", index=False)
    rules = (*ALL_RULES, f"lists.exclude={root / 'out.csv'}")
    one = refresh(spark, make_config(root / "songs.csv", tmp_path / "one", *rules), run_date=DAY)
    other = refresh(spark, make_config(tmp_path / "songs", tmp_path / "other", *rules, *IN_CELLS), run_date=DAY)
    for name in ("recommendations", "status"):
        pd.testing.assert_frame_equal(read(one, name), read(other, name))
    before = read(night[0], "recommendations")
    assert len(before) <= len(read(one, "recommendations"))


def test_where_queries_ask_too_few_cells_lists_are_as_long_as_the_catalog_allows(
    spark, night, tmp_path: Path
) -> None:
    """What stays short in the cells that it asks is compared with all: no list is shorter than by exact search."""
    root, cells = night[1].parent, ("neighbors.expert.exact_below=0", "neighbors.expert.cell_size=10")
    near = ("neighbors.expert.tau=0.1", "neighbors.min_recall=0", "neighbors.target_recall=0.01")
    rules = (*ALL_RULES, f"lists.exclude={root / 'out.csv'}", "lists.spread=false")
    config = make_config(root / "songs.csv", tmp_path, *rules, *cells, *near)
    found, expected = (read(each, "status") for each in (refresh(spark, config, run_date=DAY), night[0]))
    pd.testing.assert_frame_equal(found, expected)


def quick(spark, songs: pd.DataFrame, tmp_path: Path, *overrides: str) -> Path:
    songs.to_csv(tmp_path / "songs.csv", index=False)
    config = make_config(tmp_path / "songs.csv", tmp_path / "out", UNTRAINED, *overrides)
    return refresh(spark, config, run_date=DAY)


def test_a_rule_that_no_song_fulfills_stops_the_night(spark, tmp_path: Path) -> None:
    with pytest.raises(
        QualityError, match=r"100\.0% of 150 songs have no list: min_seconds, max_seconds leaves 0"
    ):
        quick(spark, make_songs(150), tmp_path, "lists.min_seconds=99999")


def test_songs_of_one_artist_get_short_lists_that_say_so(
    spark, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "musicrec")
    snapshot = quick(spark, make_songs(150, artist="One"), tmp_path)
    status = read(snapshot, "status")
    assert (status["n_recommendations"] == 1).all()
    assert (status["reason"] == "max_per_artist, max_own_artist leaves 1").all()
    assert any("150 lists have fewer than 10 songs" in record.getMessage() for record in caplog.records)


def test_songs_without_artist_are_capped_by_nothing(spark, tmp_path: Path) -> None:
    songs = make_songs(150, album="Album").drop(columns="artist")
    status = read(quick(spark, songs, tmp_path), "status")
    assert (status["n_recommendations"] == 10).all()
    assert status["reason"].isna().all()


def test_a_catalog_of_karaoke_alone_is_listed_by_default(spark, tmp_path: Path) -> None:
    songs = make_songs(150, genre="karaoke", artist=[f"Artist {i}" for i in range(150)])
    assert (read(quick(spark, songs, tmp_path), "status")["n_recommendations"] == 10).all()


def test_what_cannot_be_is_refused(spark, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_per_artist: .*greater than or equal to 1"):
        quick(spark, make_songs(30), tmp_path, "lists.max_per_artist=0")
    with pytest.raises(ConfigError, match=r"lists\.same names columns that are not there: language") as error:
        quick(spark, make_songs(30), tmp_path, "lists.same=['language', 'artist']")
    assert "danceability" in str(error.value)
    asked = (
        "lists.explicit=none", "lists.years_apart=5", "lists.max_per_album=1", "lists.max_own_artist=0",
        "lists.exclude_flags=['live']",
    )  # fmt: skip
    with pytest.raises(ConfigError) as error:
        quick(spark, make_songs(30).drop(columns=["artist", "title"]), tmp_path, *asked)
    for told in ("explicit needs a column explicit", "years_apart needs a column release_date or release_year",
                 "max_per_album needs a column album", "max_own_artist needs a column artist",
                 "exclude_flags needs a column title or album or genre"):  # fmt: skip
        assert f"lists.{told}" in str(error.value)
    pd.DataFrame({"track_id": ["x", "y"]}).to_csv(tmp_path / "others.csv", index=False)
    with pytest.raises(InputError, match=r"none of the 2 songs of lists\.exclude is one of the catalog"):
        quick(spark, make_songs(30), tmp_path, f"lists.exclude={tmp_path / 'others.csv'}")
    pd.DataFrame({"name": ["x", "y"]}).to_csv(tmp_path / "names.csv", index=False)
    with pytest.raises(InputError, match="no column for track_id"):
        quick(spark, make_songs(30), tmp_path, f"lists.exclude={tmp_path / 'names.csv'}")
