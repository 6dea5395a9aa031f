"""The page stands whatever a catalog calls its songs and genres, and whatever goes wrong with a picture."""

import logging
import re
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from musicrec.report import page, report
from musicrec.report.page import Example, Occurrences, Pictures, render_report, render_short_report
from musicrec.songs import FEATURES

ODD = (
    "$x^$", "$\\frac{", "\\alpha {", "100 % {{ rock }}", "👩‍🎤 emoji", "שלום עולם", "نوازش‌ها", "a\x00b\x1b[2J",
    "_hidden", "x" * 10_000, "<script>alert(1)</script>", "-->", "\ud800", "日本語", "%s %d", "\u202eevil",
)  # fmt: skip

RECORD: dict[str, Any] = {
    "run_id": "2026-05-06-001",
    "run_date": "2026-05-06",
    "versions": {"musicrec": "1"},
    "counts": {
        "n_rows": 3, "n_tracks": 2, "n_duplicates": 1, "n_quarantined": 0,
        "n_recommended": 2, "n_recommendations": 2, "n_barred": 0, "n_short_lists": 0, "short_list_rules": {},
        "quarantine_reasons": {"$x^$ is \x1b[2J": 1},
    },
    "neighbors": {"recall_at_k": 1.0, "recall_lower_95": 0.9, "k": 1, "recall_by_density": [1.0]},
    "model": {
        "n_sampled": 2, "objective": "none", "architecture": {"hidden_layers": [], "embedding_dim": 2},
        "gate": {"reason": "few", "shipped": "features"},
    },
    "occurrence": {"before": {"forgotten_share": 0.0, "skewness": 0.0}},
    "stages": [{"stage": "clean", "seconds": 1.0}],
}  # fmt: skip


def pictures(names: tuple[str, ...] = ODD) -> Pictures:
    n = len(names)
    rng = np.random.default_rng(0)
    return Pictures(
        raw_features=rng.random((20, len(FEATURES))),
        history=[(1, 1.0, 0.5), (2, 0.5, 0.6)],
        points=rng.random((n, 2)).astype(np.float32),
        labels=list(names),
        scores={1: rng.random(20)},
        examples=[Example(name, [(name, 0.5)], []) for name in names],
        occurrences=Occurrences(np.array([0, 9]), np.array([1, 2]), np.array([1, 1])),
    )


def test_no_name_is_an_instruction(caplog: pytest.LogCaptureFixture) -> None:
    # Nine at a time: as many genres have a name.
    for first in range(0, len(ODD), 8):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shown = render_report(RECORD, pictures(ODD[first : first + 8]))
        assert "could not be drawn" not in shown
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", shown)
        assert "<script>alert" not in shown
        assert "x" * 400 not in shown
        assert shown.encode()
    assert not caplog.records


def test_a_picture_that_fails_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise OverflowError("too <large>")

    monkeypatch.setattr(page, "_draw_coverage", fail)
    shown = render_report(RECORD, pictures(("rock",)))
    assert "This picture could not be drawn: OverflowError: too &lt;large&gt;" in shown
    assert shown.count("<svg") >= 5
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "OverflowError" in record.getMessage()


def test_a_report_that_fails_is_a_short_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Stages:
        stages: tuple[str, ...] = ()

        def stage(self, *_: Any, **__: Any) -> Any:
            return warnings.catch_warnings()

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no room for \x1b[2J")

    monkeypatch.setattr(report, "collect_pictures", fail)
    anything: Any = SimpleNamespace(n_tracks=2, raw=None, history=[], rival=None)
    context: Any = Stages()
    shown = report.draw_report(
        context, anything, anything, anything, anything, packed=anything, spread=anything, record=RECORD
    )
    assert shown == render_short_report(RECORD, "MemoryError: no room for \\u001b[2J")
    assert "n_tracks" in shown
    assert "quarantine_reasons" not in shown
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_stop_is_no_failure_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "_draw_scores", stop)
    with pytest.raises(KeyboardInterrupt):
        render_report(RECORD, pictures(("rock",)))


def test_short_lists_and_barred_songs_are_told() -> None:
    told = {"n_barred": 1234, "n_short_lists": 5, "short_list_rules": {"years_apart": 3, "<b>": 2}}
    shown = render_report({**RECORD, "counts": {**RECORD["counts"], **told}}, pictures())
    assert "Kept out of all lists by rules: 1,234 of" in shown
    assert "5 songs have fewer than 1 recommendations" in shown
    assert "years_apart 3; &lt;b&gt; 2." in shown
    assert "Kept" not in render_report(RECORD, pictures())
