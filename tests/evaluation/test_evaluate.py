"""The whole evaluation: what it tells, on generated songs; how good the encoder is, on 10,000 real ones."""

from pathlib import Path
from typing import Any

import pytest

from musicrec.errors import InputError
from musicrec.evaluation.evaluate import evaluate
from musicrec.evaluation.table import as_text
from musicrec.storage import tables
from tests.conftest import TIDYTUESDAY, make_config, make_songs

EVERYTHING = "encoder + artist context + title + release date + popularity"


def tells_each_method_in_a_line(result: dict[str, Any]) -> None:
    methods = {method["method"]: method for method in result["methods"]}
    assert {"random", "popularity", "z-scored features", "quantiles", "encoder", EVERYTHING} <= methods.keys()
    assert methods["z-scored features"]["ratio"]["mean"] == 1.0
    for estimate in (methods[EVERYTHING]["means"]["ndcg"], methods[EVERYTHING]["ratio"]):
        assert estimate["lower"] < estimate["mean"] < estimate["upper"]
    # Every line has the cells of its head.
    lines = [line for line in as_text(result).splitlines() if line.startswith("|")]
    n_lines = 2 + len(methods)
    n_lists = 2 + len(result["lists"])
    for first, last in ((0, n_lines), (n_lines, 2 * n_lines), (2 * n_lines, -n_lists), (-n_lists, len(lines))):
        assert len({line.count("|") for line in lines[first:last]}) == 1
    assert list(result["known_to_playlists"]["methods"]) == [
        "playlist co-occurrence", "z-scored features", EVERYTHING
    ]  # fmt: skip


def test_every_method_has_its_line(spark, catalog, tmp_path: Path) -> None:
    settings = (
        "evaluate.n_splits=1",
        "evaluate.max_songs=1500",
        "evaluate.expert.n_bootstrap=100",
        "model.expert.n_threads=1",
    )
    config = make_config(catalog[0] / "tracks", tmp_path, f"input.playlists={catalog[0] / 'playlists'}", *settings)
    result = evaluate(spark, config)
    tells_each_method_in_a_line(result)
    lists = result["lists"]
    kept, spread, free = (lists[f"encoder, {name}"] for name in ("rules", "rules, spread", "no rules"))
    assert spread["forgotten_share"] < kept["forgotten_share"]
    for name in ("repeated_artist", "repeated_work"):
        assert kept[name] == spread[name] == 0.0 < free[name]
    assert 0 < kept["own_artist"] < 0.1 < free["own_artist"]
    assert lists["encoder, rules, own artist out"]["own_artist"] == 0.0
    assert kept["full"] == 1.0


def test_a_refused_run_leaves_nothing_in_the_session(spark, tmp_path: Path) -> None:
    """Else the next run in a notebook would see the rows of the one before."""
    songs = tmp_path / "songs.csv"
    kept = spark._jsparkSession.sharedState().cacheManager()
    for n in (120, 130):
        make_songs(n).to_csv(songs, index=False)
        with pytest.raises(InputError, match="neither playlists nor genres"):
            evaluate(spark, make_config(songs, tmp_path))
        assert kept.isEmpty()
    with tables.kept(spark.range(3)):
        assert not kept.isEmpty()
    assert kept.isEmpty()


@pytest.mark.slow
@pytest.mark.realdata
def test_evaluation_beats_the_baseline(spark, tmp_path: Path) -> None:
    """One split, few epochs: far from the full figure, but no longer chance."""
    # A third of the songs: ranking all of them for each takes minutes. The other core has another test.
    settings = (
        "evaluate.n_splits=1",
        "evaluate.max_songs=10000",
        "model.n_epochs=20",
        "model.expert.batch_size=256",
        "model.expert.n_threads=1",
        "model.hidden_layers=[128]",
    )
    config = make_config(TIDYTUESDAY, tmp_path, f"input.playlists={TIDYTUESDAY}", *settings)
    result = evaluate(spark, config)
    tells_each_method_in_a_line(result)
    methods = {method["method"]: method for method in result["methods"]}
    ratios = {name: method["ratio"]["mean"] for name, method in methods.items()}
    assert ratios["random"] < 0.3
    # Of a third of the songs the three splits say 1.2, 1.4 and 1.6 times, so nothing closer can be asked of one.
    assert methods["encoder"]["ratio"]["lower"] > 1.0
    assert ratios["encoder"] > ratios["quantiles"]
    assert ratios[EVERYTHING] > 2.2
    assert ratios[EVERYTHING.replace("encoder", "z-scored features")] < ratios[EVERYTHING]
    for missing in ("half of the query's features missing", "half of all songs' features missing"):
        assert 0.2 * ratios[EVERYTHING] < ratios[f"{EVERYTHING}, {missing}"] < ratios[EVERYTHING]
    assert methods["popularity"]["exposure"]["coverage"] < 0.05 < methods[EVERYTHING]["exposure"]["coverage"]
    known = result["known_to_playlists"]["methods"]
    assert known["playlist co-occurrence"][0]["mean"] > known["z-scored features"][0]["mean"]
    before, after = result["lists"]["encoder, rules"], result["lists"]["encoder, rules, spread"]
    # A guest fits into fewer lists where these keep rules.
    assert after["forgotten_share"] < 0.5 * before["forgotten_share"]
    assert after["precision"] > 0.98 * before["precision"]
