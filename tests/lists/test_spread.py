"""Spreading by tasks over files, against the same lists in arrays."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicrec.arrays import NO_SONG
from musicrec.config import load_config
from musicrec.context import Context
from musicrec.lists import spread
from musicrec.lists.list_files import ListFiles
from musicrec.lists.places import as_histogram, measure_occurrence
from musicrec.lists.spread import write_spread
from musicrec.storage import datasets, runs
from musicrec.traits import LIVE
from tests.made import ONE_COLUMN, make_lists, make_numbered

N, K = 600, 4
Rows = dict[str, list[tuple[str, float]]]


def make_context(spark, root: Path, *overrides: str) -> Context:
    config = load_config(overrides=[f"neighbors.k={K}", "input.tracks=none", *ONE_COLUMN, *overrides])
    return Context(spark, config, runs.start_run(runs.open_root(str(root)), run_date=date(2026, 1, 2)))


def make_rows() -> Rows:
    """Lists of the nearest of songs that lie to one side, so that some stand in none."""
    rng = np.random.default_rng(4)
    points = rng.standard_normal((N, 24)) + 1
    scores = (points @ points.T / np.outer(*2 * [np.linalg.norm(points, axis=1)])).astype(np.float32)
    np.fill_diagonal(scores, -2)
    rows = {}
    for i in range(N):
        # Every seventh list has room.
        nearest = np.argsort(-scores[i])[: K - (i % 7 == 0)].tolist()
        rows[f"s{i:03d}"] = [(f"s{j:03d}", float(scores[i, j])) for j in nearest]
    return rows


def stored(context: Context, rows: Rows, facts: Sequence[Any] = range(N)) -> ListFiles:
    directory = Path(context.run.place(datasets.LISTS).uri)
    keys = np.random.default_rng(1).permutation(np.linspace(-(2**62), 2**62, N).astype(np.int64)).tolist()
    numbered = make_numbered(directory, list(rows), keys=keys, facts=facts, n_ranges=5)
    return make_lists(directory, numbered, rows, k=K)


def as_plain(lists: ListFiles) -> Rows:
    found = {}
    for part in range(lists.numbered.n_ranges):
        some = lists.range(part)
        for name, places, scores in zip(
            lists.numbered.ids_of(part).to_pylist(), some.places, some.scores, strict=True
        ):
            n = int((places != NO_SONG).sum())
            others = lists.numbered.ids(places[:n].astype(np.int64)).to_pylist()
            found[name] = list(zip(others, scores[:n].tolist(), strict=True))
            assert (places[n:] == NO_SONG).all()
            assert np.isnan(scores[n:]).all()
    return found


def occurrences_by_id(found: spread.Spread) -> dict[str, int]:
    numbered = found.lists.numbered
    n_lists = [n for part in range(numbered.n_ranges) for n in found.occurrences.range(part).tolist()]
    return dict(zip(numbered.ids(np.arange(len(n_lists))).to_pylist(), n_lists, strict=True))


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows()


def test_lists_in_many_files_get_their_guests(spark, tmp_path: Path, rows: Rows) -> None:
    context = make_context(spark, tmp_path)
    found = write_spread(context, stored(context, rows))
    after = as_plain(found.lists)
    assert list(after) == list(rows)

    counts = Counter(other for places in after.values() for other, _ in places)
    listed = {other for places in rows.values() for other, _ in places}
    forgotten = rows.keys() - listed
    assert len(forgotten) > 10
    assert listed <= counts.keys()
    assert len(forgotten & counts.keys()) > 0.75 * len(forgotten)
    assert any(len(places) > len(rows[song]) for song, places in after.items())
    for song, places in after.items():
        before = [(other, float(np.float32(score))) for other, score in rows[song]]
        assert len(before) <= len(places) <= K
        assert sorted(places, key=lambda place: (-place[1], place[0])) == places
        new = set(places) - set(before)
        assert len(new) <= 1
        for guest, score in new:
            # The cosine is symmetric: the guest's own list says the same.
            assert score == float(np.float32(dict(rows[guest])[song]))

    # Where lists are asked for one by one they are the same.
    some = np.arange(N)[::-7]
    np.testing.assert_array_equal(
        found.lists.of(some).places,
        np.concatenate([found.lists.range(part).places for part in range(5)])[some],
    )
    assert occurrences_by_id(found) == {song: counts.get(song, 0) for song in rows}
    numbers = np.array([counts.get(song, 0) for song in rows])
    expected = measure_occurrence(as_histogram(numbers), n_songs=N)
    assert found.figures["after"]["forgotten_share"] == pytest.approx(expected.forgotten_share)
    assert found.figures["after"]["skewness"] == pytest.approx(expected.skewness)
    assert found.figures["before"]["forgotten_share"] == pytest.approx(len(forgotten) / N)
    stored_rows = context.read(datasets.OCCURRENCES).toArrow()
    assert (
        found.lists.numbered.of_keys(stored_rows["track_key"].to_numpy())[0].tolist()
        == stored_rows["song"].to_pylist()
    )


def test_songs_that_rules_bar_ask_for_no_place(
    spark, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {other for places in rows.values() for other, _ in places}
    forgotten = sorted(rows.keys() - listed)
    barred = set(forgotten[::2])
    # As many as may have a place: the barred ones take none of them.
    monkeypatch.setattr(spread, "MAX_FORGOTTEN", len(forgotten) - len(barred))
    context = make_context(spark, tmp_path, "lists.exclude_flags=['live']")
    facts = [(i, LIVE * (name in barred)) for i, name in enumerate(rows)]
    found = write_spread(context, stored(context, rows, facts))
    new = {other for places in as_plain(found.lists).values() for other, _ in places} - listed
    assert found.n_barred == len(barred)
    assert not new & barred
    assert len(new) > 0.75 * len(set(forgotten) - barred)


def test_where_too_many_are_in_no_list_a_draw_of_them_gets_a_place(
    spark, tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "MAX_FORGOTTEN", 5)
    context = make_context(spark, tmp_path)
    found = write_spread(context, stored(context, rows))
    after = as_plain(found.lists)
    new = {other for song in rows for other, _ in after[song]} - {o for places in rows.values() for o, _ in places}
    # About as many, by hash and not the first by id.
    assert 0 < len(new) <= 10
    forgotten = sorted(rows.keys() - {other for places in rows.values() for other, _ in places})
    assert not new <= set(forgotten[:5])


def test_spreading_is_counted_where_it_is_off(spark, tmp_path: Path, rows: Rows) -> None:
    context = make_context(spark, tmp_path, "lists.spread=false")
    lists = stored(context, rows)
    found = write_spread(context, lists)
    assert found.lists is lists
    counts = Counter(other for places in rows.values() for other, _ in places)
    assert occurrences_by_id(found) == {song: counts.get(song, 0) for song in rows}
    assert list(found.figures) == ["before"]


def test_no_places_are_no_error(spark, tmp_path: Path) -> None:
    context = make_context(spark, tmp_path)
    numbered = make_numbered(tmp_path, ["alone"], keys=[7], facts=[7])
    found = write_spread(context, make_lists(tmp_path, numbered, {}, k=K))
    assert occurrences_by_id(found) == {"alone": 0}
    assert as_plain(found.lists) == {"alone": []}
    assert found.figures["after"] == {"forgotten_share": 1.0, "skewness": 0.0}
