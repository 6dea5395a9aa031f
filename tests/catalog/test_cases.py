"""Small files as tools and people write them, beside the right answer: mostly the twelve songs of 00_plain.csv."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from musicrec.catalog.clean_tasks import rules_of
from musicrec.catalog.named import as_named
from musicrec.catalog.recordings import find_recordings
from musicrec.catalog.relations import read_relation
from musicrec.catalog.sources import Source, read_source
from musicrec.catalog.twins import keep_winners
from musicrec.catalog.works import find_works
from musicrec.errors import InputError
from musicrec.songs import FEATURES, SHARES
from tests.conftest import make_config

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Answer:
    """What reading a case gives.

    `differs`: columns that are not those of the plain songs, in any row or in the rows (by the first two digits of
    their ids) that are named. `said`: what is told.
    """

    n_tracks: int = 12
    reasons: dict[str, int] = field(default_factory=dict)
    differs: dict[str, dict[str, object] | None] = field(default_factory=dict)
    said: str = ""


NO_DATE, NO_NAMES = {"release_date": None}, {"release_date": None, "title": None, "artist": None}
ANSWERS = {
    "00_plain.csv": Answer(),
    "01_exportify.csv": Answer(),
    "02_exportify_dir": Answer(),
    "03_semicolon.csv": Answer(said="read as ;-separated"),
    "04_semicolon_decimal_comma.csv": Answer(said="decimal comma"),
    "05_latin1.csv": Answer(said="cp1252"),
    "06_utf16.csv": Answer(said="utf-16"),
    "07_id_and_uri.csv": Answer(differs={"artist": None, **NO_DATE}),
    "08_key_names.csv": Answer(),
    "11_seconds.csv": Answer(said="seconds in duration", differs={"duration_ms": None, **NO_DATE}),
    "12_nested.jsonl": Answer(differs=NO_DATE),
    "13_array.json": Answer(differs=NO_NAMES),
    "15_artists_list.csv": Answer(),
    "16_header_spaces.csv": Answer(),
    "17_named_with_spaces.csv": Answer(),
    "18_index_first.csv": Answer(),
    "20_local_file.csv": Answer(reasons={"local_file": 1}),
    "21_versions.csv": Answer(n_tracks=42),
    "22_nfc_nfd.csv": Answer(n_tracks=16),
    "23_same_title_other_recording.csv": Answer(n_tracks=13),
    "26_quotes.csv": Answer(
        differs={
            "title": {
                "00": 'Harbour Lights (From "Night Boat" OST)',
                "01": 'Copper Wire "Live" cut',
                "02": 'Été sans fin "Live" cut',
                "03": 'Straße "Live" cut',
            }
        }
    ),
    "27_missing_words.csv": Answer(n_tracks=11, reasons={"tempo_infinite": 1}, differs={"tempo": None}),
    "35_nan.jsonl": Answer(differs={"tempo": {"02": None, "08": None}, "release_date": {"04": None}}),
    "36_hf_nan.parquet": Answer(
        differs={"tempo": {"02": None, "08": None}, "artist": {"03": "Jürgen Weiß; Guest, The"}}
    ),
    "37_one_song.csv": Answer(n_tracks=1),
    "38_five_songs.csv": Answer(n_tracks=5),
    "40_two_notes.csv": Answer(said="not used: notes"),
    "42_bracket_dir": Answer(),
    "42_bracket_dir/Mix [Expanded Edition].csv": Answer(),
    "44_kaggle_114k_shape.csv": Answer(differs={"artist": {"03": "Jürgen Weiß;Guest"}, **NO_DATE}),
    "45_colon_dir": Answer(),
    "45_colon_dir/a:b.csv": Answer(),
    "47_one_recording.csv": Answer(n_tracks=18),
    "49_one_stray_quote.csv": Answer(n_tracks=59, reasons={"malformed_row": 1}),
}


def source_of(spark, path: Path, *overrides: str) -> Source:
    return read_source(spark, make_config(path, path.parent, *overrides).input)


def audited(source: Source) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the songs and the quarantine, by what tasks run, in this process."""
    assert source.rows.read is not None
    batches = source.rows.read(iter(source.rows.given.toArrow().to_batches()), source.names)
    rows = pa.Table.from_batches(list(batches))
    found = rules_of(source).audited(rows, source.names)
    return keep_winners(found.songs).to_pandas().set_index("track_id"), found.quarantine.to_pandas()


