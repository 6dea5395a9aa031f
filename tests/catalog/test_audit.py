import json
from typing import Any

import pandas as pd
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from musicrec import schemas
from musicrec.catalog.audit import audit_rows, keep_tracks, normalized_title
from musicrec.catalog.columns import resolve_columns
from musicrec.config import InputConfig
from musicrec.songs import FEATURES, TRACK_COLUMNS
from tests.conftest import SONG


def audit(spark, rows: list[dict[str, Any]], *, typed: bool = False, **settings: Any) -> pd.DataFrame:
    """Clean rows given as dictionaries, as text or with their own types."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "_malformed"))
    data = [[row.get(name) for name in names] + [row.get("_malformed"), "file:/songs"] for row in rows]
    if typed:
        kinds = {float: "double", str: "string", bool: "boolean", list: "array<string>"}
        typed_names = [f"{name} {kinds[type(rows[0][name])]}" for name in names]
        schema = ", ".join([*typed_names, "_malformed string", "_source_file string"])
        source = spark.createDataFrame(data, schema)
    else:
        texts = [[None if v is None else str(v) for v in row] for row in data]
        fields = [StructField(name, StringType()) for name in [*names, "_malformed", "_source_file"]]
        source = spark.createDataFrame(texts, StructType(fields))
    columns = resolve_columns(names, wanted=TRACK_COLUMNS, configured={}, where="rows")
    audited = audit_rows(source, columns=columns, settings=InputConfig(**settings))
    assert keep_tracks(audited).schema.names == schemas.TRACKS.names
    return audited.toPandas()


def song(track_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {"track_id": track_id, "title": "T", "artist": "A", **SONG, **changes}


BAD = [
    ("danceability", "NaN", "danceability_nan"),
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


def test_each_broken_rule_has_its_reason(spark) -> None:
    rows = [song(f"s{i}", **{name: value}) for i, (name, value, _) in enumerate(BAD)]
    found = audit(spark, rows).set_index("track_id")
    assert dict(found["reason"]) == {f"s{i}": reason for i, (_, _, reason) in enumerate(BAD)}
    assert set(found["verdict"]) == {"quarantine"}
    assert set(found["source_file"]) == {"file:/songs"}
    assert json.loads(found.loc["s0", "row"])["danceability"] == "NaN"


def test_the_same_rules_hold_for_numbers(spark) -> None:
    rows = [song(f"s{i}", **{n: float(v)}) for i, (n, v, r) in enumerate(BAD) if not r.endswith("not_a_number")]
    rows = [{**row, **{name: float(row[name]) for name in FEATURES}} for row in rows]
    found = audit(spark, rows, typed=True).set_index("track_id")
    expected = {f"s{i}": r for i, (_, _, r) in enumerate(BAD) if not r.endswith("not_a_number")}
    assert dict(found["reason"]) == expected


def test_invalid_values_can_count_as_missing(spark) -> None:
    found = audit(spark, [song(valence="2"), song("b", tempo="fast")], invalid_values="missing").set_index(
        "track_id"
    )
    assert set(found["verdict"]) == {"track"}
    assert pd.isna(found.loc["a", "valence"])
    assert pd.isna(found.loc["b", "tempo"])
    assert found.loc["a", "tempo"] == 120.0


def test_an_empty_number_is_missing_not_zero(spark) -> None:
    texts = ("", "NA", "null", None, " ")
    found = audit(spark, [song(f"s{i}", liveness=text) for i, text in enumerate(texts)])
    assert found["verdict"].tolist() == ["track"] * len(texts)
    assert found["liveness"].isna().all()


def test_values_that_stand_for_unknown_become_missing(spark) -> None:
    never = song("n", danceability=0, valence=0, speechiness=0, tempo=0)
    found = audit(spark, [song("k", key=-1), song("t", tempo=0), never, song("z", danceability=0)]).set_index(
        "track_id"
    )
    assert pd.isna(found.loc["k", "key"])
    assert pd.isna(found.loc["t", "tempo"])
    assert found.loc["n", ["danceability", "valence", "speechiness", "tempo"]].isna().all()
    assert found.loc["n", "energy"] == 0.7
    assert found.loc["z", "danceability"] == 0.0
    assert set(found["verdict"]) == {"track"}


def test_too_few_features(spark) -> None:
    poor = song("p", **dict.fromkeys(FEATURES[:7], ""))
    enough = song("e", **dict.fromkeys(FEATURES[:6], ""))
    found = audit(spark, [poor, enough]).set_index("track_id")
    assert found.loc["p", "reason"] == "too_few_features"
    assert found.loc["e", "verdict"] == "track"


def test_every_row_has_one_verdict_and_collisions_are_none(spark) -> None:
    rows = [song("a"), song("a"), song("b"), song(""), {**song("c"), "_malformed": "c,1"}, song("d", energy="x")]
    found = audit(spark, rows)
    assert sorted(found["verdict"]) == ["duplicate", "quarantine", "quarantine", "quarantine", "track", "track"]
    assert not found["collides"].fillna(value=False).any()
    assert set(found["reason"].dropna()) == {"missing_id", "malformed_row", "energy_not_a_number"}


def test_the_winner_of_an_id_does_not_depend_on_the_order(spark) -> None:
    rows = [
        song(popularity=10, title="old"),
        song(popularity=80, title="best", energy=0.5),
        song(popularity=80, title="best", energy=0.6),
        song(popularity=99, title="unknown", liveness=""),
    ]
    orders = {"a": rows, "b": rows[::-1], "c": rows[2:] + rows[:2]}
    found = audit(spark, [{**row, "track_id": name} for name, order in orders.items() for row in order])
    winners = found[found["verdict"] == "track"].set_index("track_id")[["title", "energy"]]
    assert {name: tuple(row) for name, row in winners.iterrows()} == dict.fromkeys(orders, ("best", 0.5))
    assert len(winners) == len(orders)


def test_clean_twice_is_clean_once(spark) -> None:
    once = audit(
        spark, [song("a", title=" x\u0000y "), song("b", key=-1), song("b"), song("c", release_date="1985-06")]
    )
    tracks = once[once["verdict"] == "track"][list(TRACK_COLUMNS)].sort_values("track_id")
    again = audit(
        spark, [{k: None if pd.isna(v) else v for k, v in row.items()} for row in tracks.to_dict("records")]
    )
    assert set(again["verdict"]) == {"track"}
    pd.testing.assert_frame_equal(
        again[list(TRACK_COLUMNS)].sort_values("track_id").reset_index(drop=True),
        tracks.reset_index(drop=True),
        check_dtype=False,
    )


def test_text(spark) -> None:
    rows = [
        song("a", title="NA", artist="NA", album="NA"),
        song("b", title="x" * 10_000_000),
        song("c", title='  "quoted", שלום ☀️\u0000 \n'),
        song("d", title="  "),
    ]
    found = audit(spark, rows).set_index("track_id")
    assert found.loc["a", ["title", "artist", "album"]].isna().all()
    assert found.loc["b", "title"] == "x" * 500
    assert found.loc["c", "title"] == '"quoted", שלום ☀️'
    assert pd.isna(found.loc["d", "title"])


def test_dates_of_three_precisions_give_a_year(spark) -> None:
    years = {
        "1985": 1985,
        "1985-06": 1985,
        "1985-06-01": 1985,
        "1985.0": 1985,
        "2001-02-03T00:00:00": 2001,
        "soon": None,
        "0000": None,
    }
    found = audit(spark, [song(text, release_date=text) for text in years])
    given = found.set_index("track_id")["release_year"]
    assert {text: None if pd.isna(year) else year for text, year in given.items()} == years


def test_ids(spark) -> None:
    rows = [song("spotify:track:abc"), song("https://open.spotify.com/track/def"), song(" g ")]
    assert set(audit(spark, rows)["track_id"]) == {"abc", "def", "g"}


def test_ids_made_from_columns(spark) -> None:
    rows = [
        {k: v for k, v in song(title=t, artist=a).items() if k != "track_id"}
        for t, a in (("ab", "c"), ("a", "bc"), ("ab", "c"), ("", ""))
    ]
    found = audit(spark, rows, id_from=("artist", "title"))
    assert sorted(found["verdict"]) == ["duplicate", "quarantine", "track", "track"]
    assert found["track_id"].dropna().str.fullmatch("[0-9a-f]{32}").all()


def test_releases_share_a_normalized_title_and_other_recordings_do_not(spark) -> None:
    releases = [
        ("Help! - Remastered 2009", "Help!"),
        ("Help! (2009 Remaster)", "help"),
        ("Song - Single Version", "Song"),
        ("Song [Deluxe Edition]", "SONG"),
        ("Song (Radio Edit)", "Song"),
        ("Song - Digitally Remastered Version", "Song"),
    ]
    others = [("Song", "Song - Remix"), ("Song", "Song (Live)"), ("!!!", "???"), ("Song", "Song - Acoustic")]
    pairs = spark.createDataFrame([*releases, *others], "one string, other string")
    same = normalized_title(F.col("one")) == normalized_title(F.col("other"))
    found = {(row["one"], row["other"]): row["same"] for row in pairs.withColumn("same", same).collect()}
    assert found == {**dict.fromkeys(releases, True), **dict.fromkeys(others, False)}


def test_recording_key(spark) -> None:
    rows = [
        song("a", title="X"),
        song("b", title="X - Remastered"),
        song("c", title="X", artist="B"),
        song("d", title="NA"),
    ]
    found = audit(spark, rows).set_index("track_id")
    keys = found["recording_key"]
    assert keys["a"] == keys["b"]
    assert keys.nunique() == 3
    assert keys["d"] == found.loc["d", "track_key"]


def test_typed_columns(spark) -> None:
    row = {**song(), "artists": ["A", "B"], "explicit": True, **{name: float(SONG[name]) for name in FEATURES}}
    del row["artist"]
    found = audit(spark, [row], typed=True)
    assert found.loc[0, "artist"] == "A, B"
    assert found.loc[0, "explicit"]
