"""The whole evaluation, on a third of the real songs."""

from pathlib import Path

import pytest

from musicrec.evaluation.evaluate import evaluate
from musicrec.evaluation.table import as_text
from tests.conftest import TIDYTUESDAY, make_config


@pytest.mark.slow
@pytest.mark.realdata
def test_evaluation_beats_the_baseline(spark, tmp_path: Path) -> None:
    """One split, few epochs: far from the full figure, but no longer chance."""
    # A third of the songs: ranking all of them for each takes minutes. The other core has another test.
    settings = (
        "evaluate.n_splits=1",
        "evaluate.max_songs=10000",
        "model.n_epochs=20",
        "model.batch_size=256",
        "model.n_threads=1",
        "model.hidden_layers=[128]",
    )
    config = make_config(TIDYTUESDAY, tmp_path, f"input.playlists={TIDYTUESDAY}", *settings)
    result = evaluate(spark, config)
    methods = {method["method"]: method for method in result["methods"]}
    ratios = {name: method["ratio"]["mean"] for name, method in methods.items()}
    assert ratios["random"] < 0.3
    assert ratios["z-scored features"] == 1.0
    assert ratios["encoder"] > 1.15 * ratios["quantiles"]
    everything = "encoder + release date + popularity"
    assert ratios[everything] > 2.2
    assert ratios["z-scored features + release date + popularity"] < ratios[everything]
    for missing in ("half of the query's features missing", "half of all songs' features missing"):
        assert 0.2 * ratios[everything] < ratios[f"{everything}, {missing}"] < ratios[everything]
    for estimate in (methods[everything]["means"]["ndcg"], methods[everything]["ratio"]):
        assert estimate["lower"] < estimate["mean"] < estimate["upper"]
    assert methods["popularity"]["exposure"]["coverage"] < 0.05 < methods[everything]["exposure"]["coverage"]
    # Every line has the cells of its head.
    lines = [line for line in as_text(result).splitlines() if line.startswith("|")]
    n_lines = 2 + len(methods)
    for first, last in ((0, n_lines), (n_lines, 2 * n_lines), (2 * n_lines, -4)):
        assert len({line.count("|") for line in lines[first:last]}) == 1
    known = result["known_to_playlists"]["methods"]
    assert list(known) == ["playlist co-occurrence", "z-scored features", everything]
    assert known["playlist co-occurrence"][0]["mean"] > known["z-scored features"][0]["mean"]
    before, after = result["spreading"]["before"], result["spreading"]["after"]
    assert after["forgotten_share"] < 0.3 * before["forgotten_share"]
    assert after["precision"] > 0.98 * before["precision"]