@pytest.fixture(scope="module")
def plain(spark) -> pd.DataFrame:
    return audited(source_of(spark, CASES / "00_plain.csv"))[0]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_case_is_read_as_it_is(spark, plain: pd.DataFrame, name: str) -> None:
    answer, source = ANSWERS[name], source_of(spark, CASES / name)
    songs, quarantine = audited(source)
    assert len(songs) == answer.n_tracks
    assert quarantine["reason"].value_counts().to_dict() == answer.reasons
    assert answer.said in "; ".join(source.said)
    same = songs.index.intersection(plain.index)
    assert len(same) >= (1 if answer.n_tracks < 12 else 10) or name.startswith("49")
    for column in ("title", "artist", "release_date", *FEATURES):
        change = answer.differs.get(column, {})
        if change is None:
            continue
        expected = [change.get(name[:2], plain.loc[name, column]) for name in same]
        pd.testing.assert_series_equal(
            songs.loc[same, column], pd.Series(expected, index=same, name=column), check_dtype=False
        )


def of_groups(path: Path, spark) -> pd.DataFrame:
    """Return the songs of a case with what their recordings and works are."""
    source = source_of(spark, path)
    batches = source.rows.read(iter(source.rows.given.toArrow().to_batches()), source.names)
    songs = keep_winners(rules_of(source).audited(pa.Table.from_batches(list(batches)), source.names).songs)
    recordings = find_recordings(named := as_named(songs))
    groups = {"recording": recordings, "work": find_works(named, recordings)}
    return songs.to_pandas().set_index("track_id").assign(**groups)


@pytest.mark.parametrize(
    ("case", "n_recordings", "n_works"),
    [("00_plain.csv", 12, 12), ("21_versions.csv", 15, 12), ("22_nfc_nfd.csv", 12, 12),
     ("23_same_title_other_recording.csv", 13, 12), ("47_one_recording.csv", 12, 12)],
)  # fmt: skip
def test_recordings_and_works_are_what_they_are(spark, case: str, n_recordings: int, n_works: int) -> None:
    songs = of_groups(CASES / case, spark)
    assert songs["recording"].nunique() == n_recordings
    assert songs["work"].nunique() == n_works


