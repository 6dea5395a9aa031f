"""The whole run on a generated catalog, against the truth that the generator wrote."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest

from musicrec.config import GatesConfig
from musicrec.errors import LockError, MusicrecError, QualityError
from musicrec.refresh import plan
from musicrec.storage import runs
from musicrec.storage.lease import locked
from musicrec.storage.pointer import current_snapshot
from tests.conftest import SONG, make_config, make_songs, refresh

DAY = date(2026, 3, 4)
VERSIONS = Path(__file__).parent / "catalog/cases/21_versions.csv"


def read(snapshot: Path, name: str) -> pd.DataFrame:
    return ds.dataset(sorted((snapshot / name).glob("*.parquet"))).to_table().to_pandas()


def manifest_of(snapshot: Path) -> dict[str, Any]:
    return json.loads((snapshot / "manifest.json").read_text())


def config_for(catalog: Path, root: Path, *overrides: str):
    # Of so few songs 5 % of the artists share hardly any playlist.
    extra = [
        f"input.playlists={catalog / 'playlists'}", f"input.favorites={catalog / 'favorites'}",
        "model.expert.gate_share=0.12",
    ]  # fmt: skip
    return make_config(catalog / "tracks", root, *extra, *overrides)


# In cells; by exact search, as so few songs would be joined otherwise, are the lists of the other tests.
CELLS = (
    "neighbors.expert.exact_below=0",
    "neighbors.expert.cell_size=250",
    "neighbors.expert.n_truth_queries=600",
)
# Fewer songs than this are not learned from: for claims that have nothing to do with the encoder.
UNTRAINED = "model.expert.min_songs=1000"


@pytest.fixture(scope="module")
def published(spark, catalog, tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("root")
    return refresh(spark, config_for(catalog[0], root, *CELLS), run_date=DAY, with_report=True), root


def test_counts_equal_the_planted_truth(published, catalog) -> None:
    counts, truth = manifest_of(published[0])["counts"], catalog[1]
    for name in ("n_rows", "n_tracks", "n_duplicates", "n_quarantined", "quarantine_reasons"):
        assert counts[name] == truth[name], name


def test_sums_agree_with_the_files(published, catalog) -> None:
    snapshot, root = published
    work = root / "work" / snapshot.name
    n_tracks, n_quarantined = (
        ds.dataset(sorted((work / n).glob("*.parquet"))).count_rows() for n in ("tracks", "quarantine")
    )
    assert n_tracks + n_quarantined + catalog[1]["n_duplicates"] == catalog[1]["n_rows"]
    quarantine = ds.dataset(sorted((work / "quarantine").glob("*.parquet"))).to_table().to_pandas()
    assert quarantine["source_file"].str.endswith("part-00000.csv").all()


def test_lists_keep_their_promises(published) -> None:
    rows = read(published[0], "recommendations")
    assert rows.columns.tolist() == ["track_id", "rank", "recommended_track_id", "score"]
    assert rows["rank"].dtype == np.int32
    assert rows["score"].dtype == np.float32
    pd.testing.assert_frame_equal(rows, rows.sort_values(["track_id", "rank"]).reset_index(drop=True))
    grouped = rows.groupby("track_id")
    assert (grouped["rank"].apply(list) == grouped["rank"].size().map(lambda n: list(range(1, n + 1)))).all()
    assert grouped["score"].apply(lambda s: s.is_monotonic_decreasing).all()
    assert (rows["track_id"] != rows["recommended_track_id"]).all()
    assert not rows.duplicated(["track_id", "recommended_track_id"]).any()
    assert rows["score"].between(-1, 1).all()


def test_every_song_has_a_status(published, catalog) -> None:
    snapshot, status = published[0], read(published[0], "status")
    assert status["track_id"].is_unique
    by_status = status["status"].value_counts()
    assert by_status["recommended"] == catalog[1]["n_tracks"]
    # Rows without an id have no status; all other refused rows do.
    assert by_status["quarantined"] == catalog[1]["n_quarantined"] - catalog[1]["quarantine_reasons"]["missing_id"]
    listed = read(snapshot, "recommendations").groupby("track_id").size()
    assert (status.set_index("track_id").loc[listed.index, "n_recommendations"] == listed).all()


def test_scores_are_cosines_of_the_published_vectors(published) -> None:
    snapshot, root = published
    files = sorted((root / "work" / snapshot.name / "embeddings").glob("*.parquet"))
    embeddings = ds.dataset(files).to_table().to_pandas().set_index("track_id")["embedding"]
    vectors = np.stack(embeddings).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-3)
    unit = dict(zip(embeddings.index, vectors / lengths, strict=True))
    rows = read(snapshot, "recommendations").sample(500, random_state=0)
    expected = [unit[a] @ unit[b] for a, b in zip(rows["track_id"], rows["recommended_track_id"], strict=True)]
    np.testing.assert_allclose(rows["score"], expected, atol=1.5e-6)


def test_no_list_holds_a_release_of_its_song(published, catalog) -> None:
    truth = ds.dataset(catalog[0] / "truth" / "rows").to_table().to_pandas()
    copies = truth[(truth["planted"] == "remaster") & truth["copy_of"].notna() & (truth["copy_of"] != "")]
    rows = read(published[0], "recommendations")
    pairs = set(zip(rows["track_id"], rows["recommended_track_id"], strict=True))
    planted = set(zip(copies["track_id"], copies["copy_of"], strict=True))
    assert len(planted) > 30
    assert not planted & pairs


def test_recordings_and_spreading_can_be_switched_off(spark, catalog, tmp_path: Path) -> None:
    # By sound alone: a remaster has a release date of its own.
    inputs = ("release_date", "popularity", "artist_context", "title")
    by_sound = [f"model.use_{name}=false" for name in inputs]
    off = ("lists.one_per_work=false", "lists.one_per_recording=false", "lists.spread=false")
    snapshot = refresh(spark, config_for(catalog[0], tmp_path, *off, *by_sound), run_date=DAY, with_report=True)
    assert "spreading is switched off" in (snapshot / "report.html").read_text()
    rows = read(snapshot, "recommendations")
    truth = ds.dataset(catalog[0] / "truth" / "rows").to_table().to_pandas()
    copies = truth[(truth["planted"] == "remaster") & truth["copy_of"].notna() & (truth["copy_of"] != "")]
    planted = set(zip(copies["track_id"], copies["copy_of"], strict=True))
    assert len(planted & set(zip(rows["track_id"], rows["recommended_track_id"], strict=True))) > 0.7 * len(
        planted
    )


def test_listeners(published, catalog) -> None:
    snapshot = published[0]
    rows, record = read(snapshot, "user_recommendations"), manifest_of(snapshot)["favorites"]
    favorites = pd.read_csv(catalog[0] / "favorites" / "part-00000.csv")
    own = favorites.groupby("user_id")["track_id"].agg(set)
    assert record["n_unknown"] >= catalog[1]["planted"]["unknown_favorites"]
    assert record["n_users_with_recommendations"] == rows["user_id"].nunique() > 100
    for user, group in rows.groupby("user_id"):
        assert group["rank"].tolist() == list(range(1, len(group) + 1))
        assert group["score"].is_monotonic_decreasing
        assert not own[user] & set(group["track_id"])
        assert set(group["because_of"]) <= own[user]


def test_a_recommended_song_stands_in_the_list_of_its_reason(published) -> None:
    lists = read(published[0], "recommendations")
    pairs = set(zip(lists["track_id"], lists["recommended_track_id"], strict=True))
    rows = read(published[0], "user_recommendations")
    assert set(zip(rows["because_of"], rows["track_id"], strict=True)) <= pairs


def test_the_gate_ships_what_is_better(published) -> None:
    model = manifest_of(published[0])["model"]
    assert model["training"]["seconds"] > 0
    assert 2**27 < model["training"]["driver_peak_memory_bytes"] < 2**35
    gate = model["gate"]
    means = {name: found["mean"] for name, found in gate["precision"].items()}
    assert gate["shipped"] == max(means, key=lambda name: means[name])
    assert gate["n_queries"] >= 30
    assert set(gate["importance"]) >= {"danceability", "tempo", "release_date"}


def test_the_report_is_one_safe_page(published) -> None:
    page = (published[0] / "report.html").read_text()
    assert page.count("<svg") == 9
    assert "linear discriminant" in page
    assert page.count("<details") == 10
    for loader in ("<script", "<link", "<iframe", "@import", 'src="http'):
        assert loader not in page


def test_partitions_change_no_byte(spark, catalog, tmp_path: Path, published) -> None:
    """Other shuffle partitions and smaller batches give the same rows, with exact scores."""
    spark.conf.set("spark.sql.shuffle.partitions", "7")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "501")
    try:
        other = refresh(spark, config_for(catalog[0], tmp_path, *CELLS), run_date=DAY)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "4")
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "16384")
    for name, key in (("recommendations", ["track_id", "rank"]), ("user_recommendations", ["user_id", "rank"])):
        one, two = (read(s, name).sort_values(key).reset_index(drop=True) for s in (published[0], other))
        pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_voronoi_reaches_its_target(published) -> None:
    found = manifest_of(published[0])["neighbors"]
    assert found["hash_family"] == "voronoi"
    assert found["recall_lower_95"] >= 0.98
    assert found["pairs_per_item"] < found["n_items"]


def test_low_recall_publishes_nothing(spark, songs: Path, tmp_path: Path) -> None:
    overrides = [
        UNTRAINED,
        "neighbors.expert.exact_below=0",
        "neighbors.hash_family=hyperplane",
        "neighbors.expert.n_tables=1",
        "neighbors.expert.n_bits=8",
    ]
    with pytest.raises(QualityError, match="recall@10"):
        refresh(spark, make_config(songs, tmp_path / "out", *overrides), run_date=DAY)
    assert (tmp_path / "out" / "work").exists()
    assert not (tmp_path / "out" / "published" / "current.json").exists()


def test_a_second_run_waits_for_no_one(spark, catalog, tmp_path: Path) -> None:
    with locked(runs.open_root(str(tmp_path))), pytest.raises(LockError):
        refresh(spark, config_for(catalog[0], tmp_path), run_date=DAY)


def test_dry_run_writes_nothing(spark, catalog, tmp_path: Path) -> None:
    found = plan(spark, config_for(catalog[0], tmp_path / "new"), run_date=DAY)
    assert found["columns"]["track_id"] == "track_id"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("n", [1, 2, 30])
def test_small_catalogs(spark, tmp_path: Path, n: int) -> None:
    make_songs(n).to_csv(tmp_path / "songs.csv", index=False)
    snapshot = refresh(
        spark, make_config(tmp_path / "songs.csv", tmp_path / "out"), run_date=DAY, with_report=True
    )
    status = read(snapshot, "status")
    # Too few to learn from, not too few for full lists.
    assert status["n_recommendations"].tolist() == [min(10, n - 1)] * n
    assert "few to learn from" in manifest_of(snapshot)["model"]["gate"]["reason"]
    if n == 1:
        assert status[["status", "reason"]].to_numpy().tolist() == [["not_recommended", "no_other_song"]]


def test_where_all_songs_are_set_aside_nothing_is_trained(spark, tmp_path: Path) -> None:
    # One artist's songs are all held out, or all judge.
    make_songs(300, artist="Various Artists").to_csv(tmp_path / "songs.csv", index=False)
    aside = ("model.expert.validation_share=0.5", "model.expert.gate_share=0.499")
    snapshot = refresh(
        spark, make_config(tmp_path / "songs.csv", tmp_path / "out", *aside), run_date=DAY, with_report=True
    )
    model = manifest_of(snapshot)["model"]
    assert model["gate"] == {"shipped": "z-scored inputs", "reason": "0 songs are too few to learn from"}
    assert read(snapshot, "recommendations").groupby("track_id").size().min() == 10


def test_a_night_that_is_no_catalog_is_refused_unless_it_is_accepted(spark, tmp_path: Path) -> None:
    make_songs(400).to_parquet(tmp_path / "songs.parquet")
    config = make_config(tmp_path / "songs.parquet", tmp_path / "out", UNTRAINED)
    published, pointer = refresh(spark, config, run_date=DAY), tmp_path / "out/published/current.json"
    before = pointer.read_text()
    gates = manifest_of(published)["gates"]
    assert gates.pop("accepted") is None
    # Nothing is published that could be lost, and no encoder is judged.
    elsewhere = ("min_songs", "max_lost", "min_encoder_ratio")
    assert set(gates) == {name for name in GatesConfig.model_fields if name not in elsewhere}
    assert not any(gate["over"] or gate["overruled"] for gate in gates.values())
    assert all(gate["judged"] for gate in gates.values())
    # Half of the songs and more are gone, and the others have lost what tells them apart.
    make_songs(150, **SONG).to_parquet(tmp_path / "songs.parquet")
    with pytest.raises(QualityError) as error:
        refresh(spark, config, run_date=DAY)
    assert error.value.exit_code == 4
    message = str(error.value)
    assert len(message.splitlines()) <= 5
    assert "62.5% of 400 songs that are published are not in the input any more" in message
    assert "100.0% of 150 songs have danceability 0.6; so it is with energy, key, " in message
    assert "gates.max_lost = 0.5, gates.max_one_value = 0.995" in message
    assert "--accept" in message
    assert pointer.read_text() == before
    # It ended before its hours of work.
    failed = max((tmp_path / "out/work").glob("*/state.json"))
    assert [stage["stage"] for stage in json.loads(failed.read_text())["stages"]] == ["clean"]
    accepted = refresh(spark, config, run_date=DAY, accept="a test of  equal songs")
    gates = manifest_of(accepted)["gates"]
    assert gates.pop("accepted") == "a test of equal songs"
    assert {name for name, gate in gates.items() if gate["overruled"]} == {
        "max_lost", "max_one_value", "max_collapsed",
    }  # fmt: skip
    assert gates["max_lost"] == {
        "value": 0.625, "limit": 0.5, "n": 400, "judged": True, "over": True, "overruled": True,
    }  # fmt: skip
    assert gates["max_collapsed"]["value"] == 1.0
    rows = read(accepted, "recommendations")
    assert rows.groupby("track_id").size().unique().tolist() == [10]
    assert (rows["score"] == 1.0).all()


def test_songs_of_one_work_say_why_they_have_no_list(spark, tmp_path: Path) -> None:
    make_songs(18, title="One", artist="Singer", duration_ms=200_000).to_csv(tmp_path / "songs.csv", index=False)
    snapshot = refresh(spark, make_config(tmp_path / "songs.csv", tmp_path / "out"), run_date=DAY)
    assert set(read(snapshot, "status")["reason"]) == {"no_other_work"}
    gates = manifest_of(snapshot)["gates"]
    assert gates["max_one_recording"]["value"] == gates["max_unlisted"]["value"] == 1.0
    assert not any(gates[name]["judged"] for name in ("max_one_recording", "max_unlisted"))


def test_no_list_holds_two_versions_of_a_work_nor_one_of_its_own(spark, tmp_path: Path) -> None:
    listener = pd.DataFrame({"user_id": ["ann", "ann"], "track_id": ["v28", "v30"]})
    listener.to_csv(tmp_path / "favorites.csv", index=False)
    options = (f"input.favorites={tmp_path / 'favorites.csv'}", "neighbors.expert.exact_below=0", "neighbors.k=11")
    snapshot = refresh(spark, make_config(VERSIONS, tmp_path / "out", *options), run_date=DAY)
    rows = read(snapshot, "recommendations")
    # v00 to v30 are versions of one work; each of the other 11 is one.
    works = rows[["track_id", "recommended_track_id"]].apply(
        lambda ids: ids.str.replace(r"^v\d\d$", "v", regex=True)
    )
    assert (works["track_id"] != works["recommended_track_id"]).all()
    assert not works.assign(track_id=rows["track_id"]).duplicated().any()
    assert (works["recommended_track_id"] == "v").sum() == 11
    assert rows.groupby("track_id").size().to_list() == [11] * 42
    of_ann = read(snapshot, "user_recommendations")["track_id"]
    assert len(of_ann) == 10
    assert not of_ann.str.startswith("v").any()


def test_a_bad_row_changes_no_other_song_and_a_refused_input_not_what_was_published(spark, tmp_path: Path) -> None:
    songs = make_songs(300)
    bad = make_songs(3, track_id=["text", "inf", "huge"])
    bad["energy"] = ["loud", np.inf, 1e300]
    root, pointer, published = tmp_path / "out", tmp_path / "out/published/current.json", {}
    for name, rows in (
        ("clean", songs),
        ("refused", make_songs(20, tempo=-1)),
        ("dirty", pd.concat([songs, bad])),
    ):
        # CSV, because Parquet written by pandas turns NaN into NULL.
        rows.to_csv(tmp_path / f"{name}.csv", index=False, na_rep="NaN")
        config = make_config(tmp_path / f"{name}.csv", root)
        if name != "refused":
            published[name] = refresh(spark, config, run_date=DAY)
            continue
        before = pointer.read_text()
        with pytest.raises(MusicrecError):
            refresh(spark, config, run_date=DAY)
        assert pointer.read_text() == before
        assert current_snapshot(runs.open_root(str(root))) == str(published["clean"])
    assert published["dirty"] != published["clean"]
    clean, dirty = (read(snapshot, "recommendations") for snapshot in published.values())
    pd.testing.assert_frame_equal(clean, dirty, check_exact=True)
    assert (read(published["clean"], "status")["n_recommendations"] == 10).all()
