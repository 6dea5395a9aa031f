"""Spreading by tasks over files, against the same lists in arrays."""

from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from musicrec import schemas
from musicrec.catalog.clean import Catalog
from musicrec.config import load_config
from musicrec.context import Context
from musicrec.lists import spread
from musicrec.lists.places import as_histogram, measure_occurrence
from musicrec.lists.spread import write_spread
from musicrec.storage import datasets, runs

N, K = 600, 4


def make_context(spark, root: Path, *overrides: str) -> Context:
    config = load_config(overrides=[f"neighbors.k={K}", "input.tracks=none", *overrides])
    return Context(spark, config, runs.start_run(runs.open_root(str(root)), run_date=date(2026, 1, 2)))


def catalog_of(n: int) -> Catalog:
    return Catalog(tracks=None, quarantine=None, n_tracks=n, counts={}, columns={}, files=[])


def make_rows() -> list[tuple[int, str, int, list[tuple[float, str, int, int]]]]:
    """Lists of the nearest of songs that lie to one side, so that some stand in none."""
    rng = np.random.default_rng(4)
    points = rng.standard_normal((N, 24)) + 1
    scores = (points @ points.T / np.outer(*2 * [np.linalg.norm(points, axis=1)])).astype(np.float32)
    np.fill_diagonal(scores, -2)
    keys = rng.permutation(np.linspace(-(2**62), 2**62, N).astype(np.int64)).tolist()
    rows = []
    for i in range(N):
        # Every seventh list has room.
        nearest = np.argsort(-scores[i])[: K - (i % 7 == 0)].tolist()
        places = [(-float(scores[i, j]), f"s{j}", j, keys[j]) for j in nearest]
        rows.append((keys[i], f"s{i}", i, places))
    return rows


def as_plain(lists) -> dict[str, list[tuple[float, str, int, int]]]:
    return {row["track_id"]: [tuple(place) for place in row["list"]] for row in lists.collect()}


@pytest.fixture
def rows() -> list:
    return make_rows()


def test_lists_in_many_files_get_their_guests(
    spark, tmp_path: Path, rows: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "MAX_RANGE_SONGS", 150)
    context = make_context(spark, tmp_path)
    frame = spark.createDataFrame(rows, schemas.LISTS).repartition(5)
    lists = context.write(frame, datasets.LISTS)
    found = write_spread(context, catalog_of(N), lists)
    assert found.lists.schema.names == schemas.LISTS.names
    before = {row[1]: row[3] for row in rows}
    after = as_plain(found.lists)
    assert after.keys() == before.keys()

    counts = Counter(place[1] for places in after.values() for place in places)
    listed = {place[1] for places in before.values() for place in places}
    forgotten = before.keys() - listed
    assert len(forgotten) > 10
    assert listed <= counts.keys()
    assert len(forgotten & counts.keys()) > 0.75 * len(forgotten)
    assert any(len(places) > len(before[song]) for song, places in after.items())
    keys = {row[1]: (row[2], row[0]) for row in rows}
    for song, places in after.items():
        assert len(before[song]) <= len(places) <= K
        assert sorted(places) == places
        assert all((place[2], place[3]) == keys[place[1]] for place in places)
        new = set(places) - {(np.float32(p[0]), *p[1:]) for p in before[song]}
        assert len(new) <= 1
        for score, guest, *_ in new:
            # The cosine is symmetric: the guest's own list says the same.
            assert score == {p[1]: np.float32(p[0]) for p in before[guest]}[song]

    assert {row["track_key"]: row["n_lists"] for row in found.occurrences.collect()} == {
        key: counts.get(song, 0) for song, (_, key) in keys.items()
    }
    numbers = np.array([counts.get(song, 0) for song in keys])
    expected = measure_occurrence(as_histogram(numbers), n_songs=N)
    assert found.figures["after"]["forgotten_share"] == pytest.approx(expected.forgotten_share)
    assert found.figures["after"]["skewness"] == pytest.approx(expected.skewness)
    assert found.figures["before"]["forgotten_share"] == pytest.approx(len(forgotten) / N)


def test_spreading_is_counted_where_it_is_off(spark, tmp_path: Path, rows: list) -> None:
    context = make_context(spark, tmp_path, "neighbors.spread=false")
    lists = context.write(spark.createDataFrame(rows, schemas.LISTS), datasets.LISTS)
    found = write_spread(context, catalog_of(N), lists)
    assert found.lists is lists
    counts = Counter(place[3] for row in rows for place in row[3])
    assert {row["track_key"]: row["n_lists"] for row in found.occurrences.collect()} == {
        row[0]: counts.get(row[0], 0) for row in rows
    }
    assert list(found.figures) == ["before"]


def test_no_lists_are_no_error(spark, tmp_path: Path) -> None:
    context = make_context(spark, tmp_path)
    lists = context.write(spark.createDataFrame([], schemas.LISTS), datasets.LISTS)
    found = write_spread(context, catalog_of(1), lists)
    assert found.occurrences.count() == 0
    assert found.lists.count() == 0
    assert found.figures["after"] == {"forgotten_share": 1.0, "skewness": 0.0}