# The refusals, with what the line to add makes of them.
REFUSALS = {
    "09_percent.csv": ("no column for track_id", 12),
    "10_mmss.csv": ("no column for track_id", 12),
    "32_no_header.csv": ("the file has no header; its first row is 00AbCdEfGhIjKlMnOpQrSt, Harbour Lights", 12),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_holds_the_line_that_mends_it(spark, plain: pd.DataFrame, name: str) -> None:
    what, n_tracks = REFUSALS[name]
    with pytest.raises(InputError, match=re.escape(what)) as refused:
        source_of(spark, CASES / name)
    message = str(refused.value)
    assert len(message.splitlines()) <= 5
    _, override = shlex.split(message[message.index("--set ") :].split("; or ")[0])
    songs, quarantine = audited(source_of(spark, CASES / name, override))
    assert (len(songs), len(quarantine)) == (n_tracks, 0)
    by_title, expected = songs.set_index("title"), plain.set_index("title")
    for column in FEATURES:
        tolerance = {"tempo": 0.6, "duration_ms": 1000}.get(column, 0.006)
        known = by_title[column].dropna()
        assert (known - expected.loc[known.index, column]).abs().max() <= tolerance or known.empty


def test_shares_that_are_percent_and_minutes_are_said(spark) -> None:
    source = source_of(spark, CASES / "09_percent.csv", 'input.id_from=["track_name", "artist(s)_name"]')
    assert "percent in danceability, energy" in "; ".join(source.said)
    source = source_of(spark, CASES / "10_mmss.csv", 'input.id_from=["Artist", "Track"]')
    assert "minutes and seconds in Duration" in "; ".join(source.said)


def test_no_text_of_another_column_is_in_a_title(spark) -> None:
    songs, _ = audited(source_of(spark, CASES / "26_quotes.csv"))
    assert not songs["title"].str.contains("[,;]|\\\\", regex=True).any()
    songs, quarantine = audited(source_of(spark, CASES / "49_one_stray_quote.csv"))
    assert not songs["title"].str.contains("[,\n]", regex=True).any()
    assert quarantine["row"][0].startswith('line 11: q09AbCdEfGhIjKlMnOpQrS,"Unclosed')


MEMBERS = [f"{i:02d}AbCdEfGhIjKlMnOpQrSt" for i in range(12)]
RELATIONS = {
    ("29_playlists_name.csv", "playlist_id"): [("Loud" if i < 6 else "Quiet", MEMBERS[i]) for i in range(12)],
    ("02_exportify_dir", "playlist_id"): [
        *(("Loud", MEMBERS[i]) for i in range(7)),
        *(("Quiet", MEMBERS[i]) for i in range(5, 12)),
    ],
    ("30_favorites_urls.csv", "user_id"): [("u1", MEMBERS[0]), ("u1", MEMBERS[4]), ("u2", MEMBERS[7])],
    ("43_favorites_links.csv", "user_id"): [
        ("u1", MEMBERS[0]), ("u1", MEMBERS[4]), ("u2", MEMBERS[7]), ("u3", MEMBERS[8]),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "owner"), RELATIONS)
def test_who_has_which_song(spark, name: str, owner: str) -> None:
    assert members(spark, CASES / name, owner=owner) == RELATIONS[name, owner]


def of_tool(plain: pd.DataFrame, tool: str) -> str:
    """Return the plain songs as a tool exports them, as text."""
    told = plain.reset_index()
    names = ["C", "C#/Db", "D", "D#/Eb", "E", "F", "F#/Gb", "G", "G#/Ab", "A", "A#/Bb", "B"]
    modes = {1.0: "Major", 0.0: "Minor"}
    clock = [f"{int(ms) // 60000:02d}:{int(ms) // 1000 % 60:02d}" for ms in told["duration_ms"]]
    percent = {name: (100 * told[name]).round().astype(int) for name in SHARES}
    ids = told["track_id"]
    tables = {
        "Exportify": {
            "Track URI": "spotify:track:" + ids, "Track Name": told["title"], "Artist Name(s)": told["artist"],
            "Duration (ms)": told["duration_ms"], **{name.title(): told[name] for name in FEATURES[:-1]},
        },
        "Chosic": {
            "#": range(1, 13), "Song": told["title"], "Artist": told["artist"], "BPM": told["tempo"].round(),
            "Album Date": told["release_date"], "Time": clock, "Dance": percent["danceability"],
            "Energy": percent["energy"], "Acoustic": percent["acousticness"],
            "Instrumental": percent["instrumentalness"], "Happy": percent["valence"],
            "Speech": percent["speechiness"], "Live": percent["liveness"], "Loud (Db)": told["loudness"],
            "Key": [f"{names[int(k)]} {modes[m]}" for k, m in zip(told["key"], told["mode"], strict=True)],
            "Spotify Track Id": ids, "Camelot": "8B",
        },
        "TuneMyMusic": {
            "Track name": told["title"], "Artist name": told["artist"], "Album": "", "Playlist name": "Mix",
            "Type": "Playlist", "ISRC": "", "Spotify - id": ids,
        },
        "Soundiiz": {"Title": told["title"], "Artist": told["artist"], "Album": "", "Isrc": ids},
        "Last.fm": {
            "uts": range(12), "utc_time": "01 Jan 2024, 10:00", "artist": told["artist"], "artist_mbid": "",
            "album": "", "album_mbid": "", "track": told["title"], "track_mbid": "",
        },
    }  # fmt: skip
    return pd.DataFrame(tables[tool]).to_csv(index=False)


@pytest.mark.parametrize("tool", ["Exportify", "Chosic"])
def test_songs_of_tools_are_read_as_they_are(spark, plain: pd.DataFrame, tmp_path: Path, tool: str) -> None:
    (tmp_path / "songs.csv").write_text(of_tool(plain, tool))
    source = source_of(spark, tmp_path / "songs.csv")
    songs, quarantine = audited(source)
    assert len(quarantine) == 0
    for name in ("title", "artist", "key", "mode"):
        assert songs[name].tolist() == plain[name].tolist()
    for name in FEATURES:
        tolerance = {"tempo": 0.6, "duration_ms": 1000}.get(name, 0.0051)
        assert (songs[name] - plain[name]).abs().max() <= tolerance
    assert tool == "Exportify" or "percent in danceability, energy" in "; ".join(source.said)


def members(spark, path: Path, *, owner: str, overrides: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    settings = make_config(CASES / "00_plain.csv", CASES, *overrides).input
    relation = read_relation(spark, str(path), owner=owner, settings=settings)
    assert relation.rows.read is not None
    batches = relation.rows.read(iter(relation.rows.given.toArrow().to_batches()), relation.columns)
    found = pa.Table.from_batches(list(relation.relate(batches))).to_pydict()
    return sorted(zip(found[owner], found["track_id"], strict=True))


def test_playlists_and_favorites_of_tools(spark, plain: pd.DataFrame, tmp_path: Path) -> None:
    for tool in ("TuneMyMusic", "Soundiiz", "Last.fm"):
        (tmp_path / f"{tool}.csv").write_text(of_tool(plain, tool))
    ids = plain.index.tolist()
    found = members(spark, tmp_path / "TuneMyMusic.csv", owner="playlist_id")
    assert found == [("Mix", name) for name in ids]
    by_file = ('input.playlist_columns.playlist_id="{file}"', 'input.favorite_columns.user_id="{file}"')
    found = members(spark, tmp_path / "Soundiiz.csv", owner="playlist_id", overrides=by_file)
    assert found == [("Soundiiz", name) for name in ids]
    # Who has no ids has artists and titles, whatever these columns are called there.
    made = ('input.id_from=["artist", "name"]',)
    no_ids = pd.read_csv(CASES / "00_plain.csv").drop(columns="id")
    no_ids.to_csv(tmp_path / "no_ids.csv", index=False)
    songs, _ = audited(source_of(spark, tmp_path / "no_ids.csv", *made))
    for tool in ("Last.fm", "Soundiiz"):
        found = members(spark, tmp_path / f"{tool}.csv", owner="user_id", overrides=(*by_file, *made))
        assert sorted(name for _, name in found) == sorted(songs.index)


def test_all_cases_are_here() -> None:
    told = {name.split("/")[0] for name in (*ANSWERS, *REFUSALS, *(name for name, _ in RELATIONS))}
    # What has a test of its own: in test_bad_input and vectors/test_join.
    told |= {"33_giuco_shift.csv", "24_neighbors_repeated_id", "25_neighbors_five_by_hundred"}
    assert told == {path.name for path in CASES.iterdir()}


def read_text(
    spark, tmp_path: Path, *texts: str, ending: str = "csv"
) -> tuple[pd.DataFrame, pd.DataFrame, Source]:
    """Return songs, quarantine and source of a directory with these files."""
    directory = tmp_path / "songs"
    directory.mkdir()
    for i, text in enumerate(texts):
        (directory / f"{i}.{ending}").write_bytes(text.encode())
    source = source_of(spark, directory)
    return *audited(source), source


PLAIN = (CASES / "00_plain.csv").read_text()
HEADER, *LINES = PLAIN.splitlines()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.assign(**{name: 100 * t[name] for name in SHARES}), "danceability"),
        (lambda t: t.assign(duration_ms=t["duration_ms"] / 1000), "seconds"),
        (lambda t: t.assign(duration_s=t["duration_ms"] / 1000).drop(columns="duration_ms"), "duration_ms"),
        (lambda t: t.astype(str).replace(r"^(-?\d+)\.(\d+)$", r"\1,\2", regex=True), "decimal sign"),
    ],
)
def test_files_that_differ_in_a_unit_are_refused_by_name(spark, tmp_path: Path, change, says: str) -> None:
    songs = pd.read_csv(CASES / "00_plain.csv")
    one, other = songs[:6].to_csv(index=False), change(songs[6:]).to_csv(index=False, sep=";")
    with pytest.raises(InputError, match=says) as refused:
        read_text(spark, tmp_path, one, other)
    assert ".csv" in refused.value.where


