import json
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec import messages
from musicrec.arrays import as_shares
from musicrec.catalog import clean_tasks, texts
from musicrec.catalog.clean_tasks import Rules
from musicrec.catalog.columns import MALFORMED, SOURCE_FILE, YEAR, find_columns
from musicrec.catalog.hashes import hash_numbers, hash_texts
from musicrec.catalog.names import split_artists, split_titles
from musicrec.catalog.twins import keep_winners
from musicrec.catalog.values import feature_numbers
from musicrec.config import InputConfig
from musicrec.songs import FEATURES, TRACK_COLUMNS
from tests.conftest import SONG


def rules_of(names: list[str], *, newest_year: int = 9999, **settings: Any) -> Rules:
    columns = find_columns(names, wanted=(*TRACK_COLUMNS, YEAR), configured={}, where="rows")
    return Rules(columns, InputConfig(**{"decimal": ".", **settings}), newest_year)


def audit(rows: list[dict[str, Any]], *, typed: bool = False, **settings: Any) -> pd.DataFrame:
    """Clean rows given as dictionaries, as text or with their own types; return each with what became of it."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != MALFORMED))
    said = {name: [row.get(name) for row in rows] for name in (*names, MALFORMED)}
    if not typed:
        said = {name: [None if v is None else str(v) for v in column] for name, column in said.items()}
    arrays = {name: pa.array(column) for name, column in said.items()}
    arrays[MALFORMED] = arrays[MALFORMED].cast(pa.string())
    source = pa.table({**arrays, SOURCE_FILE: ["file:/songs"] * len(rows)})
    audited = rules_of(names, **settings).audited(source, source.column_names)
    assert audited.songs.schema.names == messages.AUDITED_SONGS.names
    assert len(audited.songs) + len(audited.quarantine) == len(rows)
    winners = keep_winners(audited.songs)
    kinds = {
        "track": winners.to_pandas().assign(reason=None),
        "quarantine": audited.quarantine.to_pandas(),
        "duplicate": pd.DataFrame(index=range(len(audited.songs) - len(winners))),
    }
    found = [rows_of.assign(verdict=verdict) for verdict, rows_of in kinds.items() if len(rows_of)]
    return pd.concat(found, ignore_index=True)


def song(track_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {"track_id": track_id, "title": "T", "artist": "A", **SONG, **changes}


BAD = [
    ("danceability", "high", "danceability_not_a_number"),
    ("energy", "Infinity", "energy_infinite"),
    ("energy", "-inf", "energy_infinite"),
    ("energy", "1e999", "energy_infinite"),
    ("valence", "1.01", "valence_out_of_range"),
    ("valence", "-0.01", "valence_out_of_range"),
    ("loudness", "1e30", "loudness_out_of_range"),
    ("key", "12", "key_out_of_range"),
    ("key", "-2", "key_out_of_range"),
    ("key", "3.5", "key_out_of_range"),
    ("mode", "2", "mode_out_of_range"),
    ("tempo", "-1", "tempo_out_of_range"),
    ("duration_ms", "0", "duration_ms_out_of_range"),
    ("duration_ms", "-5", "duration_ms_out_of_range"),
    ("liveness", "loud", "liveness_not_a_number"),
]


def test_each_broken_rule_has_its_reason() -> None:
    rows = [song(f"s{i}", **{name: value}) for i, (name, value, _) in enumerate(BAD)]
    found = audit(rows).set_index("track_id")
    assert dict(found["reason"]) == {f"s{i}": reason for i, (_, _, reason) in enumerate(BAD)}
    assert set(found["verdict"]) == {"quarantine"}
    assert set(found["source_file"]) == {"file:/songs"}
    assert json.loads(found.loc["s0", "row"])["danceability"] == "high"


POISON = {
    **dict.fromkeys((*FEATURES, "popularity"), ("1e30", "-1e30", "inf")),
    "release_date": ("2099-01-01", "2099"),
}


@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_value_is_refused_and_changes_no_other_song(name: str) -> None:
    rows = [song(f"s{i}", popularity=str(i), release_date=f"20{10 + i}-01-01") for i in range(6)]
    clean = audit(rows, newest_year=2027).set_index("track_id")
    for value in POISON[name]:
        found = audit([{**rows[0], name: value}, *rows[1:]], newest_year=2027).set_index("track_id")
        assert found.loc["s0", "verdict"] == "quarantine"
        same = [name for name in TRACK_COLUMNS if name != "track_id"]
        pd.testing.assert_frame_equal(found.drop("s0")[same], clean.drop("s0")[same], check_dtype=False)


def test_optional_values_have_bounds_and_those_of_plays_another() -> None:
    rows = [
        song("a", popularity=100),
        song("b", popularity="100.1"),
        song("c", popularity=-1),
        song("d", popularity="?"),
    ]
    reasons = audit(rows).set_index("track_id")["reason"].dropna()
    assert dict(reasons) == {"b": "popularity_out_of_range", "c": "popularity_out_of_range"}
    assert set(audit(rows[:2], max_popularity=1e12)["verdict"]) == {"track"}
    lenient = audit([song("l", popularity=1e6, release_date="2099")], invalid_values="missing", newest_year=2027)
    assert lenient.loc[0, ["popularity", "release_date"]].isna().all()
    assert audit([song("n", release_date="2027-12-31")], newest_year=2027)["verdict"].tolist() == ["track"]


def test_the_same_rules_hold_for_numbers() -> None:
    rows = [song(f"s{i}", **{n: float(v)}) for i, (n, v, r) in enumerate(BAD) if not r.endswith("not_a_number")]
    rows = [{**row, **{name: float(row[name]) for name in FEATURES}} for row in rows]
    found = audit(rows, typed=True).set_index("track_id")
    expected = {f"s{i}": r for i, (_, _, r) in enumerate(BAD) if not r.endswith("not_a_number")}
    assert dict(found["reason"]) == expected


def test_invalid_values_can_count_as_missing() -> None:
    found = audit([song(valence="2"), song("b", tempo="fast")], invalid_values="missing").set_index("track_id")
    assert set(found["verdict"]) == {"track"}
    assert pd.isna(found.loc["a", "valence"])
    assert pd.isna(found.loc["b", "tempo"])
    assert found.loc["a", "tempo"] == 120.0


def test_an_empty_number_is_missing_not_zero() -> None:
    texts = ("", "NA", "null", None, " ", "nan", "NaN", "-", "?", "n/a", "#N/A", "<NA>", "NULL", "None")
    found = audit([song(f"s{i}", liveness=text) for i, text in enumerate(texts)])
    assert found["verdict"].tolist() == ["track"] * len(texts)
    assert found["liveness"].isna().all()


def test_values_that_stand_for_unknown_become_missing() -> None:
    never = song("n", danceability=0, valence=0, speechiness=0, tempo=0)
    found = audit([song("k", key=-1), song("t", tempo=0), never, song("z", danceability=0)]).set_index("track_id")
    assert pd.isna(found.loc["k", "key"])
    assert pd.isna(found.loc["t", "tempo"])
    assert found.loc["n", ["danceability", "valence", "speechiness", "tempo"]].isna().all()
    assert found.loc["n", "energy"] == 0.7
    assert found.loc["z", "danceability"] == 0.0
    assert set(found["verdict"]) == {"track"}


def test_too_few_features() -> None:
    poor = song("p", **dict.fromkeys(FEATURES[:7], ""))
    enough = song("e", **dict.fromkeys(FEATURES[:6], ""))
    found = audit([poor, enough]).set_index("track_id")
    assert found.loc["p", "reason"] == "too_few_features"
    assert found.loc["e", "verdict"] == "track"


def test_every_row_has_one_verdict_and_collisions_are_none() -> None:
    rows = [song("a"), song("a"), song("b"), song(""), {**song("c"), MALFORMED: "c,1"}, song("d", energy="x")]
    found = audit(rows)
    assert sorted(found["verdict"]) == ["duplicate", "quarantine", "quarantine", "quarantine", "track", "track"]
    assert set(found["reason"].dropna()) == {"missing_id", "malformed_row", "energy_not_a_number"}


def test_the_winner_of_an_id_does_not_depend_on_the_order() -> None:
    rows = [
        song(popularity=10, title="old"),
        song(popularity=80, title="best", energy=0.5),
        song(popularity=80, title="best", energy=0.6),
        song(popularity=99, title="unknown", liveness=""),
    ]
    orders = {"a": rows, "b": rows[::-1], "c": rows[2:] + rows[:2]}
    found = audit([{**row, "track_id": name} for name, order in orders.items() for row in order])
    winners = found[found["verdict"] == "track"].set_index("track_id")[["title", "energy"]]
    assert {name: tuple(row) for name, row in winners.iterrows()} == dict.fromkeys(orders, ("best", 0.5))
    assert len(winners) == len(orders)


def test_clean_twice_is_clean_once() -> None:
    once = audit([song("a", title=" x\u0000y "), song("b", key=-1), song("b"), song("c", release_date="1985-06")])
    tracks = once[once["verdict"] == "track"][list(TRACK_COLUMNS)].sort_values("track_id")
    again = audit([{k: None if pd.isna(v) else v for k, v in row.items()} for row in tracks.to_dict("records")])
    assert set(again["verdict"]) == {"track"}
    pd.testing.assert_frame_equal(
        again[list(TRACK_COLUMNS)].sort_values("track_id").reset_index(drop=True),
        tracks.reset_index(drop=True),
        check_dtype=False,
    )


def test_text() -> None:
    rows = [
        song("a", title="NA", artist="NA", album="NA"),
        song("b", title="x" * 10_000_000),
        song("c", title='  "quoted", שלום ☀️\u0000 \n'),
        song("d", title="  "),
    ]
    found = audit(rows).set_index("track_id")
    assert found.loc["a", ["title", "artist", "album"]].isna().all()
    assert found.loc["b", "title"] == "x" * 500
    assert found.loc["c", "title"] == '"quoted", שלום ☀️'
    assert pd.isna(found.loc["d", "title"])


def test_dates_of_three_precisions_give_a_year() -> None:
    years = {
        "1985": 1985,
        "1985-06": 1985,
        "1985-06-01": 1985,
        "1985.0": 1985,
        "2001-02-03T00:00:00": 2001,
        "soon": None,
        "0000": None,
    }
    found = audit([song(f"of {text}", release_date=text) for text in years])
    given = found.set_index("track_id")["release_year"]
    assert {text[3:]: None if pd.isna(year) else year for text, year in given.items()} == years


def test_ids() -> None:
    rows = [song("spotify:track:abc"), song("https://open.spotify.com/track/def"), song(" g ")]
    assert set(audit(rows)["track_id"]) == {"abc", "def", "g"}


def test_ids_made_from_columns() -> None:
    rows = [
        {k: v for k, v in song(title=t, artist=a).items() if k != "track_id"}
        for t, a in (("ab", "c"), ("a", "bc"), ("ab", "c"), ("", ""))
    ]
    found = audit(rows, id_from=("artist", "title"))
    assert sorted(found["verdict"]) == ["duplicate", "quarantine", "track", "track"]
    assert found["track_id"].dropna().str.fullmatch("[0-9a-f]{32}").all()


def test_releases_share_a_normalized_title_and_other_recordings_do_not() -> None:
    releases = [
        ("Help! - Remastered 2009", "Help!"),
        ("Help! (2009 Remaster)", "help"),
        ("Song - Single Version", "Song"),
        ("Song [Deluxe Edition]", "SONG"),
        ("Song (Radio Edit)", "Song"),
        ("Song - Digitally Remastered Version", "Song"),
    ]
    others = [("Song", "Song - Remix"), ("Song", "Song (Live)"), ("!!!", "???"), ("Song", "Song - Acoustic")]
    pairs = [*releases, *others]
    artists = split_artists(pa.array(["A"] * len(pairs)))
    one, other = (split_titles(pa.array(titles), artists).recordings for titles in zip(*pairs, strict=True))
    found = {pair: a == b for pair, a, b in zip(pairs, one, other, strict=True)}
    assert found == {**dict.fromkeys(releases, True), **dict.fromkeys(others, False)}


def test_recording_key() -> None:
    rows = [
        song("a", title="X"),
        song("b", title="X - Remastered"),
        song("c", title="X", artist="B"),
        song("d", title="NA"),
    ]
    found = audit(rows).set_index("track_id")
    keys = found["recording_key"]
    assert keys["a"] == keys["b"]
    assert keys.nunique() == 3
    assert keys["d"] == found.loc["d", "track_key"]


def test_typed_columns() -> None:
    row = {**song(), "artists": ["A", "B"], "explicit": True, **{name: float(SONG[name]) for name in FEATURES}}
    del row["artist"]
    found = audit([row], typed=True)
    assert found.loc[0, "artist"] == "A; B"
    assert found.loc[0, "explicit"]


NUMBERS = {
    "1e999": float("inf"), "-1e999": float("-inf"), "1e-400": 0.0, "1.": 1.0, "  .5 ": 0.5, "+0.5": 0.5,
    "1.5f": 1.5, "2D": 2.0, "-Infinity": float("-inf"), "+inf": float("inf"), "\n0.5": 0.5, "0.1": 0.1,
    "5e-324": 5e-324, "1.7976931348623159e308": float("inf"), "-0": -0.0,
}  # fmt: skip
NO_NUMBERS = (
    "1_0",
    "1,5",
    "½",
    "٣",
    "--1",
    "-",
    "+",
    ".",
    "e5",
    "1e",
    "true",
    "0x10",
    "0.5 BPM",
    "in f",
    "1f5",
    "f",
)


def test_numbers_are_what_they_say() -> None:
    found = feature_numbers(pa.array([*NUMBERS, *NO_NUMBERS]))
    is_missing = np.isin([*NUMBERS, *NO_NUMBERS], ["-"])
    assert found.given.tolist() == (~is_missing).tolist()
    n = len(NUMBERS)
    np.testing.assert_array_equal(found.values[:n], list(NUMBERS.values()))
    assert found.is_number.tolist() == [True] * n + [False] * len(NO_NUMBERS)
    alone = [feature_numbers(pa.array([text])) for text in NUMBERS]
    np.testing.assert_array_equal([one.values[0] for one in alone], list(NUMBERS.values()))


def test_whole_numbers_and_truths_of_files_are_numbers() -> None:
    columns = {
        pa.int64(): [1, None, -(2**60)], pa.decimal128(5, 2): [Decimal("1.50"), None, Decimal(7)],
        pa.bool_(): [True, None, False], pa.float32(): [0.5, None, -1.0],
    }  # fmt: skip
    for kind, column in columns.items():
        found = feature_numbers(pa.array(column, type=kind))
        assert found.given.tolist() == found.is_number.tolist() == [True, False, True]
        assert found.values[[0, 2]].tolist() == [float(column[0]), float(column[2])]
    dates = feature_numbers(pa.array([date(2020, 1, 1), None]))
    assert dates.given.tolist() == [True, False]
    assert not dates.is_number.any()


ROWS = st.tuples(st.integers(0, 3), st.sampled_from(["", "1", "5"]), st.sampled_from("ab"), st.floats(0, 1))


@given(st.lists(ROWS, min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_winners_are_the_same_in_any_order_and_in_pieces(rows, random) -> None:
    songs = [song(f"id{i}", popularity=p, title=t, energy=e) for i, p, t, e in rows]
    names = list(songs[0])
    table = pa.table({name: [str(row[name]) for row in songs] for name in names})
    nothing = pa.array([None] * len(songs), pa.string())
    table = table.append_column(MALFORMED, nothing).append_column(SOURCE_FILE, nothing)
    audited = rules_of(names).audited(table, table.column_names).songs
    winners = keep_winners(audited)
    assert winners["track_id"].to_pylist() == sorted({f"id{i}" for i, *_ in rows})
    for name in winners["track_id"].to_pylist():
        best = max(float(p or -1) for i, p, _, _ in rows if f"id{i}" == name)
        found = winners.filter(pc.equal(winners["track_id"], name))["popularity"][0].as_py()
        assert found == (None if best < 0 else best)
    order = list(range(len(songs)))
    random.shuffle(order)
    shuffled = audited.take(order)
    cut = random.randint(0, len(order))
    pieces = [keep_winners(shuffled.slice(0, cut)), keep_winners(shuffled.slice(cut))]
    assert keep_winners(shuffled).equals(winners)
    assert keep_winners(pa.concat_tables(pieces)).equals(winners)


def test_hashes_are_those_of_spark(spark) -> None:
    rng = np.random.default_rng(2)
    alphabet = list("aZ09é日😀 _")
    texts = ["", *("".join(rng.choice(alphabet, n)) for n in range(1, 120))]
    frame = spark.createDataFrame(pd.DataFrame({"one": texts, "other": texts[::-1]}))
    rows = frame.selectExpr("xxhash64(one) AS one", "xxhash64(one, other) AS both").toPandas()
    one, other = pa.array(texts), pa.array(texts[::-1])
    assert hash_texts(one).tolist() == rows["one"].tolist()
    assert hash_texts(one, other).tolist() == rows["both"].tolist()
    numbers = np.array([0, 1, -1, 2**63 - 1, -(2**63), *rng.integers(-(2**63), 2**63 - 1, 50)])
    table = spark.createDataFrame(pd.DataFrame({"number": numbers}))
    for seed in (0, 17, 2**31 - 1):
        found = table.selectExpr(f"xxhash64(number, {seed}) AS hash").toPandas()["hash"]
        assert hash_numbers(numbers, seed).tolist() == found.tolist()


def test_text_that_is_no_utf8_is_told_and_ends_nothing() -> None:
    """Latin-1 in a title, in a number, in a popularity, in a column that nobody asked for, and in a broken row."""
    rows = [song(f"s{i}", note="x") for i in range(5)]
    columns = {name: [str(row[name]).encode() for row in rows] for name in rows[0]}
    columns["popularity"] = [b"1"] * 5
    bad = b"caf\xe9"
    columns["title"][0], columns["energy"][1], columns["popularity"][2], columns["note"][1] = bad, bad, bad, bad
    columns[MALFORMED] = [None, None, None, None, bad]
    arrays = {name: pa.array(values, pa.binary()) for name, values in columns.items()}
    broken = {
        name: pa.StringArray.from_buffers(5, *array.buffers()[1:], array.buffers()[0], array.null_count)
        for name, array in arrays.items()
    }
    table = pa.table({**broken, SOURCE_FILE: ["f"] * 5})
    found = rules_of([*rows[0], "popularity"]).audited(table, table.column_names)
    assert found.songs["title"].to_pylist()[0] == "café"
    assert found.songs["popularity"].to_pylist() == [1.0, None, 1.0]
    refused = {row["track_id"]: row for row in found.quarantine.to_pylist()}
    assert {name: row["reason"] for name, row in refused.items()} == {
        "s1": "energy_not_a_number", "s4": "malformed_row",
    }  # fmt: skip
    assert json.loads(refused["s1"]["row"])["note"] == "café"
    assert refused["s4"]["row"] == "café"


def test_columns_of_any_type_can_be_told() -> None:
    days = pa.array([10**7, None], pa.int32()).cast(pa.date32())
    columns = {
        "days": days, "moments": pa.array([2**62, 0], pa.int64()).cast(pa.timestamp("us")),
        "lists": pa.array([["a", None, "b"], None]),
        "maps": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())),
        "bytes": pa.array([b"\xff", b"x"]), "structs": pa.array([{"a": 1}, None]),
    }  # fmt: skip
    for name, column in columns.items():
        assert len(texts.plain_values(column)) == 2, name
        assert len(texts.as_texts(column)) == 2, name
    assert texts.as_texts(columns["lists"]).to_pylist() == ["a; b", None]


def test_an_id_that_pandas_made_a_float_is_its_number() -> None:
    ids = pa.array([5.0, 12345678901.0, 0.5, None, 1e300])
    assert texts.as_texts(ids).to_pylist() == ["5", "12345678901", "0.5", None, "1e+300"]


def test_borders_come_from_songs_not_from_pieces() -> None:
    """A large piece with the ids 0 to 99,999 and a small one with the rest: the borders still cut evenly."""
    n_large, n_small = 100_000, 2_000
    keys = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, n_large + n_small)
    shares, rows = as_shares(keys, seed=0), []
    for some in (np.arange(n_large), np.arange(n_large, n_large + n_small)):
        drawn = some[np.argsort(shares[some], kind="stable")[: clean_tasks.MAX_DRAWN]]
        ids = [f"{song:06d}" for song in drawn.tolist()]
        rows.append({"n_songs": len(some), "drawn_ids": ids, "drawn_keys": keys[drawn].tolist()})
    ids, of_ids = clean_tasks.gather_drawn(pa.Table.from_pylist(rows))
    assert len(ids) == len(of_ids) >= clean_tasks.MAX_DRAWN
    share = sum(int(song) >= n_large for song in ids) / len(ids)
    assert share == pytest.approx(n_small / (n_large + n_small), abs=0.02)