def test_one_of_many_files_that_differs_is_found(spark, tmp_path: Path) -> None:
    songs = pd.read_csv(CASES / "00_plain.csv")
    for i in range(8):
        some = songs.assign(id=[f"{i}-{j}" for j in range(12)])
        some = some.assign(**{name: 100 * some[name] for name in SHARES}) if i == 7 else some
        some.to_parquet(tmp_path / f"{i}.parquet")
    with pytest.raises(InputError, match=r"share in one, percent in another") as refused:
        source_of(spark, tmp_path)
    assert "7.parquet" in refused.value.where


def test_lines_above_the_header_are_left_out(spark, tmp_path: Path) -> None:
    songs, quarantine, _ = read_text(spark, tmp_path, "# exported 2024, by me\n\nMy songs\n" + PLAIN)
    assert (len(songs), len(quarantine)) == (12, 0)


def test_lines_of_a_file_may_end_in_several_ways(spark, tmp_path: Path) -> None:
    text = HEADER + "\n" + "\n".join(LINES[:4]) + "\n" + "\r".join(LINES[4:9]) + "\r\n" + "\r\n".join(LINES[9:])
    songs, quarantine, _ = read_text(spark, tmp_path, text)
    assert (len(songs), len(quarantine)) == (12, 0)


def test_words_for_a_missing_id_are_none_and_a_rounded_one_is_refused(spark, tmp_path: Path) -> None:
    words = ["nan", "NaN", "NULL", "None", r"\N", "#N/A", "<NA>", "", "1.23457E+11"]
    lines = [word + "," + line.split(",", 1)[1] for word, line in zip(words, LINES, strict=False)]
    songs, quarantine, _ = read_text(spark, tmp_path, "\n".join([HEADER, *lines, *LINES[9:]]))
    assert quarantine["reason"].value_counts().to_dict() == {"missing_id": 8, "id_rounded": 1}
    assert len(songs) == 3


def test_numbers_of_ids_are_whole_whatever_wrote_them(spark, tmp_path: Path) -> None:
    lines = [f"{12345678 + i}.0,{line.split(',', 1)[1]}" for i, line in enumerate(LINES)]
    songs, _, _ = read_text(spark, tmp_path, "\n".join([HEADER, *lines]))
    assert songs.index.tolist() == [str(12345678 + i) for i in range(12)]


def test_what_json_holds_ends_no_run(spark, tmp_path: Path) -> None:
    rows = pd.read_csv(CASES / "00_plain.csv").to_dict("records")
    odd = [json.dumps({**rows[0], "name": "\ud800Copper"}), json.dumps({**rows[1], "key": {"$numberInt": "5"}})]
    text = "\n".join([*odd, *(json.dumps(row) for row in rows[2:]), "[" * 5000 + "]" * 5000])
    songs, quarantine, _ = read_text(spark, tmp_path, text, ending="jsonl")
    assert (len(songs), quarantine["reason"].tolist()) == (12, ["malformed_row"])
    assert songs["title"].tolist()[0] == "\ufffdCopper"
    assert songs["key"].tolist()[1] == 5
    (tmp_path / "deep.json").write_text('{"a":' * 5000 + "1" + "}" * 5000)
    with pytest.raises(InputError, match="nested too deeply"):
        source_of(spark, tmp_path / "deep.json")


def test_a_list_of_playlists_says_whose_songs_they_are(spark, tmp_path: Path) -> None:
    lists = [("Loud", 1, "a"), ("Quiet", 2, "b")]
    slices = [
        {"name": n, "pid": p, "tracks": [{"pos": 0, "track_uri": f"spotify:track:{i}"}]} for n, p, i in lists
    ]
    (tmp_path / "slice.json").write_text(json.dumps({"info": {}, "playlists": slices}))
    assert members(spark, tmp_path / "slice.json", owner="playlist_id") == [("1", "a"), ("2", "b")]


def test_rows_of_playlists_that_cannot_be_read_are_told(spark, tmp_path: Path) -> None:
    (tmp_path / "playlists.csv").write_text("playlist_id,track_id\nRock, Pop,a\nP,b\nnan,c\nP,NULL\n1.0,d\n")
    settings = make_config(CASES / "00_plain.csv", CASES).input
    relation = read_relation(spark, str(tmp_path / "playlists.csv"), owner="playlist_id", settings=settings)
    assert (
        "1 of the first rows could not be read and are left out, such as playlists.csv, line 2" in relation.said[0]
    )
    assert members(spark, tmp_path / "playlists.csv", owner="playlist_id") == [("1", "d"), ("P", "b")]
